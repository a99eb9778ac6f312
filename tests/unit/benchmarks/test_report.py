"""A finished run as a table and as a picture."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from benchmarks.peers.plot import plot
from benchmarks.peers.report import Report, tell
from benchmarks.peers.results import Cell, Result
from benchmarks.peers.rows import rows

DRAINS = [row for row in rows() if row.name == "drain-1"]
DESCRIBED = {"version": "1.0", "runtime": "Python 3.11", "candidates": [{"batch": 100}]}


def result(contender: str, number: int, error: str | None = None, **figures: float) -> Result:
    return Result(Cell("drain-1", contender, number, 1.0), figures, error)


@pytest.fixture
def report() -> Report:
    return Report(
        at="2026-11-23T00:00:00+00:00",
        machine={"processors": "2"},
        postgresql={"server_version": "18.6", "jit": "off"},
        contenders=dict.fromkeys(("floor", "retryd", "oban", "awa"), DESCRIBED),
        scale=1.0,
        rounds=3,
        results=[
            *(result("floor", n, rate=rate) for n, rate in enumerate((100.0, 300.0, 200.0), 1)),
            result("retryd", 1, rate=150.0, megabytes=64.0, unfinished=0.0),
            result("oban", 1, rate=10.0, megabytes=48.0, unfinished=7.0),
            result("awa", 1, error="ContenderError: a worker ended: no <memory>"),
        ],
    )


def test_the_table_has_the_median_with_the_least_and_the_most(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(report, DRAINS)
    printed = capsys.readouterr().out
    assert "floor            rate 200 (100 to 300)" in printed
    assert "PostgreSQL server_version 18.6, jit off" in printed


def test_a_drain_that_did_not_end_is_marked_and_an_error_is_told(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(report, DRAINS)
    marked = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "†" in line]
    assert marked == ["oban"]
    tell(report, DRAINS)
    assert "a worker ended: no <memory>" in capsys.readouterr().out


def test_the_run_fails_when_a_ratio_is_missed(report: Report) -> None:
    # 150 of the best peer's 10 and of the floor's 200: all that was measured is reached.
    assert tell(report, DRAINS)
    better = Result(Cell("drain-1", "pg-boss", 1, 1.0), {"rate": 151.0})
    missed = Report(
        report.at,
        report.machine,
        report.postgresql,
        report.contenders,
        report.scale,
        report.rounds,
        [*report.results, better],
    )
    assert not tell(missed, DRAINS)


def test_the_picture_has_one_bar_for_each_contender_with_a_figure(report: Report) -> None:
    drawn = ET.fromstring(plot(report, DRAINS))  # noqa: S314 - our own
    words = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    bars = [element for element in drawn.iter() if element.tag.endswith("rect")][1:]
    assert words == ["drain, 1 process, items/s", "floor", "200", "retryd", "150", "oban", "10.0"]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths == sorted(widths, reverse=True)


def test_the_file_has_every_round(report: Report) -> None:
    said = json.loads(report.json())
    assert [each["figures"]["rate"] for each in said["results"][:3]] == [100.0, 300.0, 200.0]
