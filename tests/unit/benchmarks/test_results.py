"""A run that was interrupted goes on where it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.results import Cell, Result, Unfinished

CELL = Cell("drain-1", "retryd", 1, 1.0)
OTHER = Cell("drain-1", "retryd", 2, 1.0)


@pytest.fixture
def unfinished(tmp_path: Path) -> Unfinished:
    return Unfinished(tmp_path / "bench" / "unfinished.jsonl")


def test_nothing_is_done_before_the_first_cell(unfinished: Unfinished) -> None:
    assert unfinished.done() == {}


def test_a_first_run_may_begin_anew(unfinished: Unfinished) -> None:
    unfinished.forget([CELL])
    assert unfinished.done() == {}


def test_a_measured_cell_is_not_measured_again(unfinished: Unfinished) -> None:
    result = Result(CELL, {"rate": 12.5})
    unfinished.add(result)
    assert unfinished.done() == {CELL: result}


def test_a_cell_of_another_scale_is_another_cell(unfinished: Unfinished) -> None:
    unfinished.add(Result(CELL, {"rate": 12.5}))
    assert Cell("drain-1", "retryd", 1, 0.1) not in unfinished.done()


def test_a_cell_that_failed_is_tried_again(unfinished: Unfinished) -> None:
    unfinished.add(Result(CELL, {}, "ContenderError: it ended"))
    assert unfinished.done() == {}


def test_a_line_that_the_interruption_cut_off_is_passed_over(
    unfinished: Unfinished, tmp_path: Path
) -> None:
    unfinished.add(Result(CELL, {"rate": 12.5}))
    with (tmp_path / "bench" / "unfinished.jsonl").open("a") as file:
        file.write(Result(OTHER, {"rate": 1.0}).line()[:-5])
    assert unfinished.done().keys() == {CELL}


def test_a_finished_run_forgets_its_own_cells_and_no_others(unfinished: Unfinished) -> None:
    unfinished.add(Result(CELL, {"rate": 12.5}))
    unfinished.add(Result(OTHER, {"rate": 13.5}))
    unfinished.forget([CELL])
    assert unfinished.done().keys() == {OTHER}
