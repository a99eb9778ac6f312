from __future__ import annotations

import asyncio
import gc
import linecache
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, TracebackType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retryd.domain import stack
from retryd.domain.stack import FRAMES, PLACE_LENGTH, PLACES, stack_of

Call = Callable[[], object]


class Own(Exception):
    """Of a module, with words of its own."""

    def __str__(self) -> str:  # type: ignore[explicit-override]
        return "its own words: " + ", ".join(map(repr, self.args))


class Exits(Exception):
    def __str__(self) -> str:  # type: ignore[explicit-override]
        raise SystemExit(3)


class Mute(Exception):
    def __str__(self) -> str:  # type: ignore[explicit-override]
        raise RuntimeError("no words")


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:  # type: ignore[explicit-override]
        return self.upper()


class Shouts(Exception):
    def __str__(self) -> str:  # type: ignore[explicit-override]
        return Loud("shouted")


class Empty(Exception):
    """False, as a collection without members is."""

    def __len__(self) -> int:
        return 0


class Homeless(Exception):
    __module__ = None  # type: ignore[assignment]


class OfMain(Exception):
    __module__ = "__main__"


class Shapeless(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override, explicit-override]
        raise RuntimeError("no notes")


class Secretive(Exception):
    def __getattribute__(self, name: str) -> object:  # type: ignore[explicit-override]
        raise RuntimeError(name)


def of_library(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc, limit=-FRAMES))


def told(tell: Callable[[BaseException], str], error: BaseException) -> str:
    """Return the text, or how telling it failed."""
    try:
        return tell(error)
    except RuntimeError as broken:
        return f"raised {broken}"


def caught(call: Call) -> BaseException:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is to be described
        return error
    raise AssertionError


# Ways in which one call leads to another: what stands in a stack between handler and error.


def plain(call: Call) -> object:
    return call()


def in_lambda(call: Call) -> object:
    return max("x", key=lambda _: [str(call()) for _ in "x"])


def in_expression(call: Call) -> object:
    return {"a": 1}["a"] + int(str(call())) * 2


def in_lines(call: Call) -> object:
    return (
        1
        + max(
            2,
            int(str(call())),
        )
        # between the lines
    )


def with_wide_letters(call: Call) -> object:
    größe = {"日本": call}; return größe["日本"]() + 1  # type: ignore[operator]  # fmt: skip # noqa: E702, PLC2401 # codespell:ignore


def in_generator(call: Call) -> object:
    return list(call() for _ in "x")  # noqa: C400 - the frame of a generator is wanted


def awaited(call: Call) -> object:
    async def inner() -> object:
        return call()

    async def outer() -> object:
        return await inner()

    return outer().send(None)


def without_source(call: Call) -> object:
    made: dict[str, Callable[..., object]] = {}
    exec("def f(call):\n  return call(\n  )", made)  # noqa: S102 - code as templates make it
    return partial(made["f"], call)()


def in_other_file(call: Call) -> object:
    """Run code equal to that of `plain`, which says it is from elsewhere."""
    code = plain.__code__.replace(co_filename="<elsewhere>\n", co_name="odd\nname")
    return FunctionType(code, {})(call)


def after_another(call: Call) -> object:
    try:
        return int("first")
    except ValueError:
        return call()


def translated(call: Call) -> object:
    try:
        return call()
    except Exception as error:
        raise OSError(5, "translated") from error


def handled(call: Call) -> object:
    try:
        return call()
    except Exception:  # noqa: BLE001 - the chain is what is tested
        raise ConnectionError("during handling")  # noqa: B904 - the same


def hidden(call: Call) -> object:
    try:
        return call()
    except Exception:  # noqa: BLE001 - the chain is what is tested
        raise TimeoutError from None


def emptied(call: Call) -> object:
    try:
        return call()
    except Exception as error:
        raise Empty from error


def noted(call: Call) -> object:
    try:
        return call()
    except Exception as error:
        error.add_note("seen\non the way")
        raise


def grouped(call: Call) -> object:
    try:
        return call()
    except Exception as error:
        raise ExceptionGroup("both", [error, KeyError("k")]) from error


def looped(call: Call) -> object:
    try:
        return call()
    except Exception as error:
        later = ValueError("later")
        error.__cause__ = later
        raise later from error


def raised_again(call: Call) -> object:
    try:
        return call()
    except Exception as error:  # noqa: TRY203 - the same error, with this frame twice
        raise error  # noqa: TRY201 - a line of its own in the traceback


def repeated(times: int, call: Call) -> object:
    return repeated(times - 1, call) if times else call()


def to_and_fro(times: int, call: Call) -> object:
    if times % 2:
        return to_and_fro(times - 1, call)
    return to_and_fro(times - 1, call) if times else call()


def no_such_name() -> object:
    return lenght  # type: ignore[name-defined] # noqa: F821 # codespell:ignore


def no_such_member() -> object:
    return "".spilt()  # type: ignore[attr-defined]


def no_such_module() -> object:
    from collections import OrderedDic  # type: ignore[attr-defined] # noqa: PLC0415

    return OrderedDic


def no_syntax() -> object:
    return compile("a = (1,\nb = 2", "<written>", "exec")


def thrown(make: Callable[[], BaseException]) -> object:
    raise make()


STEPS = [
    *(plain, in_lambda, in_expression, in_lines, with_wide_letters, in_generator, awaited),
    *(without_source, in_other_file, after_another, translated, handled, hidden, emptied),
    *(noted, grouped, looped, raised_again),
]
MAKERS: list[Callable[[], BaseException]] = [
    *(ValueError, partial(ValueError, "no such customer"), partial(KeyError, "k\nline")),
    *(
        partial(OSError, 2, "gone", "file"),
        partial(Own, 1, "é"),
        partial(RuntimeError, "\ud800\x00"),
    ),
    *(Mute, Exits, Shouts, Empty, Homeless, OfMain, Shapeless, StopIteration, AssertionError),
    *(
        KeyboardInterrupt,
        partial(SystemExit, 3),
        asyncio.CancelledError,
        partial(Exception, "a", 1),
    ),
    partial(UnicodeDecodeError, "utf-8", b"\xff", 0, 1, "bad"),
    partial(ExceptionGroup, "many", [ValueError(n) for n in range(20)]),
    partial(SyntaxError, "odd", ("file", 1, 2, "text", 1, 4)),
    partial(AttributeError, "of old", name="spilt", obj=""),
]
ENDS: list[Call] = [
    *(no_such_name, no_such_member, no_such_module, no_syntax),
    *(partial(thrown, make) for make in MAKERS),
]
steps = st.lists(
    st.sampled_from(STEPS)
    | st.builds(partial, st.sampled_from([repeated, to_and_fro]), st.integers(0, FRAMES + 5)),
    max_size=6,
)


@settings(deadline=None)
@given(steps, st.sampled_from(ENDS))
def test_it_is_what_the_library_says(way: list[Callable[[Call], object]], end: Call) -> None:
    call = end
    for step in way:
        call = partial(step, call)
    error = caught(call)
    expected = told(of_library, error)
    for _ in ("made", "from memory"):
        assert told(stack_of, error) == expected


@pytest.mark.parametrize("step", STEPS)
def test_each_way_to_each_end_is_told_as_the_library_does(
    step: Callable[[Call], object],
) -> None:
    for end in ENDS:
        error = caught(partial(step, end))
        assert told(stack_of, error) == told(of_library, error)


@pytest.mark.parametrize("end", ENDS)
def test_an_exception_that_was_never_raised_is_told_too(end: Call) -> None:
    error = caught(end).with_traceback(None)
    assert told(stack_of, error) == told(of_library, error)


def test_what_breaks_the_library_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="__traceback__"):
        stack_of(Secretive())


@pytest.mark.parametrize(
    "count", [1, 3, 4, 5, FRAMES - 3, FRAMES - 2, FRAMES, FRAMES + 1, 5 * FRAMES]
)
@pytest.mark.parametrize("down", [repeated, to_and_fro])
def test_many_frames_are_told_as_the_library_does(
    down: Callable[[int, Call], object], count: int
) -> None:
    error = caught(partial(down, count, no_such_name))
    assert stack_of(error) == of_library(error)
    error = caught(partial(down, count, partial(thrown, partial(ValueError, "deep"))))
    assert stack_of(error) == of_library(error)


def tracebacks(error: BaseException) -> list[TracebackType]:
    found = []
    tb = error.__traceback__
    while tb is not None:
        found.append(tb)
        tb = tb.tb_next
    return found


@pytest.mark.parametrize("end", [no_syntax, partial(thrown, partial(ValueError, "x"))])
def test_a_traceback_made_by_hand_is_told_by_what_it_says(end: Call) -> None:
    last = tracebacks(caught(end))[-1]
    for at in (-1, last.tb_lasti, 0, 10**6):
        for line in (last.tb_lineno, 1, 2, 10**6):
            error = ValueError("by hand").with_traceback(
                TracebackType(None, last.tb_frame, at, line)
            )
            for _ in ("made", "from memory"):
                assert told(stack_of, error) == told(of_library, error)


def without_lines() -> FunctionType:
    """Return a function whose instructions do not tell their lines."""
    code = no_such_name.__code__
    # Of the table of locations (see Objects/locations.md): kind 15, no location, for 8 units each.
    units = len(code.co_code) // 2
    lengths = [8] * (units // 8) + ([units % 8] if units % 8 else [])
    table = bytes(0x80 | 15 << 3 | length - 1 for length in lengths)
    return FunctionType(code.replace(co_linetable=table), {})


def test_where_the_code_tells_no_line_that_of_the_traceback_counts() -> None:
    last = tracebacks(caught(without_lines()))[-1]
    for line in (1, 2, 3):
        error = ValueError("x").with_traceback(
            TracebackType(None, last.tb_frame, last.tb_lasti, line)
        )
        assert f"line {line}, in" in stack_of(error)
        assert stack_of(error) == of_library(error)


def test_equal_code_from_two_files_is_told_apart(tmp_path: Path) -> None:
    errors = []
    for name in ("a.py", "b.py"):
        path = tmp_path / name
        path.write_text(f"def f():\n    raise ValueError  # {name}\n")
        made: dict[str, Callable[..., object]] = {}
        exec(compile(path.read_text(), str(path), "exec"), made)  # noqa: S102 - written above
        errors.append(caught(made["f"]))
    assert tracebacks(errors[0])[-1].tb_frame.f_code == tracebacks(errors[1])[-1].tb_frame.f_code
    for error in errors:
        assert stack_of(error) == of_library(error)


def test_source_is_shown_as_it_was_when_the_place_was_first_told(tmp_path: Path) -> None:
    path = tmp_path / "deployed.py"
    path.write_text("def f():\n    raise ValueError  # old\n")
    made: dict[str, Callable[..., object]] = {}
    exec(compile(path.read_text(), str(path), "exec"), made)  # noqa: S102 - written above
    assert "# old" in stack_of(caught(made["f"]))
    path.write_text("# new\n\n")
    assert "# old" in stack_of(caught(made["f"]))
    assert "# old" not in of_library(caught(made["f"]))


class Big:
    pass


def test_neither_frames_nor_exceptions_nor_code_are_kept() -> None:
    def attempt() -> list[weakref.ref[object]]:
        made: dict[str, Callable[..., object]] = {}
        exec("def f(big):\n  raise KeyError(big)", made)  # noqa: S102 - code that can go away
        big = Big()
        error = caught(partial(made["f"], big))
        assert "KeyError: <" in stack_of(error)
        code = tracebacks(error)[-1].tb_frame.f_code
        return [weakref.ref(big), weakref.ref(made["f"]), weakref.ref(code)]

    left = attempt()
    gc.collect()
    assert [reference() for reference in left] == [None, None, None]


def test_a_code_object_in_the_place_of_one_that_went_away_is_told_as_itself() -> None:
    def of_generated(number: int) -> tuple[int, str]:
        made: dict[str, Callable[..., object]] = {}
        exec(f"def f{number}():\n  raise ValueError", made)  # noqa: S102 - code that can go away
        error = caught(made[f"f{number}"])
        return id(tracebacks(error)[-1].tb_frame.f_code), stack_of(error)

    addresses = set()
    for number in range(200):
        address, text = of_generated(number)
        addresses.add(address)
        assert f"in f{number}\n" in text
    assert len(addresses) < 200  # some took the place of another, or this tests nothing


def generated(number: int, comment: str = "") -> CodeType:
    return compile(f"raise ValueError({number})  {comment}", f"<generated {number}>", "exec")


def test_generated_code_does_not_fill_the_memory() -> None:
    alive = [generated(number) for number in range(PLACES + 10)]
    for code in alive:
        error = caught(partial(exec, code, {}))
        assert stack_of(error) == of_library(error)
        assert 0 < len(stack._places) <= PLACES


def test_a_place_with_endless_source_is_told_and_not_remembered() -> None:
    code = generated(0, "#" * PLACE_LENGTH)
    source = f"raise ValueError(0)  {'#' * PLACE_LENGTH}\n"
    linecache.cache["<generated 0>"] = (len(source), None, [source], "<generated 0>")
    try:
        error = caught(partial(exec, code, {}))
        assert stack_of(error) == of_library(error)
        assert all(len(text) <= PLACE_LENGTH for _, text, _ in stack._places.values())
    finally:
        del linecache.cache["<generated 0>"]


def test_the_library_is_not_asked_twice_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt() -> BaseException:
        return caught(partial(translated, partial(thrown, partial(ConnectionError, "refused"))))

    first = stack_of(attempt())

    def asked(*_: object, **__: object) -> list[str]:
        raise AssertionError

    monkeypatch.setattr(traceback, "format_tb", asked)
    monkeypatch.setattr(traceback, "format_exception", asked)
    assert stack_of(attempt()) == first


def test_threads_may_tell_stacks_at_once() -> None:
    calls = [partial(exec, generated(number), {}) for number in range(PLACES // 2)] * 4

    def both(call: Call) -> tuple[str, str]:
        error = caught(call)
        return stack_of(error), of_library(error)

    with ThreadPoolExecutor(8) as threads:
        for said, expected in threads.map(both, calls):
            assert said == expected
