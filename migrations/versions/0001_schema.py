"""The tables of retryd: what came in, what waits, what was tried, what is done, what is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.schema import Script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
set local role none;
do $$
declare
    role text;
begin
    foreach role in array array['owner', 'migrator', 'worker', 'producer', 'operator', 'reader'] loop
        begin
            execute format('create role retryd_%s nologin', role);
        exception when duplicate_object or unique_violation then
            null;  -- roles belong to the cluster: another database or a concurrent migration was first
        end;
    end loop;
    -- Who may create roles is not yet one of them; from PostgreSQL 16 on membership alone does not do.
    if not pg_has_role(current_user, 'retryd_owner',
            case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) then
        execute format('grant retryd_owner to %I', current_user);
    end if;
end
$$;
grant retryd_owner to retryd_migrator;
grant retryd_reader to retryd_worker, retryd_operator;
alter schema retryd owner to retryd_owner;
alter table retryd.alembic_version owner to retryd_owner;
grant usage on schema retryd to retryd_worker, retryd_producer, retryd_operator, retryd_reader;
grant select on retryd.alembic_version to retryd_reader;
set local role retryd_owner;
"""

TABLES = """
create sequence retryd.retry_id_seq;
create sequence retryd.claim_token_seq;

create type retryd.new_event as (
    event_type text,
    payload jsonb,
    event_id text,
    source text,
    correlation_id text,
    error_type text,
    error_message text,
    error_stack text,
    priority int,
    ordering_key text,
    not_before timestamptz,
    attributes jsonb
);

create table retryd.failure_event (
    id bigint not null,
    source text not null default '',
    event_id text not null,
    event_type text not null,
    operation text not null,
    correlation_id text,
    payload jsonb not null,
    attributes jsonb not null,
    error_type text,
    error_message text,
    error_stack text,
    occurred_at timestamptz,
    captured_at timestamptz not null,
    raw bytea,
    constraint failure_event_pkey primary key (id),
    constraint failure_event_source_event_id_key unique (source, event_id)
) with (
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05
);
create index failure_event_captured_at_idx on retryd.failure_event (captured_at);

create table retryd.retry_queue (
    id bigint not null,
    event bigint not null,
    handler text,
    policy text not null,
    priority smallint not null,
    ordering_key text,
    state text not null,
    attempt int not null default 0,
    lost_attempts int not null default 0,
    max_retries int not null,
    snoozes int not null default 0,
    life int not null default 1,
    next_attempt_at timestamptz not null,
    give_up_at timestamptz,
    claimed_by text,
    claim_token bigint,
    lease_expires_at timestamptz,
    constraint retry_queue_pkey primary key (id),
    constraint retry_queue_state_check check (state in ('pending', 'processing', 'parked')),
    constraint retry_queue_priority_check check (priority between 0 and 9),
    constraint retry_queue_parked_check check (state <> 'parked' or (handler is not null and ordering_key is not null)),
    constraint retry_queue_claim_check check (
        (state = 'processing') = (claimed_by is not null)
        and (state = 'processing') = (claim_token is not null)
        and (state = 'processing') = (lease_expires_at is not null)),
    constraint retry_queue_counts_check check (
        lost_attempts between 0 and 1000 and attempt >= lost_attempts and attempt - lost_attempts <= max_retries
        and snoozes between 0 and 1000 and max_retries >= 1 and life >= 1)
) with (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0
);
create index retry_queue_priority_handler_next_attempt_at_id_idx
    on retryd.retry_queue (priority, handler, next_attempt_at, id) where state = 'pending' and handler is not null;
create index retry_queue_lease_expires_at_idx on retryd.retry_queue (lease_expires_at) where state = 'processing';
create unique index retry_queue_handler_ordering_key_idx
    on retryd.retry_queue (handler, ordering_key) where ordering_key is not null and state <> 'parked';
create index retry_queue_parked_handler_ordering_key_id_idx
    on retryd.retry_queue (handler, ordering_key, id) where state = 'parked';
create index retry_queue_give_up_at_idx
    on retryd.retry_queue (give_up_at) where give_up_at is not null and state <> 'processing';
create index retry_queue_unrouted_id_idx on retryd.retry_queue (id) where handler is null;
create index retry_queue_event_idx on retryd.retry_queue (event) where event <> id;

create table retryd.payload_edit (
    id bigint generated always as identity,
    retry bigint not null,
    life int not null,
    payload jsonb not null,
    actor text not null,
    reason text not null,
    at timestamptz not null,
    constraint payload_edit_pkey primary key (id)
);
create index payload_edit_retry_life_idx on retryd.payload_edit (retry, life);

create table retryd.retry_attempt (
    retry bigint not null,
    life int not null,
    claim_token bigint not null,
    attempt int not null,
    handler text,
    worker text not null,
    started_at timestamptz,
    ended_at timestamptz not null,
    outcome text not null,
    error_type text,
    error_message text,
    error_stack text,
    next_attempt_at timestamptz,
    constraint retry_attempt_pkey primary key (retry, life, claim_token, ended_at),
    constraint retry_attempt_outcome_check check (
        outcome in ('success', 'failure', 'snoozed', 'rejected', 'cancelled', 'lost'))
) partition by range (ended_at);
create table retryd.retry_attempt_default partition of retryd.retry_attempt default;

create table retryd.retry_archive (
    id bigint not null,
    event bigint not null,
    handler text,
    policy text not null,
    priority smallint not null,
    ordering_key text,
    attempt int not null,
    lost_attempts int not null,
    max_retries int not null,
    snoozes int not null,
    life int not null,
    ended text not null,
    ended_at timestamptz not null,
    cancelled_by text,
    cancel_reason text,
    constraint retry_archive_pkey primary key (id, ended_at),
    constraint retry_archive_ended_check check (ended in ('completed', 'cancelled', 'superseded'))
) partition by range (ended_at);
create table retryd.retry_archive_default partition of retryd.retry_archive default;
create index retry_archive_event_idx on retryd.retry_archive (event) where event <> id;

create table retryd.dead_letter (
    id bigint not null,
    event bigint not null,
    handler text,
    policy text not null,
    priority smallint not null,
    ordering_key text,
    attempt int not null default 0,
    lost_attempts int not null default 0,
    max_retries int not null,
    snoozes int not null default 0,
    life int not null default 1,
    status text not null,
    reason text not null,
    error_type text,
    error_message text,
    error_stack text,
    dead_at timestamptz not null,
    replays int not null default 0,
    replayed_at timestamptz,
    replayed_by text,
    replay_reason text,
    resolved_by text,
    resolved_at timestamptz,
    resolved_actor text,
    resolved_reason text,
    constraint dead_letter_pkey primary key (id),
    constraint dead_letter_status_check check (status in ('pending', 'retrying', 'failed', 'resolved')),
    constraint dead_letter_reason_check check (reason in (
        'exhausted', 'rejected', 'expired', 'undecodable', 'worker_lost', 'snoozed_out', 'loop')),
    constraint dead_letter_resolved_check check (
        (status = 'resolved') = (resolved_by is not null)
        and (resolved_by is null or resolved_by in ('person', 'success', 'cancellation')))
);
create index dead_letter_status_dead_at_idx on retryd.dead_letter (status, dead_at desc, id desc);
create index dead_letter_dead_at_idx on retryd.dead_letter (dead_at);
create index dead_letter_event_idx on retryd.dead_letter (event) where event <> id;

create table retryd.retry_policy (
    name text not null,
    match text[] not null default '{}',
    priority smallint,
    max_retries int not null,
    max_age interval,
    first_delay_low float8 not null,
    first_delay_high float8 not null,
    constraint retry_policy_pkey primary key (name),
    constraint retry_policy_priority_check check (priority between 0 and 9),
    constraint retry_policy_max_retries_check check (max_retries between 1 and 1000000),
    constraint retry_policy_first_delay_check check (
        first_delay_low >= 0 and first_delay_high >= first_delay_low and first_delay_high <= 31622400)
);
insert into retryd.retry_policy (name, match, max_retries, first_delay_low, first_delay_high)
values
    ('default', '{}', 3, 1.5, 2.5),
    ('sql_operation', '{sql.*}', 3, 1.5, 2.5),
    ('event_publish', '{event.*}', 5, 1.5, 2.5);

create table retryd.retry_handler (
    name text not null,
    match text[] not null,
    policy text,
    dependency text,
    kind text not null,
    registered_at timestamptz not null,
    paused_at timestamptz,
    paused_by text,
    pause_reason text,
    constraint retry_handler_pkey primary key (name)
);

create table retryd.worker (
    id text not null,
    host text not null,
    pid int not null,
    version text not null,
    handlers jsonb not null,
    started_at timestamptz not null,
    seen_at timestamptz not null,
    constraint worker_pkey primary key (id)
);

create unlogged table retryd.sleeper (
    worker text not null,
    wakes_at timestamptz not null,
    constraint sleeper_pkey primary key (worker)
);
"""

# Functions and views go with the tables they stand on; roles stay, other databases of the cluster may use them.
DROP = """
do $$
declare
    object text;
begin
    for object in
        select format('drop %s if exists retryd.%s cascade',
            case kind when 'v' then 'view' when 'S' then 'sequence' when 'c' then 'type' else 'table' end, quote_ident(name))
        from (
            select relkind::text as kind, relname as name
            from pg_class
            where relnamespace = 'retryd'::regnamespace and relkind in ('v', 'r', 'p', 'S', 'c')
                and relname <> 'alembic_version' and not relispartition
        ) o
        order by kind = 'v' desc, kind in ('r', 'p') desc
    loop
        execute object;
    end loop;
    for object in
        select format('drop function if exists %s cascade', oid::regprocedure)
        from pg_proc where pronamespace = 'retryd'::regnamespace
    loop
        execute object;
    end loop;
end
$$;
"""


def upgrade(script: Script) -> None:
    """Make roles, unless they are unwanted, and every table."""
    script.roles(ROLES)
    script.run(TABLES)


def downgrade(script: Script) -> None:
    """Drop everything but the version table."""
    script.run(DROP)
