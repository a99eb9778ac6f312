from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, Phase, settings

from tests.postgres import Cluster
from tests.sql.comparison import play_on
from tests.sql.machine import play

RULES = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_sql_functions_do_what_the_model_says(
    session_runner: asyncio.Runner, cluster: Cluster, template: str
) -> None:
    name = session_runner.run(cluster.create(template))
    connection = session_runner.run(play_on(cluster.dsn_of(name)))
    try:
        play(session_runner, connection, RULES)
    finally:
        session_runner.run(connection.close())
        session_runner.run(cluster.drop(name))
