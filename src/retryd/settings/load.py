"""Loading: code over variables over the file over defaults; one error for all that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from retryd.domain.errors import ConfigurationError
from retryd.domain.policy import PRESETS
from retryd.settings.models import Configuration
from retryd.settings.origins import Origins
from retryd.settings.problems import Problem, closest, dotted, problems_of
from retryd.settings.schema import SCHEMA_KEY, Schema, shown
from retryd.settings.sources import (
    PREFIX,
    code_source,
    environment_source,
    file_source,
    merge,
    variable_name,
)

Model = TypeVar("Model", bound=Configuration)


def load(
    model: type[Model],
    *,
    path: Path | None,
    environ: Mapping[str, str],
    code: Mapping[str, object] = MappingProxyType({}),
) -> Model:
    """Read the configuration; `code` is what a program gives, in the form of the file.

    The file is the one at `path`, else at RETRYD_CONFIG, else there is none. Raises one
    ConfigurationError whose `problems` name each key, what stands there, what is allowed and where
    it was given.
    """
    sources = code_source(code), environment_source(environ), file_source(path, environ)
    origins = Origins(sources)
    document = merge(sources)
    document.pop(SCHEMA_KEY, None)  # it is the editor's
    problems = list(_unknown_policies(document))
    try:
        configuration = model.model_validate(document, context={"environ": environ})
    except ValidationError as error:
        problems += problems_of(error, Schema(model.model_json_schema(), document))
    else:
        problems += _contradictions(configuration)
        if not problems:
            return configuration.given(origins)
    raise ConfigurationError(_told(problem, origins) for problem in problems)


def _unknown_policies(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Find handlers that name a policy which is not there, whatever else is wrong."""
    known = {preset.name for preset in PRESETS}
    match document:
        case {"retry": {"retry_policies": dict(policies)}}:
            known |= policies.keys()
    handlers = document.get("handlers")
    for name, handler in handlers.items() if isinstance(handlers, dict) else ():
        match handler:
            case {"policy": str(policy)} if policy and policy not in known:
                near = closest(policy, known)
                remedy = (
                    f"did you mean {near}?" if near else f"known are {', '.join(sorted(known))}"
                )
                seen = shown(policy, {"type": "string"})
                path = "handlers", name, "policy"
                yield Problem(path, f" is {seen}, which is no policy, {remedy}")


def _contradictions(configuration: Configuration) -> Iterator[Problem]:
    """Find what is right by itself and wrong together."""
    database, retry = configuration.database, configuration.retry
    if retry.listen_notify is True and database.pgbouncer is True and database.listen_url is None:
        yield Problem(
            ("retry", "listen_notify"),
            " is true, but database.pgbouncer is too, which forwards no notification: give"
            " database.listen_url, the address of the server itself, or say auto",
        )


def _told(problem: Problem, origins: Origins) -> str:
    """Write the problem with the place where its value was given, and a remedy in its words."""
    given = origins.near(problem.path)
    remedy = ""
    if problem.meant:
        variable = given is not None and given.startswith(PREFIX)
        meant = variable_name(problem.meant) if variable else dotted(problem.meant)
        remedy = f", did you mean {meant}?"
    place = f" ({given})" if given else ""
    return f"{dotted(problem.path)}{problem.message}{remedy}{place}"
