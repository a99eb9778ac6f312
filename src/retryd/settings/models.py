"""The blocks of the configuration that are no plug, and the model of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, PrivateAttr, create_model

from retryd.domain.limits import CAPTURE_EVENTS, MAX_DELAY_SECONDS, MAX_LOST_ATTEMPTS, MAX_RETRIES
from retryd.domain.policy import DEFAULT, SHORTEST_SECONDS, Policy
from retryd.settings.block import Block, Switch
from retryd.settings.database_url import MAX_PORT
from retryd.settings.handler import HandlerName, HandlerSettings, by_kind
from retryd.settings.origins import Origins
from retryd.settings.policies import PolicySettings, merged_policies
from retryd.settings.signing_key import SigningKey
from retryd.settings.values import DatabaseUrl, Days, Directory, Host, Name, Pattern, Token

DAY_SECONDS: Final = 86_400
MAX_AT_ONCE: Final = 1_000
MAX_SPOOL_BYTES: Final = 1024**4

WHERE_NO_POLICY_SAYS: Final = {
    "max_retries": "default_max_retries",
    "timeout_seconds": "default_timeout_seconds",
    "max_lost_attempts": "max_lost_attempts",
}
"""A policy's field, and the key of the block `retry` that fills it."""


class DatabaseSettings(Block):
    """The PostgreSQL that holds the retries."""

    url: DatabaseUrl | None = Field(
        default=None,
        description="postgresql://user:password@host:port/name, or where that is: env:NAME,"
        " file:/path.",
    )
    listen_url: DatabaseUrl | None = Field(
        default=None, description="The server itself, for LISTEN, where url leads to pgbouncer."
    )
    pool_size: int = Field(
        default=10,
        ge=1,
        le=MAX_AT_ONCE,
        description="Connections of one process at most; fewer than five count as five.",
    )
    pgbouncer: Switch = Field(
        default="auto", description="true where url leads to pgbouncer or its like; auto finds out."
    )
    embedded: bool = Field(
        default=False, description="Run a PostgreSQL of retryd's own where no other is named."
    )


class RetentionSettings(Block):
    """How long what is over is kept, in days; fractions are allowed."""

    completed_days: Days = Field(default=7, description="Retries that were done or cancelled.")
    attempts_days: Days = Field(default=7, description="The log of attempts.")
    dead_letter_days: Days = Field(
        default=90, description="Dead letters that nobody replays or resolves."
    )


class RetrySettings(Block):
    """The worker: how it claims, runs and settles; durations in seconds."""

    enabled: bool = Field(default=True, description="false: nothing is claimed, all else runs.")
    poll_interval_seconds: float = Field(
        default=5,
        ge=0.01,
        le=DAY_SECONDS,
        description="How often to look for what is due where nothing wakes the worker.",
    )
    batch_size: int = Field(
        default=10, ge=1, le=CAPTURE_EVENTS, description="Retries that one claim takes at most."
    )
    worker_count: int = Field(
        default=3, ge=1, le=MAX_AT_ONCE, description="Attempts at once in one process."
    )
    lease_seconds: float = Field(
        default=60,
        ge=1,
        le=DAY_SECONDS,
        description="How long a claim holds when the worker no longer renews it.",
    )
    max_lost_attempts: int = Field(
        default=DEFAULT.max_lost_attempts,
        ge=1,
        le=MAX_LOST_ATTEMPTS,
        description="Attempts that may be lost with a worker, where no policy says.",
    )
    shutdown_timeout_seconds: float = Field(
        default=30,
        ge=0,
        le=DAY_SECONDS,
        description="How long running attempts may still take once it is to stop.",
    )
    listen_notify: Switch = Field(
        default="auto", description="Whether PostgreSQL's notifications wake the worker."
    )
    default_max_retries: int = Field(
        default=DEFAULT.max_retries,
        ge=1,
        le=MAX_RETRIES,
        description="Attempts by retryd, where no policy says.",
    )
    default_timeout_seconds: float = Field(
        default=DEFAULT.timeout_seconds,
        ge=SHORTEST_SECONDS,
        le=MAX_DELAY_SECONDS,
        description="The longest that an attempt may take, where no policy says.",
    )
    retention: RetentionSettings = Field(
        default=RetentionSettings(), description="How long what is over is kept."
    )
    retry_policies: Mapping[Name, PolicySettings] = Field(
        default={}, description="Policies by name, laid over the presets of that name."
    )


class HttpSettings(Block):
    """The HTTP server."""

    host: Host = Field(default="127.0.0.1", description="The name or address to listen on.")
    port: int = Field(
        default=7387, ge=0, le=MAX_PORT, description="The port to listen on; 0: any that is free."
    )
    tokens: tuple[Token, ...] = Field(
        default=(),
        description="Bearer tokens that may do everything, beside those of `retryd token`; best as"
        " references: env:NAME, file:/path.",
    )
    webhook_keys: tuple[SigningKey, ...] = Field(
        default=(),
        description="Keys, as Standard Webhooks has them, with which senders of events sign; each"
        " verifies. whsec_..., best as a reference.",
    )
    max_queue_depth: int | None = Field(
        default=1_000_000,
        ge=1,
        description="Live retries from which on no events are taken over HTTP; null: no limit.",
    )


class SpoolSettings(Block):
    """Records on the local disk while PostgreSQL is away."""

    directory: Directory | None = Field(
        default=None, description="Where events are kept while PostgreSQL is away; null: nowhere."
    )
    max_bytes: int = Field(
        default=1024**3,
        ge=1,
        le=MAX_SPOOL_BYTES,
        description="The most that may wait there, in bytes.",
    )
    drain: tuple[Directory, ...] = Field(
        default=(), description="Further directories, of publishers here, that workers drain."
    )

    @property
    def directories(self) -> tuple[Path, ...]:
        """All that workers drain, each once."""
        named = (*((self.directory,) if self.directory is not None else ()), *self.drain)
        return tuple(dict.fromkeys(map(Path, named)))


class LogSettings(Block):
    """The log, on standard error."""

    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else json."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least serious lines that are written."
    )


class Configuration(Block):
    """All settings. `configuration_model` makes the one that knows the kinds of handlers."""

    database: DatabaseSettings = Field(
        default=DatabaseSettings(), description="Which PostgreSQL, and how it is reached."
    )
    retry: RetrySettings = Field(
        default=RetrySettings(), description="How the worker claims, runs and settles."
    )
    handlers: Mapping[HandlerName, HandlerSettings] = Field(
        default={}, description="Handlers by name, beside those of the application."
    )
    capture_patterns: tuple[Pattern, ...] = Field(
        default=("*.failed", "*.error", "*.timeout"),
        description="The event types that count as failures.",
    )
    http: HttpSettings = Field(
        default=HttpSettings(), description="Where health and metrics are served."
    )
    spool: SpoolSettings = Field(
        default=SpoolSettings(), description="What is kept on this disk while PostgreSQL is away."
    )
    log: LogSettings = Field(default=LogSettings(), description="What is logged, and how.")

    _origins: Origins = PrivateAttr(default=Origins())

    @property
    def origins(self) -> Origins:
        """Where what it says was given."""
        return self._origins

    def given(self, origins: Origins) -> Self:
        """Remember where it was given, and return it."""
        self._origins = origins
        return self

    def policies(self) -> dict[str, Policy]:
        """Return all policies by name: the presets, and those of the configuration over them."""
        unsaid = {field: getattr(self.retry, key) for field, key in WHERE_NO_POLICY_SAYS.items()}
        return merged_policies(self.retry.retry_policies, unsaid)


def configuration_model(
    handler_settings: type[HandlerSettings] | UnionType,
) -> type[Configuration]:
    """Make the model whose handlers are of this class, or of that one of a union that has the kind.

    Each class tells its kind by the default of its key `kind`.
    """
    kinds = {
        each.model_fields["kind"].default: each
        for each in get_args(handler_settings) or (handler_settings,)
    }
    of_kind: Any = Annotated[handler_settings, BeforeValidator(by_kind(kinds))]
    described: Any = Field(
        default={}, description=Configuration.model_fields["handlers"].description
    )
    return create_model(
        "Configuration",
        __base__=Configuration,
        handlers=(Mapping[HandlerName, of_kind], described),
    )
