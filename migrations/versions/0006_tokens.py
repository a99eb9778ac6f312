"""Tokens of the HTTP API, of which only a hash is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.schema import Script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Of a secret with 256 random bits a plain hash is enough: nobody can try them all.
UPGRADE = """
create table retryd.api_token (
    id bigint generated always as identity,
    name text not null,
    scopes text[] not null,
    secret_sha256 bytea not null,
    created_at timestamptz not null,
    created_by text not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    revoke_reason text,
    constraint api_token_pkey primary key (id),
    constraint api_token_secret_sha256_key unique (secret_sha256),
    constraint api_token_name_check check (octet_length(name) between 1 and 255),
    constraint api_token_scopes_check check (
        cardinality(scopes) > 0 and scopes <@ array['ingest', 'read', 'payload', 'operate', 'admin']),
    constraint api_token_secret_sha256_check check (octet_length(secret_sha256) = 32),
    constraint api_token_revoked_check check (
        (revoked_at is null) = (revoked_by is null) and (revoke_reason is null or revoked_at is not null))
);
"""

DOWNGRADE = """
drop view if exists retryd.api_tokens;
drop function if exists retryd.live_tokens();
drop function if exists retryd.revoke_token(bigint, text, text);
drop function if exists retryd.create_token(text, text[], bytea, interval, text);
drop table retryd.api_token;
"""


def upgrade(script: Script) -> None:
    """Make the table."""
    script.run(UPGRADE)


def downgrade(script: Script) -> None:
    """Take it away, and with it every token."""
    script.run(DOWNGRADE)
