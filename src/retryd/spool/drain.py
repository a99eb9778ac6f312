"""Takes what waits in a directory to where it belongs: a file goes once all its records went."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, TypeVarTuple, Unpack

from retryd.domain.errors import SpoolUnavailable
from retryd.domain.json_text import read_json
from retryd.spool.frame import Found, Record, read_lines
from retryd.spool.segments import (
    FILE_MODE,
    OPEN,
    REJECTED,
    adopt,
    locked,
    make_directory,
    segments,
    sync_directory,
    unavailable,
)

BATCH_RECORDS: Final = 1_000
BATCH_BYTES: Final = 1024 * 1024
DAMAGED: Final = "damaged: its length or its checksum does not fit"

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Take: TypeAlias = Callable[[Sequence[bytes]], Awaitable[Sequence[str | None]]]
"""Keeps records for good; returns None for each that is kept, for the others why they are refused.

May be given the same records again, and none at all. Raises DatabaseUnavailable when nobody knows.
"""

logger = logging.getLogger("retryd.spool")


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of records."""

    kept: int = 0
    rejected: int = 0

    def __add__(self, other: Drained) -> Drained:
        return Drained(self.kept + other.kept, self.rejected + other.rejected)


async def drain(directory: Path, take: Take) -> Drained:
    """Drain all segments that nobody else has, the oldest first.

    Raises what `take` raises, and SpoolUnavailable, the latter once all others are drained: what
    is not known to be kept stays.
    """
    drained = Drained()
    failed: SpoolUnavailable | None = None
    found = await aside(segments, directory)
    if found:
        await take(())  # nothing is read for nobody
    for segment in found:
        try:
            drained += await drain_segment(segment.path, take)
        except OSError as error:
            failed = unavailable(directory, error)
    if failed is not None:
        raise failed
    return drained


async def drain_segment(path: Path, take: Take) -> Drained:
    """Drain one segment, unless somebody else has it, and remove it. Raises OSError as well.

    A drain that dies before the end leaves all of it to the next one.
    """
    with locked(path) as descriptor:
        if descriptor is None:
            return Drained()
        sealed = await aside(adopt, descriptor, path) if path.suffix == OPEN else path
        if sealed is None:
            return Drained()
        kept = 0
        rejected = []
        reading = batches(descriptor)
        end: list[Found] = []
        while batch := await aside(next, reading, end):
            reasons = iter(await take([each.body for each in batch if isinstance(each, Record)]))
            for each in batch:
                reason = next(reasons) if isinstance(each, Record) else DAMAGED
                if reason is None:
                    kept += 1
                else:
                    rejected.append(rejection(each, reason))
        if rejected:
            await aside(reject, sealed, rejected)
        await aside(sealed.unlink)
        logger.info("spool_drained", extra={"segment": str(sealed), "records": kept})
        return Drained(kept, len(rejected))


async def aside(work: Callable[[Unpack[Ts]], T], *arguments: *Ts) -> T:
    """Do in a thread what a disk may hold up, and return what it returns.

    Who is cancelled meanwhile waits for its end: a descriptor that a thread uses must not be closed
    and given to another file.
    """
    doing = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        while not doing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((doing,))
        raise


def batches(descriptor: int) -> Iterator[list[Found]]:
    """Read a segment from its beginning, so much at a time as one statement takes well."""
    batch: list[Found] = []
    size = 0
    with open(descriptor, "rb", closefd=False) as file:
        for found in read_lines(file):
            batch.append(found)
            size += len(found.body)
            if len(batch) == BATCH_RECORDS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def rejection(found: Found, reason: str) -> bytes:
    """Return a line of JSON for people: why, where it stood, and what stood there."""
    told: dict[str, object] = {"reason": reason, "offset": found.offset}
    if isinstance(found, Record) and is_json(found.body):
        return json.dumps(told).encode()[:-1] + b', "record": ' + found.body + b"}\n"
    return json.dumps(told | {"base64": base64.b64encode(found.body).decode()}).encode() + b"\n"


def is_json(body: bytes) -> bool:
    """Tell whether JSON may hold these bytes as they are."""
    try:
        read_json(body.decode())
    except ValueError:
        return False
    return True


def reject(segment: Path, lines: Sequence[bytes]) -> None:
    """Keep what nobody takes of a segment; when it is drained again the same is written again."""
    directory = segment.parent / REJECTED
    make_directory(directory)
    draft = directory / f".{segment.stem}-{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.writelines(lines)
            file.flush()
            os.fsync(descriptor)
        target = draft.rename(directory / f"{segment.stem}.jsonl")
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(directory)
    logger.warning("spool_records_rejected", extra={"file": str(target), "records": len(lines)})
