"""`config.schema.json`: what editors know of the configuration is what retryd knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retryd.settings.editor_schema import editor_schema
from tests.unit.settings.loading import MODEL, REAL, load_document, problem_of

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "config.schema.json"


def validated(document: object, folder: Path) -> tuple[int, str]:
    """Let check-jsonschema look at a document; returns its status and what it said."""
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    program = Path(sys.executable).with_name("check-jsonschema")
    ended = subprocess.run(
        [program, "--schemafile", SCHEMA, path], check=False, capture_output=True, text=True
    )
    return ended.returncode, ended.stdout


def test_the_schema_in_the_repository_is_made_from_the_models() -> None:
    made = json.dumps(editor_schema(REAL), indent=2) + "\n"
    assert SCHEMA.read_text() == made, "run: retryd check --schema > config.schema.json"


def test_the_example_is_valid_by_the_schema_that_it_names(tmp_path: Path) -> None:
    example = json.loads((ROOT / "config.example.json").read_text())
    assert (ROOT / example["$schema"]).samefile(SCHEMA)
    assert validated(example, tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"retry": {"batchsize": 1}}, "'batchsize' was unexpected"),
        ({"retry": {"batch_size": "1"}}, "'1' is not of type 'integer'"),
        ({"retry": {"retry_policies": {"a": {"jitter": 2}}}}, "2 is greater than the maximum of 1"),
        ({"handlers": {"a": {}}}, "'kind' is a required property"),
        ({"handlers": {"a": {"kind": "c"}}}, "'c' is not one of ['command', 'http',"),
        ({"handlers": {"a": {"kind": "command", "match": ["a"]}}}, "'argv' is a required property"),
    ],
)
def test_an_editor_marks_a_mistake_in_the_words_of_its_key(
    document: dict[str, Any], told: str, tmp_path: Path
) -> None:
    status, said = validated(document, tmp_path)
    assert (status, told in said) == (1, True), said


def test_every_key_tells_an_editor_what_it_is_for() -> None:
    schema = editor_schema(REAL)
    blocks = [schema, *schema["$defs"].values()]
    for block in blocks:
        assert block["description"].endswith(".")
        for key, value in block["properties"].items():
            assert "$ref" in value or value["description"].endswith("."), key


def test_the_place_of_the_schema_is_taken_and_means_nothing() -> None:
    assert load_document({"$schema": "./config.schema.json"}) == MODEL()
    assert load_document({"$schema": 5}) == MODEL()
    assert problem_of({"retry": {"$schema": ""}}).startswith("retry.$schema is unknown")
