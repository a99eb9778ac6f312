"""A broker of one topic: prints each line that it gets, and confirms it."""

from __future__ import annotations

import os
import socketserver


class Topic(socketserver.StreamRequestHandler):
    """Takes one event from each connection."""

    def handle(self) -> None:
        """Print the event, and say so."""
        print(self.rfile.readline().decode(), end="", flush=True)
        self.wfile.write(b"ok\n")


socketserver.ThreadingTCPServer.allow_reuse_address = True
address = ("127.0.0.1", int(os.environ["BROKER_PORT"]))
socketserver.ThreadingTCPServer(address, Topic).serve_forever()
