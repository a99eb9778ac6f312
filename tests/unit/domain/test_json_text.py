from __future__ import annotations

import json
import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.errors import Refused
from retryd.domain.json_text import (
    BeyondReading,
    WrittenNumber,
    read_json,
    read_json_strictly,
    write_json,
)
from retryd.domain.limits import encode_json

written = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


@given(st.lists(written | st.text(st.characters(exclude_characters="\x00")).map(json.dumps)))
def test_what_was_read_is_written_again_with_every_digit(items: list[str]) -> None:
    text = f'{{"a":[{",".join(items)}]}}'
    again = write_json(read_json(text), separators=(",", ":"))
    assert json.loads(again, parse_float=str) == json.loads(text, parse_float=str)


@given(written.filter(lambda text: any(mark in text for mark in ".eE")))
def test_a_payload_is_as_large_as_postgresql_writes_it(text: str) -> None:
    plain = format(Decimal(text), "f")
    fits = len(plain)
    assert encode_json("payload", read_json(text), fits) == text
    if len(text) <= fits:
        with pytest.raises(Refused, match="larger"):
            encode_json("payload", read_json(text), fits - 1)


@pytest.mark.parametrize("text", ["1e308", "1e-309", "[1e400]", "-1e99999999999999999999"])
def test_a_number_of_too_many_digits_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="more than 308 digits"):
        encode_json("payload", read_json(text))


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "[" * 100_000, "1.", ""])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_text_that_looks_like_a_mark_stays_text() -> None:
    for text in ("1.5", r'"\u00001.5\u0000"', r"\u00001.5\u0000", '"'):
        assert json.loads(write_json([WrittenNumber("2.50"), text], indent=2))[1] == text


def test_a_type_that_json_does_not_have_goes_to_the_default_or_is_refused() -> None:
    assert write_json([Decimal(1)], default=str) == '["1"]'
    with pytest.raises(TypeError, match="Decimal is no type of JSON"):
        write_json(Decimal(1))


def test_a_key_that_comes_twice_is_found_in_time_among_however_many() -> None:
    """It took hours when each key was looked for among all others."""
    keys = ", ".join(f'"k{number}": 0' for number in range(300_000))
    with pytest.raises(BeyondReading, match="the key 'last' twice"):
        read_json_strictly(f'{{{keys}, "last": 1, "last": 2}}')


def test_the_way_to_a_key_that_comes_twice_takes_no_memory_for_its_neighbours() -> None:
    depth, neighbours = 900, 20_000
    text = "[" * depth + '{"a": 1, "a": 1}' + ", 0" * neighbours + "]" * depth
    tracemalloc.start()
    try:
        with pytest.raises(BeyondReading) as caught:
            read_json_strictly(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.pointer == "/0" * depth
    assert peak < 20_000_000


def test_the_way_to_a_key_that_comes_twice_is_not_told_whole_where_it_is_long() -> None:
    with pytest.raises(BeyondReading) as caught:
        read_json_strictly(json.dumps({"k" * 100_000: 0})[:-2] + '{"a": 1, "a": 1}}')
    assert len(caught.value.pointer) < 200
