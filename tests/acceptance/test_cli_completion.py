"""What a real bash completes once it has the script of `retryd completion`."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.acceptance.commands import Shell

PROGRAMS = Path(sys.executable).parent


async def completed(shell: Shell, *words: str) -> list[str]:
    """Return what bash offers where these words are typed and the cursor is behind the last."""
    typed = " ".join(map(shlex.quote, ("retryd", *words)))
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "--noprofile", "-c"),
        'eval "$(retryd completion bash)" && complete -p retryd >&2 &&'
        f" COMP_WORDS=({typed}) COMP_CWORD={len(words)} &&"
        ' _retryd_completion retryd && printf "%s\\n" "${COMPREPLY[@]}"',
        cwd=shell.folder,
        env={**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err.decode() == "complete -o default -F _retryd_completion retryd\n"
    return out.decode().split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("han",), ["handler"]),
        (("handler", ""), ["list", "pause", "resume", "forget"]),
        (("list", "--st"), ["--state"]),
        (("list", "--state", "p"), ["pending", "processing", "parked"]),
        (("handler", "forget", "mail", "--y"), ["--yes"]),
        (("token", "create", "--scope", "o"), ["operate"]),
        (("list", "--config", "conf"), []),
    ],
)
async def test_bash_completes_commands_options_and_their_values(
    bare_shell: Shell, words: tuple[str, ...], offered: list[str]
) -> None:
    assert await completed(bare_shell, *words) == offered


@pytest.mark.parametrize(
    ("name", "words"),
    [("zsh", "compdef _retryd_completion retryd"), ("fish", "complete --command")],
)
async def test_the_scripts_of_other_shells_are_there(
    bare_shell: Shell, name: str, words: str
) -> None:
    ended = await bare_shell("completion", name)
    assert (ended.status, ended.err) == (0, "")
    assert words in ended.out


async def test_a_shell_that_is_not_known_is_refused(bare_shell: Shell) -> None:
    assert "'nushell'" in (await bare_shell("completion", "nushell")).refused(2)
