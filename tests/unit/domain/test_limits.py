from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retryd.domain import limits
from retryd.domain.errors import Refused
from retryd.domain.json_text import write_json
from retryd.domain.limits import (
    CUT_MARK,
    check_event_type,
    check_json,
    check_key,
    check_priority,
    cut,
    encode_json,
    ordinary_json,
)

storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
numbers = st.integers(-(10**308) + 1, 10**308 - 1) | st.floats(
    allow_nan=False, allow_infinity=False
)
plain_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-1e6, 1e6).map(lambda x: round(x, 9))
    | storable,
    lambda inner: st.lists(inner) | st.dictionaries(storable, inner),
)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def as_postgres_writes(value: float) -> str:
    text = json.dumps(value)
    return text if "e" not in text else format(Decimal(text), "f")


def followed(beginning: str) -> st.SearchStrategy[str]:
    return st.text("aZ0._:-", max_size=8).map(lambda rest: beginning + rest)


@pytest.mark.parametrize(
    "text",
    ["failed", "sql.query.failed", "a", "A-1:b_c.error", "retryd", "Retryd.a", "x" * 200],
    ids=lambda text: text[:16],
)
def test_an_event_type_is_made_of_letters_digits_and_four_signs(text: str) -> None:
    check_event_type(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".failed",
        "x.failed.",
        ".",
        "a b",
        "a\n",
        "é",
        "a\u2024b",
        "x\x00",
        "x" * 201,
        "a." * 10**6,
        "retryd.worker.failed",
        "retryd.failed",
        "retryd.x" * 25,
        7,
        None,
    ],
    ids=lambda text: repr(text)[:12],
)
def test_anything_else_is_no_event_type(text: object) -> None:
    with pytest.raises(Refused, match=r"^event_type .{1,260}$") as caught:
        check_event_type(text)
    assert caught.value.sqlstate == "RT400"


@given(st.text() | st.sampled_from(["retryd", "retryd."]).flatmap(followed))
def test_the_rule_of_event_types_is_the_expression_of_the_sql_door(text: str) -> None:
    rule = r"(?!retryd\.)[A-Za-z0-9_:-]([A-Za-z0-9_.:-]*[A-Za-z0-9_:-])?"
    try:
        check_event_type(text)
    except Refused:
        assert len(text) > 200 or not re.fullmatch(rule, text)
    else:
        assert re.fullmatch(rule, text)


def test_a_key_is_measured_in_bytes() -> None:
    check_key("source", "")
    check_key("source", "é" * 127)
    with pytest.raises(Refused, match="source is too long: give at most 255 bytes"):
        check_key("source", "é" * 128)


@pytest.mark.parametrize("value", ["x\x00", "\ud800", "x" * 256, "x" * 10**7, b"x", 7, None])
def test_what_postgresql_cannot_hold_is_no_key(value: object) -> None:
    with pytest.raises(Refused, match=r"^correlation_id "):
        check_key("correlation_id", value)


@pytest.mark.parametrize("name", ["event_id", "ordering_key"])
def test_an_empty_key_would_make_strangers_equal(name: str) -> None:
    with pytest.raises(Refused, match="leave it out"):
        check_key(name, "")


def test_a_priority_is_a_digit() -> None:
    for priority in range(10):
        check_priority(priority)


@pytest.mark.parametrize(
    "value", [-1, 10, pytest.param(10**5000, id="enormous"), True, 5.0, "5", None]
)
def test_anything_else_is_no_priority(value: object) -> None:
    with pytest.raises(Refused, match=r"^priority "):
        check_priority(value)


@given(st.text(st.characters()), st.integers(len(CUT_MARK.encode()), 60))
@example("é" * 40, 20)
@example("a\x00\ud800b", 20)
def test_a_cut_text_is_storable_fits_and_is_cut_once(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short.encode()) <= limit
    assert "\x00" not in short
    assert cut(short, limit) == short
    whole = re.sub("[\x00\ud800-\udfff]", "\ufffd", text)
    assert short == whole or (
        short.endswith(CUT_MARK) and whole.startswith(short[: -len(CUT_MARK)])
    )


def test_a_text_that_fits_to_the_byte_is_not_cut() -> None:
    assert cut("é" * 50, 100) == "é" * 50
    assert cut("é" * 50 + "x", 100) == "é" * 45 + CUT_MARK


@given(plain_json)
def test_json_comes_back_as_it_went(value: object) -> None:
    text = encode_json("payload", value)
    assert json.loads(text) == value
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(numbers)
@example(1e-308)
@example(5e-324)
@example(9.99e307)
@example(1e308)
def test_a_number_passes_if_no_run_of_its_digits_written_out_is_over_308(value: float) -> None:
    longest = max(map(len, re.findall(r"\d+", as_postgres_writes(value))))
    try:
        text = encode_json("payload", [value])
    except Refused:
        assert longest > 308
    else:
        assert longest <= 308
        assert json.loads(text) == [value]


@given(plain_json | numbers)
def test_the_size_is_that_of_the_text_that_postgresql_makes(value: object) -> None:
    try:
        encode_json("payload", value)
    except Refused:
        return
    if isinstance(value, float):
        size = len(as_postgres_writes(value))
    else:
        size = len(json.dumps(value, ensure_ascii=False).encode()) + growth_of_floats(value)
    encode_json("payload", value, max_bytes=size)
    with pytest.raises(Refused, match=f"larger than {size - 1} bytes"):
        encode_json("payload", value, max_bytes=size - 1)


def growth_of_floats(value: object) -> int:
    match value:
        case float():
            return len(as_postgres_writes(value)) - len(repr(value))
        case list():
            return sum(map(growth_of_floats, value))
        case dict():
            return sum(map(growth_of_floats, value.values()))
        case _:
            return 0


def test_tuples_and_enumerations_are_what_json_makes_of_them() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Size(IntEnum):
        S = 1

    assert encode_json("payload", {"at": (1, Colour.RED, Size.S)}) == '{"at":[1,"red",1]}'


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "payload at /at is of type datetime"),
        ({"a/b~": [1, {2, 3}]}, "payload at /a~1b~0/1 is of type set"),
        (b"bytes", "payload is of type bytes"),
        ([[math.nan]], "payload at /0/0 is NaN or infinite"),
        ([-math.inf], "payload at /0 is NaN or infinite"),
        ({"a": {1: "x"}}, "payload at /a has a key of type int"),
        ({"a\x00": 1}, "payload has a key that contains a NUL character"),
        (["x\x00"], "payload at /0 contains a NUL character"),
        (["\ud800"], "payload at /0 contains half of a surrogate pair"),
        ({"\udc00": {}}, "payload has a key that contains half of a surrogate pair"),
        ([10**308], "payload at /0 has more than 308 digits"),
        ({"n": -(10**5000)}, "payload at /n has more than 308 digits"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_refusal_names_the_place_and_the_way_out(value: object, says: str) -> None:
    with pytest.raises(Refused, match="^" + re.escape(says)) as caught:
        encode_json("payload", value)
    assert ": " in str(caught.value)


def test_64_levels_are_the_deepest() -> None:
    assert encode_json("payload", nested(64)) == "[" * 64 + "]" * 64
    assert encode_json("payload", {"a": nested(63)})
    for levels in (65, 5_000, 200_000):
        with pytest.raises(Refused, match="nested too deep: 64 levels are allowed"):
            encode_json("payload", nested(levels))


def test_a_value_that_contains_itself_is_too_deep() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    with pytest.raises(Refused, match="nested too deep"):
        encode_json("payload", ring)


def test_small_in_memory_and_endless_as_text_is_too_large() -> None:
    value: Any = {"key" * 1000: 1}
    for _ in range(50):
        value = [value, value]
    with pytest.raises(Refused, match="larger than"):
        encode_json("payload", value)


def test_a_number_counts_with_all_digits_that_postgresql_writes() -> None:
    assert encode_json("payload", [1e300] * 3_000)
    with pytest.raises(Refused, match="larger than 1048576 bytes"):
        encode_json("payload", [1e300] * 4_000)


def test_a_refusal_stays_short_and_shows_no_value() -> None:
    with pytest.raises(Refused) as caught:
        encode_json("payload", {"k" * 100_000: ["secret\x00"]})
    assert len(str(caught.value)) < 500
    assert "secret" not in str(caught.value)


def test_attributes_have_a_limit_of_their_own() -> None:
    with pytest.raises(Refused, match=r"^attributes is larger than 16384 bytes"):
        encode_json("attributes", {"a": "x" * 16_384}, limits.ATTRIBUTES_BYTES)


@given(plain_json | numbers | st.lists(numbers) | st.text())
@example([10**308])
@example([10**307] * 40)
@example({"a": "9" * 400})
@example([1e-5, "e-", "1e+3"])
@example([["\x00"]])
@example("\ud800")
@example(nested(64))
@example(nested(65))
@example({1: 2})
@example("x" * 4_000)
def test_what_is_encoded_at_a_glance_stands_a_closer_look(value: object) -> None:
    text = ordinary_json(value, limits.ATTRIBUTES_BYTES)
    if text is not None:
        growth = check_json("it", value, limits.ATTRIBUTES_BYTES, limits.JSON_DEPTH)
        assert text == write_json(value, ensure_ascii=False, separators=(",", ":"))
        assert len(text.encode()) + growth <= limits.ATTRIBUTES_BYTES


def test_a_usual_payload_is_encoded_at_a_glance() -> None:
    order = {"order": 7, "lines": [{"sku": "ä-1", "price": 9.95, "n": 2}] * 20, "note": None}
    assert ordinary_json(order, limits.PAYLOAD_BYTES) == json.dumps(
        order, ensure_ascii=False, separators=(",", ":")
    )


def test_what_contains_itself_or_is_endless_gets_the_closer_look() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    tree: Any = []
    for _ in range(50):
        tree = [tree, tree]
    for value in (ring, tree, nested(100_000)):
        assert ordinary_json(value, limits.PAYLOAD_BYTES) is None
