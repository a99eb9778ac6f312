"""`retryd health`: asks a running worker over HTTP; for containers, and it starts fast."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from retryd.cli import output
from retryd.cli.failure import PROBLEM, refuse
from retryd.cli.options import Config, Json

PATIENCE_SECONDS: Final = 5.0
LARGEST_ANSWER: Final = 1024 * 1024
# What is listened at everywhere answers at the loopback.
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound
CONNECTIONS: Final = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
PORTS: Final = {"http": 80, "https": 443}


def health(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether the process answers: /livez.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where it listens; else http.host and http.port say."),
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Ask a running worker how it is.

    Exit status 0 means that it takes work, 1 that it does not or that nobody answers.
    """
    base = url.rstrip("/") if url else address_of(config)
    status, text = ask(f"{base}/livez" if live else f"{base}/health")
    document = document_of(status, text, live=live)
    if document is None:
        refuse(f"{base} answers with {status} and is no worker of retryd; name another with --url")
    if json_:
        output.print_json(document)
    else:
        output.print_facts({name: shown(value) for name, value in document.items()})
    if not document["ready" if not live else "live"]:
        raise typer.Exit(PROBLEM)


def ask(url: str) -> tuple[int, str]:
    """Return status and text of the answer to a GET; tells what stands in the way."""
    parts = urlsplit(url)
    try:
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        port = None
    if parts.scheme not in CONNECTIONS or not parts.hostname or port is None:
        message = f"{url!r} is no address such as http://127.0.0.1:7387"
        raise typer.BadParameter(message)
    connection = CONNECTIONS[parts.scheme](parts.hostname, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", parts.path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read(LARGEST_ANSWER).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        cause = str(error) or type(error).__name__
        refuse(f"{url} does not answer ({cause}); is `retryd run` up, and is this its address?")
    finally:
        connection.close()


def document_of(status: int, text: str, *, live: bool) -> dict[str, Any] | None:
    """Return what a worker has answered; None if that was none."""
    if live:
        return {"live": True} if status == http.client.OK and text == "ok\n" else None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "ready" in document else None


def address_of(config: Path | None) -> str:
    """Return where the configuration lets a worker listen. Raises ConfigurationError.

    Only this is read of it: the rest takes longer, and may need what is not there.
    """
    # ruff: noqa: PLC0415 - models take longer to import than `retryd --help` may
    from pydantic import ValidationError

    from retryd.settings.models import HttpSettings
    from retryd.settings.sources import environment_source, file_source, merge

    sources = environment_source(os.environ), file_source(config, os.environ)
    given = merge(sources).get("http", {})
    if isinstance(given, dict):
        given = {key: value for key, value in given.items() if key in {"host", "port"}}
    try:
        http = HttpSettings.model_validate(given)
    except ValidationError:
        from retryd.compose import load_configuration

        load_configuration(config, os.environ, {})  # refuses it in the words that all commands use
        raise
    if http.port == 0:
        message = "http.port is 0, any that is free: the log of the worker tells it, give --url"
        raise typer.BadParameter(message)
    host = EVERYWHERE.get(http.host, http.host)
    return f"http://[{host}]:{http.port}" if ":" in host else f"http://{host}:{http.port}"


def shown(value: object) -> object:
    """Return a value of the answer as it stands on a line."""
    match value:
        case [] | {}:
            return None
        case bool():
            return "yes" if value else "no"
        case [str(), *_]:
            return "; ".join(map(str, value))
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return value
