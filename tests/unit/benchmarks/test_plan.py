"""Which cells a run measures, and in which order."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.peers.__main__ import chosen, plan
from benchmarks.peers.rows import rows


def cells_of(rounds: int, *names: str) -> list[tuple[str, str, int]]:
    arguments = argparse.Namespace(rounds=rounds, scale=1.0)
    wanted = [row for row in rows() if row.name in names]
    return [
        (cell.row, cell.contender, cell.round)
        for _, cell in plan(wanted, ["floor", "retryd", "pgqueuer"], arguments)
    ]


def test_contenders_take_turns_in_each_row_of_each_round() -> None:
    assert cells_of(2, "bulk", "retry") == [
        (row, contender, number)
        for number in (1, 2)
        for row in ("bulk", "retry")
        for contender in ("floor", "retryd", "pgqueuer")
    ]


def test_rows_that_only_retryd_has_are_measured_for_it_alone() -> None:
    assert cells_of(1, "lanes") == [("lanes", "retryd", 1)]


def test_a_row_that_takes_minutes_is_measured_once() -> None:
    assert {number for _, _, number in cells_of(3, "size")} == {1}


def test_no_names_choose_all_and_none_chooses_none() -> None:
    assert chosen("", ["a", "b"]) == ["a", "b"]
    assert chosen("none", ["a", "b"]) == []


def test_names_are_taken_in_their_usual_order() -> None:
    assert chosen("b,a", ["a", "b", "c"]) == ["a", "b"]


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SystemExit, match="unknown: x; there are a, b"):
        chosen("x", ["a", "b"])
