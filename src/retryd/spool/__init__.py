"""Records on the local disk while PostgreSQL is away: synced, framed, and drained later.

Knows bytes and files, nothing of events or PostgreSQL.
"""
