"""A queue that is full of what is not due, as captures would have filled it."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.server import Connection

NAMES: Final = [f"h{number}" for number in range(20)]

REGISTER: Final = "select retryd.register_handler(h, array[h || '.*']) from unnest($1::text[]) h"
# Event ids as captures make them: 36 characters, in the order of time.
EVENTS: Final = """
    insert into retryd.failure_event (id, source, event_id, event_type, operation, payload,
        attributes, error_type, error_message, captured_at)
    select n, '', lpad(to_hex(n), 12, '0') || substr(gen_random_uuid()::text, 13),
        h.name || '.do.failed', h.name || '.do',
        jsonb_build_object('seq', n, 'pad', repeat('x', 165)), '{}', 'ConnectionError',
        'the other side hung up', retryd.now()
    from generate_series($1::bigint, $2::bigint) n
    cross join lateral (select ($3::text[])[n % cardinality($3) + 1] as name) h
"""
# Due in a random order, so that neither an index nor a claim finds them side by side.
RETRIES: Final = """
    insert into retryd.retry_queue (id, event, handler, policy, priority, state, max_retries,
        next_attempt_at)
    select n, n, ($3::text[])[n % cardinality($3) + 1], 'default', 5, 'pending', 3,
        retryd.now() + (1 + random()) * interval '1 day'
    from generate_series($1::bigint, $2::bigint) n
"""
AT_ONCE: Final = 1_000_000


async def load(connection: Connection, rows: int) -> None:
    """Insert so many, with the columns that captures write, every index kept up as they do."""
    await connection.execute(REGISTER, NAMES)
    for first in range(1, rows + 1, AT_ONCE):
        last = min(first + AT_ONCE - 1, rows)
        await connection.execute(EVENTS, first, last, NAMES)
        await connection.execute(RETRIES, first, last, NAMES)
    await connection.execute("select setval('retryd.retry_id_seq', $1)", rows)
    await connection.execute("vacuum analyze")
    await connection.execute("checkpoint")
