"""Loading: flags over variables over the file over defaults; one error for all that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from retryd.domain.errors import ConfigurationError
from retryd.domain.policy import PRESETS
from retryd.settings.models import Configuration
from retryd.settings.problems import Problem, closest, dotted, problems_of
from retryd.settings.schema import Schema, shown
from retryd.settings.sources import (
    PREFIX,
    Source,
    environment_source,
    file_source,
    flags_source,
    merge,
    origin,
    variable_name,
)

Model = TypeVar("Model", bound=Configuration)


def load(
    model: type[Model],
    *,
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object] = MappingProxyType({}),
) -> Model:
    """Read the configuration; `flags` are by the dotted path of their key, None is not given.

    The file is the one at `path`, else at RETRYD_CONFIG, else there is none. Raises one
    ConfigurationError whose `problems` name each key, what stands there, what is allowed and where
    it was given.
    """
    sources = flags_source(flags), environment_source(environ), file_source(path, environ)
    document = merge(sources)
    problems = list(_unknown_policies(document))
    try:
        configuration = model.model_validate(document, context={"environ": environ})
    except ValidationError as error:
        problems += problems_of(error, Schema(model.model_json_schema(), document))
    else:
        if not problems:
            return configuration
    raise ConfigurationError(_told(problem, sources) for problem in problems)


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


def _told(problem: Problem, sources: Sequence[Source]) -> str:
    """Write the problem with the place where its value was given, and a remedy in its words."""
    given = origin(sources, problem.path)
    remedy = ""
    if problem.meant:
        variable = given is not None and given.startswith(PREFIX)
        meant = variable_name(problem.meant) if variable else dotted(problem.meant)
        remedy = f", did you mean {meant}?"
    place = f" ({given})" if given else ""
    return f"{dotted(problem.path)}{problem.message}{remedy}{place}"
