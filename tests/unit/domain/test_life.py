from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.life import NOWHERE, STATES, TRANSITIONS, Transition, allowed, mermaid

EVENTS = sorted({step.event for step in TRANSITIONS})


@given(st.sampled_from(TRANSITIONS))
def test_the_diagram_shows_each_transition(step: Transition) -> None:
    source, target = (
        "[*]" if state == NOWHERE else state for state in (step.source_state, step.target_state)
    )
    (arrow,) = (line for line in mermaid().splitlines() if f" {source} --> {target} : " in line)
    assert step.event in arrow.partition(" : ")[2].split(", ")


def test_the_diagram_shows_nothing_else() -> None:
    head, *arrows = mermaid().splitlines()
    assert head == "stateDiagram-v2"
    pairs = {(step.source_state, step.target_state) for step in TRANSITIONS}
    assert len(arrows) == len(pairs)


@given(st.sampled_from(TRANSITIONS))
def test_a_transition_runs_between_known_states_and_says_who_may_when(step: Transition) -> None:
    assert {step.source_state, step.target_state} <= {*STATES, NOWHERE}
    assert step.guard
    assert step.function
    assert step.who


def test_no_two_transitions_are_the_same() -> None:
    keys = [(step.source_state, step.event, step.target_state, step.who) for step in TRANSITIONS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("state", ["completed", "cancelled"])
def test_what_is_done_stays_done_until_retention_is_over(state: str) -> None:
    assert {s.event for s in TRANSITIONS if s.source_state == state} == {"prune"}


def test_a_dead_letter_comes_back_by_a_replay_alone() -> None:
    back = {
        s.event
        for s in TRANSITIONS
        if STATES.get(s.source_state) == "dead" and STATES.get(s.target_state) == "live"
    }
    assert back == {"replay"}
    assert {s.event for s in TRANSITIONS if s.source_state == "resolved"} == {"delete", "prune"}


def test_only_a_capture_makes_and_only_an_operator_or_retention_forgets() -> None:
    assert {s.event for s in TRANSITIONS if s.source_state == NOWHERE} == {"capture"}
    assert {s.who for s in TRANSITIONS if s.target_state == NOWHERE} == {"operator", "pruner"}


def test_a_running_attempt_is_only_touched_by_its_holder_a_rescuer_or_a_cancel() -> None:
    others = {
        (s.event, s.who)
        for s in TRANSITIONS
        if s.source_state == "processing" and s.who != "worker"
    }
    assert others == {("rescue", "rescuer"), ("cancel", "operator")}


def test_every_state_can_be_reached_and_every_life_can_end() -> None:
    def spread(start: str, forward: bool) -> set[str]:
        seen = {start}
        while True:
            ends = [(s.source_state, s.target_state)[:: 1 if forward else -1] for s in TRANSITIONS]
            more = {target for source, target in ends if source in seen} - seen
            if not more:
                return seen
            seen |= more

    assert spread(NOWHERE, forward=True) == {*STATES, NOWHERE}
    assert spread(NOWHERE, forward=False) == {*STATES, NOWHERE}


def test_allowed_gives_the_states_in_which_an_event_may_happen() -> None:
    assert allowed("cancel") == {"pending", "parked", "processing"}
    assert allowed("capture") == {NOWHERE}
    assert allowed("retry_now") == {"pending"}
    assert allowed("replay") == {"dead"}
    assert allowed("explode") == frozenset()
    assert all(allowed(event) for event in EVENTS)
