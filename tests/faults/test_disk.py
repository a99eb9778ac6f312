"""The disk of the database is full, for a while."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.faults.disk import NAME, fill, small_disk
from tests.faults.fleet import Fleet
from tests.faults.scene import Scene
from tests.faults.server import Server
from tests.waiting import until


async def test_a_full_disk_is_waited_out_and_what_was_accepted_is_there(
    server: Server, template: str, tmp_path: Path
) -> None:
    dsn = urlsplit(server.dsn)._replace(path=f"/{NAME}").geturl()
    async with (
        small_disk(server, dsn, template) as database,
        Fleet.of(server.worker_dsn(dsn), tmp_path) as fleet,
    ):
        scene = Scene(server, database, fleet)
        await scene.capture(20, do="hang")
        member = await fleet.started()
        await until(lambda: len(fleet.effects("start")) == 4)
        filler = await scene.connect()
        await fill(filler)
        refused = False
        while not refused:
            try:
                await scene.capture(10)
            except asyncpg.DiskFullError:
                refused = True
        fleet.go_on()
        await until(lambda: "No space left" in str(member.said("database_away")))
        assert member.running
        await filler.execute("drop table ballast")
        await scene.drained()
        ledger = await scene.close()
        assert ledger.completed == len(scene.ids)
