"""What workers report is read as it grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers.adapters.protocol import FailedOnPurposeError, Report, step_of
from benchmarks.peers.cost import cpu_seconds, peak_megabytes
from benchmarks.peers.workers import Reports


def line(calls: int, first: float, *starts: tuple[int, float]) -> str:
    return json.dumps({"calls": calls, "first": first, "starts": starts})


def test_calls_of_all_processes_are_added_up_and_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text(f"{line(3, 20.0)}\n{line(5, 20.0)}\n")
    (tmp_path / "2.jsonl").write_text(f"{line(7, 10.0)}\n")
    reports = Reports(tmp_path)
    assert reports.look() == 12
    assert reports.first == 10.0


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    whole = line(1, 5.0, (0, 5.0)) + "\n"
    path.write_text(whole + line(2, 5.0, (1, 6.0))[:10])
    reports = Reports(tmp_path)
    assert reports.look() == 1
    path.write_text(whole + line(2, 5.0, (1, 6.0)) + "\n")
    assert reports.look() == 2
    assert reports.starts == [(0, 5.0), (1, 6.0)]


def test_a_handler_that_fails_does_so_twice_for_each_item(tmp_path: Path) -> None:
    report = Report(tmp_path)
    step = step_of("fail", report)
    for key in ("a", "b"):
        for _ in range(2):
            with pytest.raises(FailedOnPurposeError):
                step(key, {})
        step(key, {})
    assert report.calls == 6


@pytest.mark.parametrize(
    "given",
    [{"seq": 7}, '{"seq": 7}', b'{"seq": 7}', lambda: {"seq": 7}],
    ids=["object", "text", "bytes", "called"],
)
def test_a_start_is_told_with_the_number_of_its_item(given: object, tmp_path: Path) -> None:
    report = Report(tmp_path)
    step_of("times", report)("key", given)
    ((seq, began),) = report.starts
    assert seq == 7
    assert began <= report.first


def test_what_a_child_costs_counts_as_its_parents() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    nest = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", nest], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_seconds(process.pid) >= 0.2
        alone = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        assert peak_megabytes(process.pid) > alone * os.sysconf("SC_PAGE_SIZE") / 1024**2
        process.communicate(b"\n")


def test_a_process_that_has_ended_costs_nothing_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert cpu_seconds(process.pid) == 0
    assert peak_megabytes(process.pid) == 0
