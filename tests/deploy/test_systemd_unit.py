"""The unit of systemd, as its own tools read it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from retryd.processes.child import MISUSED
from tests.deploy.numbers import DEPLOY, longest_block, longest_end
from tests.faults.programs import program

UNIT = DEPLOY / "systemd" / "retryd.service"
TEXT = UNIT.read_text()
SERVICE = dict(re.findall(r"(?m)^(\w+)=(.*)$", TEXT))
EXECUTABLE = "/opt/retryd/bin/retryd"


def analyze(folder: Path, text: str, *argv: str) -> tuple[int, str]:
    """Let systemd-analyze read a unit of this text, whose program is there."""
    unit = folder / "retryd.service"
    unit.write_text(text.replace(EXECUTABLE, "/bin/true"))
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "--no-pager", *argv, str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_systemd_finds_nothing_in_the_unit(tmp_path: Path) -> None:
    assert analyze(tmp_path, TEXT, "verify") == (0, "")
    assert (
        "WatchdogSek" in analyze(tmp_path, TEXT.replace("WatchdogSec", "WatchdogSek"), "verify")[1]
    )


def test_the_unit_gives_little_to_whoever_takes_the_worker_over(tmp_path: Path) -> None:
    strict = ("security", "--offline=true", "--threshold=15")
    status, found = analyze(tmp_path, TEXT, *strict)
    assert status == 0, found
    trusting = TEXT.replace("CapabilityBoundingSet=\n", "").replace("SystemCallFilter=", "#")
    assert analyze(tmp_path, trusting, *strict)[0] != 0


def test_the_unit_gives_a_worker_the_time_to_drain_and_to_block() -> None:
    assert float(SERVICE["TimeoutStopSec"]) > longest_end()
    assert float(SERVICE["WatchdogSec"]) > longest_block()


def test_the_unit_starts_what_speaks_with_systemd_and_keeps_the_password_from_others() -> None:
    assert SERVICE["Type"] == "notify"
    assert SERVICE["ExecStart"].startswith(f"{EXECUTABLE} run ")
    assert SERVICE["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert SERVICE["RestartPreventExitStatus"] == str(MISUSED)
    name, _, _ = SERVICE["LoadCredential"].partition(":")
    assert f"Environment=RETRYD_DATABASE_URL=file:%d/{name}\n" in TEXT
    assert "postgresql://" not in TEXT


def test_the_unit_lets_handlers_be_limited() -> None:
    """Processes of handlers set limits of their own, which systemd counts among @resources."""
    assert "SystemCallFilter=@system-service\n" in TEXT
    denied = " ".join(re.findall(r"(?m)^SystemCallFilter=~(.*)$", TEXT)).split()
    assert denied == ["@privileged"]
