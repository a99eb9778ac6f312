"""Bodies that lie about their size, or never end, meet the HTTP server of a real worker."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.faults.fleet import Member
from tests.faults.scene import Scene
from tests.faults.test_workers import resident

MEGABYTE = 2**20
SENT = 64 * MEGABYTE
BOMB = gzip.compress(bytes(SENT))
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
BODIES = {
    "a gigabyte": (b"content-length: 1000000000", b"x" * 0x10000),
    "more than it says": (b"content-length: 10", b"x" * 0x10000),
    "chunks without end": (b"transfer-encoding: chunked", CHUNK),
    "a bomb": (
        b"content-encoding: gzip\r\ntransfer-encoding: chunked",
        b"%x\r\n%s\r\n" % (len(BOMB), BOMB),
    ),
}


@pytest.mark.parametrize(("head", "part"), BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_lies_or_never_ends_costs_neither_memory_nor_an_answer_to_others(
    head: bytes, part: bytes, scene: Scene
) -> None:
    member = await scene.fleet.started()
    assert (await member.get("/livez")).status_code == 200
    before = resident(member)
    async with asyncio.TaskGroup() as group:
        answers = [
            group.create_task(pour(member, method, head, part))
            for method in (b"GET", b"POST")
            for _ in range(4)
        ]
    assert {answer.result() for answer in answers} == {b"200", b"405"}
    assert resident(member) < before + 8 * MEGABYTE
    assert (await member.get("/livez")).status_code == 200
    await scene.close()


async def pour(member: Member, method: bytes, head: bytes, part: bytes) -> bytes:
    """Send a request and, for a second, of its body what the server takes; returns the status."""
    address = urlsplit(member.said("http_listening")[-1]["address"])
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(method + b" /livez HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
    answer = await reader.readline()
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(1):
            for _ in range(SENT // len(part)):
                writer.write(part)
                await writer.drain()
    writer.transport.abort()
    return answer.split()[1]
