"""The messages of PostgreSQL's protocol, cut out of the bytes that pass by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Messages:
    """Splits one direction of a connection; `typeless` is true until the client's first message."""

    typeless: bool
    _left: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the letter and the body of each message that is complete now."""
        self._left += data
        while True:
            letter = 0 if self.typeless else 1
            if len(self._left) < letter + 4:
                return
            length = int.from_bytes(self._left[letter : letter + 4])
            if len(self._left) < letter + length:
                return
            yield bytes(self._left[:letter]), bytes(self._left[letter + 4 : letter + length])
            del self._left[: letter + length]
            self.typeless = False


@dataclass(slots=True)
class Statements:
    """Tells which statement a client's message runs, prepared ones too."""

    _prepared: dict[bytes, bytes] = field(default_factory=dict)

    def run_by(self, letter: bytes, body: bytes) -> bytes:
        """Return the text of the statement that this message lets run; empty for all others."""
        match letter:
            case b"Q":
                return body.rstrip(b"\0")
            case b"P":
                name, text, _ = body.split(b"\0", 2)
                self._prepared[name] = text
            case b"B":
                _, name, _ = body.split(b"\0", 2)
                return self._prepared.get(name, b"")
        return b""
