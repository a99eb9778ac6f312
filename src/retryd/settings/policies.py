"""Policies of the configuration: checked by the domain, laid over its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from retryd.domain.errors import ConfigurationError
from retryd.domain.policy import DEFAULT, PRESETS, RANGES, Backoff, JitterMode, Policy
from retryd.settings.block import Block, told


def _tell_ranges(schema: dict[str, Any]) -> None:
    """Write the ranges, which the domain checks, into the JSON schema."""
    for field, _, low, high in RANGES:
        place = schema["properties"][field]
        place = place.get("items") or next(iter(place.get("anyOf", ())), place)
        place.update(minimum=low, maximum=high)


class PolicySettings(Block):
    """How often and how patiently an operation is tried again; durations in seconds."""

    model_config = ConfigDict(json_schema_extra=_tell_ranges)

    match: tuple[str, ...] = Field(
        default=DEFAULT.match, description="Patterns of operations; none: chosen by its name only."
    )
    max_retries: int = Field(
        default=DEFAULT.max_retries,
        description="Attempts by retryd; the failure that came in is not one of them.",
    )
    backoff: Backoff = Field(
        default=DEFAULT.backoff, description="How the delay grows from attempt to attempt."
    )
    initial_delay_seconds: float = Field(
        default=DEFAULT.initial_delay_seconds, description="The delay before the first attempt."
    )
    backoff_multiplier: float = Field(
        default=DEFAULT.backoff_multiplier, description="The growth of an exponential backoff."
    )
    max_delay_seconds: float = Field(
        default=DEFAULT.max_delay_seconds, description="The longest delay, jitter included."
    )
    schedule_seconds: tuple[float, ...] = Field(
        default=DEFAULT.schedule_seconds,
        description="The delays of backoff schedule; the last one repeats.",
    )
    jitter: float = Field(
        default=DEFAULT.jitter, description="The part of a delay that chance adds or takes away."
    )
    jitter_mode: JitterMode = Field(
        default=DEFAULT.jitter_mode,
        description="fraction: jitter, both ways; full: 0 to the delay; equal: its upper half.",
    )
    timeout_seconds: float = Field(
        default=DEFAULT.timeout_seconds, description="The longest that an attempt may take."
    )
    max_age_seconds: float | None = Field(
        default=DEFAULT.max_age_seconds, description="How old a retry may get; null: any age."
    )
    priority: int | None = Field(
        default=DEFAULT.priority, description="0 (runs first) to 9, where the event names none."
    )
    retry_on: tuple[str, ...] = Field(
        default=DEFAULT.retry_on, description="Error types tried again, all others are final."
    )
    give_up_on: tuple[str, ...] = Field(
        default=DEFAULT.give_up_on, description="Error types that are final."
    )
    max_lost_attempts: int = Field(
        default=DEFAULT.max_lost_attempts, description="Attempts that may be lost with a worker."
    )

    @field_validator("*", mode="after")
    @classmethod
    def _ask_domain(cls, value: object, info: ValidationInfo) -> object:
        field = str(info.field_name)
        for problem in _problems({"schedule_seconds": (1.0,), field: value}):
            raise told(problem.removeprefix(field))
        return value

    @model_validator(mode="after")
    def _ask_domain_about_all(self) -> Self:
        for problem in _problems(self.given()):
            raise told(f".{problem}")
        return self

    def given(self) -> dict[str, Any]:
        """Return what the configuration says, without defaults."""
        return self.model_dump(exclude_unset=True)


def merged_policies(
    given: Mapping[str, PolicySettings], unsaid: Mapping[str, Any]
) -> dict[str, Policy]:
    """Lay the given policies over the presets, and `unsaid` under both; by name."""
    presets = {preset.name: said_by_preset(preset) for preset in PRESETS}
    said = {name: policy.given() for name, policy in given.items()}
    return {
        name: Policy(**{**unsaid, **presets.get(name, {}), **said.get(name, {}), "name": name})
        for name in [*presets, *(name for name in said if name not in presets)]
    }


def said_by_preset(preset: Policy) -> dict[str, Any]:
    """Return what a preset says on its own, which is where it differs from the default."""
    usual = asdict(DEFAULT)
    return {field: value for field, value in asdict(preset).items() if value != usual[field]}


def _problems(fields: Mapping[str, Any]) -> list[str]:
    try:
        Policy(**fields)
    except ConfigurationError as error:
        return [problem.removeprefix(f"policy {DEFAULT.name!r}: ") for problem in error.problems]
    return []
