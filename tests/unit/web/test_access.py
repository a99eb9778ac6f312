"""Who is let in: tokens and how they are written, signatures and how far they go."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import get_args

import pytest
import standardwebhooks
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from typing_extensions import override

from retryd.domain.api_token import ApiToken, Scope, hash_of, read_token, token_text
from retryd.domain.errors import DatabaseUnavailable, SchemaOutdated
from retryd.handlers.signature import TOLERANCE_SECONDS, signed, verified
from retryd.settings.models import HttpSettings
from retryd.web import known_tokens
from retryd.web.access import Access, Caller, is_loopback
from retryd.web.known_tokens import KnownTokens, TokenReader
from tests.waiting import until

NOW = 1_800_000_000
LOOPBACK = [("127.0.0.1", 7387), ("::1", 7387)]
EVERYWHERE = [("0.0.0.0", 7387)]  # noqa: S104 - is not listened at
SECRET, OTHER = bytes(range(32)), bytes(32)

ids = st.integers(0, 10**18 - 1)
secrets = st.binary(min_size=32, max_size=32)
keys = st.binary(min_size=24, max_size=64).map(
    lambda key: SecretStr(f"whsec_{base64.b64encode(key).decode()}")
)
message_ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@dataclass
class Shelf:
    """A source of tokens that holds what the test puts there; `trouble` is raised instead."""

    tokens: Sequence[ApiToken] = ()
    trouble: Exception | None = None
    reads: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def live_tokens(self) -> Sequence[ApiToken]:
        self.reads += 1
        self.asked.set()
        if self.trouble is not None:
            raise self.trouble
        return self.tokens


@dataclass
class Time:
    """A clock that the test moves."""

    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def a_token(id: int = 7, *scopes: str, secret: bytes = SECRET, **facts: float) -> ApiToken:
    """Return a token as it is read."""
    return ApiToken(id, "shop", frozenset(scopes or {"ingest"}), hash_of(secret), **facts)


def bearer(text: str) -> dict[str, str]:
    """Return the headers that show a token."""
    return {"authorization": f"Bearer {text}"}


def an_access(*tokens: ApiToken, **settings: tuple[str, ...]) -> Access:
    """Return one that has read these tokens, and listens where everybody can reach it."""
    known = KnownTokens()
    known.learn(tokens, known.clock())
    access = Access(HttpSettings.model_validate(settings), known, lambda: NOW)
    access.listening(EVERYWHERE)
    return access


async def refusal(access: Access, headers: Mapping[str, str]) -> HTTPException:
    """Return the answer to who is not let in."""
    with pytest.raises(HTTPException) as caught:
        await access.identified(headers)
    return caught.value


# --- how a token is written -----------------------------------------------------------------------


@given(id=ids, secret=secrets)
def test_a_token_reads_as_it_was_written(id: int, secret: bytes) -> None:
    text = token_text(id, secret)
    assert read_token(text) == (id, secret)
    assert text.count("_") == 2
    HttpSettings.model_validate({"tokens": (text,)})  # it has the form of a bearer token


@given(st.text() | st.from_regex(r"rtd_[0-9]*_[0-9a-fA-F_]*", fullmatch=True))
@example("rtd_1_" + "0" * 63)
@example("rtd_1_" + "0" * 64 + "\n")
@example("rtd_01_" + "0" * 64)
@example("rtd_-1_" + "0" * 64)
@example("rtd_\u0661_" + "0" * 64)
@example("rtd_1_" + "A" * 64)
@example("rtd_1_" + "0" * 65)
@example("rtd_" + "9" * 30 + "_" + "0" * 64)
def test_a_text_is_the_token_that_it_writes_or_none(text: str) -> None:
    read = read_token(text)
    assert read is None or token_text(*read) == text


def test_what_shows_a_token_to_a_programmer_shows_no_secret() -> None:
    shown = f"{a_token()!r} {Caller('shop', frozenset({'read'}), 7)!r}"
    assert SECRET.hex() not in shown
    assert repr(hash_of(SECRET)) not in shown
    assert "sesame" not in repr(HttpSettings.model_validate({"tokens": ("sesame",)}))


# --- tokens ---------------------------------------------------------------------------------------


async def test_a_token_of_the_configuration_may_do_everything() -> None:
    access = an_access(tokens=("sesame", "another"))
    for text in ("sesame", "another"):
        caller = await access.identified(bearer(text))
        assert all(caller.may(scope) for scope in get_args(Scope))
        assert caller.token_id is None
        assert text not in repr(caller)
    assert (await refusal(access, bearer("sesam"))).status_code == 401


@given(granted=st.sets(st.sampled_from(get_args(Scope))), asked=st.sampled_from(get_args(Scope)))
def test_admin_may_all_and_another_scope_itself_alone(granted: set[str], asked: Scope) -> None:
    may = Caller("shop", frozenset(granted)).may(asked)
    assert may is (asked in granted or "admin" in granted)


async def test_a_token_of_the_database_may_what_its_scopes_say() -> None:
    caller = await an_access(a_token(7, "read", "operate")).identified(
        bearer(token_text(7, SECRET))
    )
    assert caller == Caller("shop", frozenset({"read", "operate"}), 7)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_read_as_http_has_it(scheme: str) -> None:
    headers = {"authorization": f"{scheme} {token_text(7, SECRET)}"}
    assert (await an_access(a_token()).identified(headers)).token_id == 7


async def test_unknown_wrong_and_expired_tokens_get_one_and_the_same_answer() -> None:
    time = Time()
    known = KnownTokens(time)
    known.learn([a_token(7), a_token(8, expires_in_seconds=5.0)], time())
    access = Access(HttpSettings(), known)
    assert (await access.identified(bearer(token_text(8, SECRET)))).token_id == 8
    time.seconds += 5
    texts = (token_text(7, OTHER), token_text(8, SECRET), token_text(9, SECRET), "nonsense")
    answers = [await refusal(access, bearer(text)) for text in texts]
    answers.append(await refusal(access, {"authorization": "Basic c2VzYW1l"}))
    told = {(each.status_code, each.detail, str(each.headers)) for each in answers}
    assert len(told) == 1
    [(status, detail, headers)] = told
    assert status == 401
    assert "retryd token create" in detail
    assert 'Bearer realm="retryd", error="invalid_token"' in headers


async def test_who_shows_nothing_is_asked_for_a_token() -> None:
    answer = await refusal(an_access(a_token()), {})
    assert (answer.status_code, answer.headers) == (
        401,
        {"www-authenticate": 'Bearer realm="retryd"'},
    )


def test_a_revoked_token_is_forgotten_with_the_next_reading() -> None:
    known = KnownTokens()
    known.learn([a_token(7), a_token(8)], known.clock())
    assert known.find(7, SECRET)
    known.learn([a_token(8)], known.clock())
    assert known.find(7, SECRET) is None
    assert known.find(8, SECRET)


async def test_what_was_never_read_is_not_refused_but_put_off() -> None:
    access = Access(HttpSettings.model_validate({"tokens": ("sesame",)}))
    answer = await refusal(access, bearer(token_text(7, SECRET)))
    assert (answer.status_code, answer.headers) == (503, {"retry-after": "5"})
    assert (await refusal(access, {})).status_code == 401
    assert (await access.identified(bearer("sesame"))).may("admin")


# --- without any token ----------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    """Return the lines of the log with this event."""
    return [record for record in caplog.records if record.getMessage() == event]


async def test_where_only_this_machine_listens_a_token_is_made_once_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    access, shelf = Access(HttpSettings()), Shelf()
    access.listening(LOOPBACK)
    assert told(caplog, "http_token_made") == []
    async with access.reading(shelf):
        [line] = await until(lambda: told(caplog, "http_token_made"))
        access.listening(LOOPBACK)
        where, _, text = vars(line)["address"].partition("/?token=")
        assert where == "http://127.0.0.1:7387"
        assert read_token(text) is not None
        caller = await access.identified(bearer(text))
        assert (caller.may("admin"), caller.token_id) == (True, None)
    assert len(told(caplog, "http_token_made")) == 1
    assert told(caplog, "api_not_served") == []


async def test_where_others_listen_nothing_is_served_until_there_is_a_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    access, shelf = Access(HttpSettings()), Shelf()
    access.listening([*LOOPBACK, *EVERYWHERE])
    async with access.reading(shelf):
        await until(lambda: told(caplog, "api_not_served"))
        for headers in ({}, bearer("nonsense")):
            answer = await refusal(access, headers)
            assert answer.status_code == 403
            assert "retryd token create" in answer.detail
        shelf.tokens = [a_token()]
        assert (await access.identified(bearer(token_text(7, SECRET)))).token_id == 7
        assert (await refusal(access, {})).status_code == 401
    assert len(told(caplog, "api_not_served")) == 1
    assert told(caplog, "http_token_made") == []


async def test_a_token_of_the_configuration_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    access, shelf = Access(HttpSettings.model_validate({"tokens": ("sesame",)})), Shelf()
    access.listening(LOOPBACK)
    async with access.reading(shelf):
        await until(lambda: shelf.reads)
    assert (await refusal(access, {})).status_code == 401
    assert told(caplog, "http_token_made") + told(caplog, "api_not_served") == []


async def test_a_token_that_was_there_is_not_followed_by_one_that_nobody_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    access, shelf = Access(HttpSettings()), Shelf([a_token()])
    access.listening(LOOPBACK)
    async with access.reading(shelf):
        await access.identified(bearer(token_text(7, SECRET)))
        shelf.tokens = []
        await refusal(access, bearer(token_text(8, SECRET)))
        assert (await refusal(access, bearer(token_text(7, SECRET)))).status_code == 401
    assert told(caplog, "http_token_made") == []


async def test_while_postgresql_is_away_no_token_is_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shelf = Shelf(trouble=DatabaseUnavailable())
    access = Access(HttpSettings())
    access.listening(LOOPBACK)
    async with access.reading(shelf):
        await shelf.asked.wait()
        assert (await refusal(access, bearer(token_text(7, SECRET)))).status_code == 503
        assert told(caplog, "http_token_made") == []
        shelf.trouble = None
        await until(lambda: told(caplog, "http_token_made"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - is not listened at
        ("::", False),
        ("10.0.0.7", False),
        ("fe80::1%eth0", False),
    ],
)
def test_a_loopback_is_what_nobody_else_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# --- reading tokens -------------------------------------------------------------------------------


async def test_who_shows_new_tokens_one_after_the_other_has_them_read_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_tokens, "AGAIN_SECONDS", 0.3)
    shelf, access = Shelf(), Access(HttpSettings())
    began = asyncio.get_running_loop().time()
    async with access.reading(shelf):
        for _ in range(3):
            strangers = (refusal(access, bearer(token_text(id, SECRET))) for id in range(50))
            await asyncio.gather(*strangers)
    took = asyncio.get_running_loop().time() - began
    assert 3 <= shelf.reads <= 2 + took / 0.3


async def test_a_known_id_with_a_wrong_secret_has_nothing_read() -> None:
    shelf, access = Shelf([a_token()]), Access(HttpSettings())
    async with access.reading(shelf):
        await access.identified(bearer(token_text(7, SECRET)))
        reads = shelf.reads
        for _ in range(10):
            await refusal(access, bearer(token_text(7, OTHER)))
            await refusal(access, bearer("nonsense"))
        assert shelf.reads == reads


async def test_what_is_known_holds_while_it_cannot_be_read() -> None:
    shelf, access = Shelf([a_token()]), Access(HttpSettings())
    async with access.reading(shelf):
        await access.identified(bearer(token_text(7, SECRET)))
        shelf.trouble = DatabaseUnavailable()
        assert (await refusal(access, bearer(token_text(8, SECRET)))).status_code == 401
        assert (await access.identified(bearer(token_text(7, SECRET)))).token_id == 7


async def test_who_cannot_be_told_in_time_is_not_kept_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_tokens, "PATIENCE_SECONDS", 0.05)

    class Silent(Shelf):
        @override
        async def live_tokens(self) -> Sequence[ApiToken]:
            await asyncio.Event().wait()
            return ()

    access = Access(HttpSettings())
    async with access.reading(Silent()):
        assert (await refusal(access, bearer(token_text(7, SECRET)))).status_code == 503


@pytest.mark.parametrize("trouble", [DatabaseUnavailable("away"), SchemaOutdated("too old")])
async def test_trouble_is_told_once_when_it_lasts(
    trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    time, shelf = Time(), Shelf(trouble=trouble)
    time.seconds = 0.0
    reader = TokenReader(shelf, KnownTokens(time), lambda: None)

    async def fail(after: float) -> int:
        time.seconds += after
        with pytest.raises(DatabaseUnavailable):
            await reader.step()
        return len(told(caplog, "tokens_not_read"))

    assert [await fail(after) for after in (1, 5, 4.9, 0.2, 60, 60)] == [0, 0, 0, 1, 1, 1]
    shelf.trouble = None
    time.seconds += 60
    await reader.step()
    shelf.trouble = trouble
    assert [await fail(after) for after in (2, 11)] == [1, 2]


# --- signatures -----------------------------------------------------------------------------------


@given(key=keys, others=st.lists(keys, max_size=3), id=message_ids, body=st.text().map(str.encode))
def test_what_the_package_of_the_standard_signs_is_verified(
    key: SecretStr, others: list[SecretStr], id: str, body: bytes
) -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    signature = standardwebhooks.Webhook(key.get_secret_value()).sign(id, at, body.decode())
    headers = {"webhook-id": id, "webhook-timestamp": str(NOW), "webhook-signature": signature}
    assert verified(headers, body, [*others, key], NOW)
    assert verified(headers, body, [key, *others], NOW)
    assert verified(headers, body, others, NOW) is (key in others)


@given(three=st.tuples(keys, keys, keys), id=message_ids, body=st.binary(), wrong=st.binary())
def test_a_key_is_changed_while_both_sides_know_the_old_and_the_new(
    three: tuple[SecretStr, ...], id: str, body: bytes, wrong: bytes
) -> None:
    old, new, strange = three
    both = signed(id, NOW, body, [old, new])
    assert verified(both, body, [old], NOW)
    assert verified(both, body, [new], NOW)
    assert verified(signed(id, NOW, body, [old]), body, [old, new], NOW)
    assert verified(both, body, [strange], NOW) is (strange in {old, new})
    assert verified(both, wrong, [old, new], NOW) is (wrong == body)
    assert verified({**both, "webhook-id": f"{id}x"}, body, [old], NOW) is False


@given(apart=st.integers(-TOLERANCE_SECONDS - 3, TOLERANCE_SECONDS + 3))
@example(TOLERANCE_SECONDS)
@example(-TOLERANCE_SECONDS)
@example(TOLERANCE_SECONDS + 1)
@example(-TOLERANCE_SECONDS - 1)
def test_a_signature_holds_for_five_minutes_both_ways(apart: int) -> None:
    headers = signed("a", NOW + apart, b"{}", [KEY])
    assert verified(headers, b"{}", [KEY], NOW) is (abs(apart) <= TOLERANCE_SECONDS)


KEY = SecretStr("whsec_" + base64.b64encode(SECRET).decode())
GOOD = signed("msg_1", NOW, b"{}", [KEY])


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": ""},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": f"{NOW}.0"},
        {"webhook-timestamp": f" {NOW}"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "9" * 5_000},
        {"webhook-timestamp": f"{NOW + 1}"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": GOOD["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": GOOD["webhook-signature"].replace("v1,", "v1a,")},
        {"webhook-signature": GOOD["webhook-signature"].swapcase()},
        {"webhook-signature": "v1,\xff\xfe"},
    ],
)
def test_headers_that_were_changed_do_not_fit(changed: dict[str, str]) -> None:
    assert verified(GOOD, b"{}", [KEY], NOW)
    assert not verified({**GOOD, **changed}, b"{}", [KEY], NOW)


def test_one_signature_of_several_is_enough() -> None:
    many = f"v1a,xyz v1,AAAA {GOOD['webhook-signature']} v2,x"
    assert verified({**GOOD, "webhook-signature": many}, b"{}", [KEY], NOW)


def test_who_signs_may_ingest_and_nothing_else() -> None:
    access = an_access(webhook_keys=(KEY.get_secret_value(),))
    caller = access.signed(GOOD, b"{}")
    assert caller == Caller("http.webhook_keys", frozenset({"ingest"}), webhook_id="msg_1")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (GOOD, b"{ }"),
        (GOOD, b""),
        ({**GOOD, "authorization": "Bearer x"}, b"{}"),
        ({"webhook-id": "msg_1"}, b"{}"),
        ({}, b"{}"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_without_a_word_about_the_body(
    headers: Mapping[str, str], body: bytes
) -> None:
    access = an_access(webhook_keys=(KEY.get_secret_value(),))
    with pytest.raises(HTTPException) as caught:
        access.signed(headers, body)
    assert caught.value.status_code == 401
    assert "www-authenticate" in (caught.value.headers or {})


def test_without_keys_no_signature_counts() -> None:
    access = an_access()
    assert not access.is_signed(GOOD)
    with pytest.raises(HTTPException):
        access.signed(GOOD, b"{}")


def test_with_keys_alone_nothing_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    an_access(webhook_keys=(KEY.get_secret_value(),))
    assert told(caplog, "api_not_served") == []
