"""What is on the edge of JSON, sent to a running worker: stored to the digit, or refused."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.running import running
from tests.corpus import exact, refused, strings, taken
from tests.postgres import Connection, Database
from tests.waiting import until

FORMS = {
    "application/json": b'{"event_type": "job.run.failed", "event_id": %s, "payload": %s}',
    "application/cloudevents+json": (
        b'{"specversion": "1.0", "source": "shop", "type": "job.run.failed", "id": %s, "data": %s}'
    ),
}
IDLE = {"RETRYD_RETRY__ENABLED": "false"}


def fine() -> Iterator[tuple[str, bytes]]:
    """Yield what is taken; a key given twice is not: which one counts, two readers may disagree."""
    for name, (came, goes) in taken().items():
        if came == goes:
            yield name, came
    for text in strings():
        yield text[:100], text.encode()


def wrong() -> Iterator[tuple[str, bytes]]:
    yield from refused().items()
    for name, (came, goes) in taken().items():
        if came != goes:
            yield name, came


@pytest.mark.parametrize("media_type", FORMS)
@pytest.mark.timeout(60)
async def test_a_body_over_http_is_stored_to_the_digit_or_refused_with_a_reason(
    database: Database, connection: Connection, tmp_path: Path, media_type: str
) -> None:
    (tmp_path / "billing.py").write_text("import retryd\n\napp = retryd.App()\n")
    token = secrets.token_urlsafe(32)
    tokens = {"RETRYD_HTTP__TOKENS": json.dumps([token])}
    headers = {"authorization": f"Bearer {token}", "content-type": media_type}
    expected: dict[str, object] = {}
    answers: dict[str, httpx.Response] = {}
    async with (
        running(tmp_path, database.dsn, **IDLE, **tokens) as worker,
        httpx.AsyncClient(timeout=10, headers=headers) as client,
    ):
        [listening, *_] = await until(lambda: worker.said("http_listening"))
        url = f"{listening['address']}/api/v1/events"
        for name, body in fine():
            event_id = f"e-{len(expected)}"
            content = FORMS[media_type] % (json.dumps(event_id).encode(), body)
            said = await client.post(url, content=content)
            assert said.status_code == 201, (name, said.text)
            expected[event_id] = exact(b"{}" if body == b"null" else body)  # null is no payload
        for name, body in wrong():
            said = await client.post(url, content=FORMS[media_type] % (b'"refused"', body))
            answers[name] = said
    rows = await connection.fetch("select event_id, payload::text from retryd.retries")
    found = {row[0]: exact(row[1]) for row in rows}
    assert found.keys() == expected.keys()
    assert [event_id for event_id in expected if found[event_id] != expected[event_id]] == []
    for name, said in answers.items():
        assert said.status_code in {400, 422}, (name, said.status_code)
        assert said.headers["content-type"] == "application/problem+json", name
        assert 0 < len(said.json()["detail"]) < 500, name
