"""A record is read as it was written, or not at all."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.spool.frame import Damage, Found, Record, TornTail, frame, read_lines

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=10,
)
records = st.builds(
    lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(
        errors="surrogatepass"
    ),
    values,
    st.booleans(),
)
SEGMENT = [b'{"n": 1}', b"", b'{"text": "gr\xc3\xb6\xc3\x9fe"}', b'{"n": [2, 3]}']


def read(content: bytes) -> list[Found]:
    """Read a segment as a file is read."""
    return list(read_lines(io.BytesIO(content)))


def bodies(found: list[Found]) -> list[bytes]:
    """Return the records in what was found."""
    return [each.body for each in found if isinstance(each, Record)]


@given(st.lists(records))
def test_any_json_comes_back_byte_for_byte(written: list[bytes]) -> None:
    lines = [frame(record) for record in written]
    found = read(b"".join(lines))
    assert bodies(found) == written
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    assert [each.offset for each in found] == starts


def test_a_line_has_length_checksum_and_json() -> None:
    assert frame(b'{"n":1}') == b'00000007 d44b3b7e {"n":1}\n'


def test_a_record_with_a_newline_is_no_line() -> None:
    with pytest.raises(ValueError, match="one line"):
        frame(b"[1,\n2]")


def test_whatever_is_cut_off_the_records_before_it_are_read_and_nothing_else() -> None:
    lines = [frame(record) for record in SEGMENT]
    content = b"".join(lines)
    for end in range(len(content) + 1):
        whole = sum(sum(map(len, lines[: number + 1])) <= end for number in range(len(lines)))
        kept = sum(map(len, lines[:whole]))
        found = read(content[:end])
        assert bodies(found) == SEGMENT[:whole]
        torn = [TornTail(kept, content[kept:end])] if kept < end else []
        assert found[whole:] == torn


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_costs_no_other_record_than_those_of_its_line(bit: int) -> None:
    lines = [frame(record) for record in SEGMENT]
    content = b"".join(lines)
    for offset in range(len(content)):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << bit
        hit = next(
            number for number in range(len(lines)) if offset < sum(map(len, lines[: number + 1]))
        )
        lost = {hit, hit + 1} if content[offset] == ord("\n") else {hit}
        found = read(bytes(flipped))
        left = [record for number, record in enumerate(SEGMENT) if number not in lost]
        assert bodies(found) == left
        bad = b"".join(each.body for each in found if not isinstance(each, Record))
        assert len(bad) == sum(len(lines[number]) for number in lost if number < len(lines))


@given(st.binary())
def test_garbage_is_damage_and_a_tail_and_every_byte_of_it_is_told(garbage: bytes) -> None:
    found = read(garbage)
    assert b"".join(each.body for each in found) == garbage
    assert all(isinstance(each, Damage) for each in found[:-1])


def test_what_follows_damage_is_read() -> None:
    damaged = frame(b'{"n":1}').replace(b"1}", b"2}")
    found = read(damaged + frame(b'{"n":3}'))
    assert found == [Damage(0, damaged), Record(len(damaged), b'{"n":3}')]


def test_digits_of_another_case_are_damage() -> None:
    [damage] = read(frame(b'{"n":1}').replace(b"d44b3b7e", b"D44B3B7E"))
    assert isinstance(damage, Damage)
