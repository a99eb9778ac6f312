"""Ratios are judged against the best peer, the best Python peer, the floor, or retryd itself."""

from __future__ import annotations

import pytest

from benchmarks.peers.goals import GOALS, Goal, Verdict

DRAIN = {
    ("drain-1", "floor", "rate"): 40_000.0,
    ("drain-1", "pgqueuer", "rate"): 10_000.0,
    ("drain-1", "pg-boss", "rate"): 20_000.0,
    ("drain-1", "retryd", "rate"): 30_000.0,
}


def goal(text: str) -> Goal:
    (found,) = (goal for goal in GOALS if goal.text == text)
    return found


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("drain, 1 process: of the best peer", 1.5),
        ("drain, 1 process: of the best Python peer", 3.0),
        ("drain, 1 process: of the floor", 0.75),
    ],
)
def test_a_rate_is_compared_with_the_best_of_its_kind(text: str, ratio: float) -> None:
    verdict = goal(text).judge(DRAIN)
    assert verdict.value == ratio
    assert not verdict.missed


def test_a_ratio_below_its_limit_is_missed() -> None:
    slow = {**DRAIN, ("drain-1", "retryd", "rate"): 19_999.0}
    assert goal("drain, 1 process: of the best peer").judge(slow).missed


def test_a_delay_above_that_of_the_best_peer_is_missed() -> None:
    table = {
        ("pickup-50", "retryd", "p99"): 4.3,
        ("pickup-50", "oban", "p99"): 4.2,
        ("pickup-50", "chancy", "p99"): 13.7,
        ("pickup-50", "floor", "p99"): 1.0,
    }
    verdict = goal("due to started at 50/s, p99: of the best peer").judge(table)
    assert verdict.value == pytest.approx(4.3 / 4.2)
    assert verdict.missed


@pytest.mark.parametrize("missing", sorted(who for _, who, _ in DRAIN if who != "pgqueuer"))
def test_a_goal_without_its_figures_is_not_measured_and_not_missed(missing: str) -> None:
    table = {key: rate for key, rate in DRAIN.items() if key[1] not in {missing, "pgqueuer"}}
    verdicts = [each.judge(table) for each in GOALS if each.text.startswith("drain, 1 process")]
    unknown = [verdict for verdict in verdicts if verdict.value is None]
    assert unknown
    assert not any(verdict.missed for verdict in unknown)
    assert all("not measured" in verdict.line() for verdict in unknown)


def test_a_verdict_shows_value_limit_and_whether_it_is_missed() -> None:
    line = Verdict(goal("claim with 200 idle handlers, buffers"), 410.0).line()
    assert " ".join(line.split()) == "MISSED 410.00 ≤ 200 claim with 200 idle handlers, buffers"
