"""From files, variables and code to the handlers and policies that a worker has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from retryd.client.app import App
from retryd.domain.backoff import first_delay_bounds
from retryd.domain.errors import ConfigurationError
from retryd.handlers import HandlerSettings, open_handler
from retryd.handlers.python import PythonHandler, import_target
from retryd.settings.editor_schema import editor_schema
from retryd.settings.load import load
from retryd.settings.models import configuration_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from retryd.domain.policy import Policy
    from retryd.handlers.threads import Threads
    from retryd.ports import OwnedHandler
    from retryd.settings.models import Configuration

READ_AT_START: Final = {
    "database": ("url", "embedded"),
    "http": ("host", "port", "tokens", "webhook_keys", "max_queue_depth"),
    "spool": ("directory", "max_bytes"),
}
"""What a process opens once, by block: it stays until the process ends, whatever workers do."""


def load_configuration(
    path: Path | None, environ: Mapping[str, str], code: Mapping[str, object]
) -> Configuration:
    """Load the configuration with the handler kinds that exist. Raises ConfigurationError."""
    return load(configuration_model(HandlerSettings), path=path, environ=environ, code=code)


def check_reload(former: Configuration, following: Configuration) -> None:
    """Raise ConfigurationError if what is read at the start is another one now.

    Taken up in part it would be worse than refused: the door would keep events in one spool, and
    workers would drain another.
    """
    changed = [
        f"{block}.{key}"
        for block, keys in READ_AT_START.items()
        for key in keys
        if getattr(getattr(former, block), key) != getattr(getattr(following, block), key)
    ]
    if changed:
        raise ConfigurationError(f"{key} is read at the start: restart" for key in changed)


def configuration_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration with the handler kinds that exist."""
    return editor_schema(configuration_model(HandlerSettings))


def load_app(target: str) -> App:
    """Import the App that `--app module:app` names. Raises ConfigurationError."""
    found = import_target(target)
    if not isinstance(found, App):
        message = f"--app {target!r} is a {type(found).__name__}, not a retryd.App"
        raise ConfigurationError(message)
    return found


def open_handlers(
    configuration: Configuration, app: App | None, threads: Threads
) -> list[OwnedHandler]:
    """Make the handlers of configuration and app. Raises ConfigurationError with every problem."""
    handlers: dict[str, OwnedHandler] = {}
    problems: list[str] = []
    for name, settings in configuration.handlers.items():
        try:
            handlers[name] = open_handler(name, settings, threads)
        except ConfigurationError as error:
            place = configuration.origins.near(("handlers", name))
            problems.extend(
                f"{problem} ({place})" if place else problem for problem in error.problems
            )
    policies = configuration.policies()
    for name, registration in (app.handlers if app else {}).items():
        if name in handlers:
            problems.append(f"handler {name!r} is in the configuration and in the app; rename one")
        elif registration.policy is not None and registration.policy not in policies:
            problems.append(
                f"handler {name!r} of the app: there is no policy {registration.policy!r}; "
                f"there are {', '.join(sorted(policies))}"
            )
        handlers[name] = PythonHandler(registration, threads)
    if problems:
        raise ConfigurationError(problems)
    return list(handlers.values())


def published(policies: Iterable[Policy]) -> list[dict[str, Any]]:
    """Return what capture needs to know of each policy."""
    rows = []
    for policy in policies:
        low, high = first_delay_bounds(policy)
        rows.append(
            {
                "name": policy.name,
                "match": list(policy.match),
                "priority": policy.priority,
                "max_retries": policy.max_retries,
                "max_age_seconds": policy.max_age_seconds,
                "first_delay_low": low,
                "first_delay_high": high,
            }
        )
    return rows
