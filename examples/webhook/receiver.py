"""Takes deliveries: verifies each with the package `standardwebhooks`, and is busy twice before."""

from __future__ import annotations

import os
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from standardwebhooks import Webhook, WebhookVerificationError

BUSY = 2

webhook = Webhook(os.environ["BILLING_KEY"])
times: Counter[str] = Counter()


class Receiver(BaseHTTPRequestHandler):
    """Answers 401 to strangers, 500 to the first two deliveries of a retry, and then 204."""

    def do_POST(self) -> None:
        """Verify the bytes as they came: a body that was decoded and encoded again is another."""
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        try:
            invoice = webhook.verify(body, dict(self.headers))["invoice"]
        except WebhookVerificationError:
            self.answer(401)
            return
        delivery = self.headers["webhook-id"]  # the same for all attempts: deduplicate by it
        times[delivery] += 1
        status = 500 if times[delivery] <= BUSY else 204
        print(f"{delivery}: invoice {invoice}, {status}", flush=True)
        self.answer(status)

    def answer(self, status: int) -> None:
        """Answer with this status alone."""
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of each request."""


address = urlsplit(os.environ["BILLING_URL"])
ThreadingHTTPServer((address.hostname or "", address.port or 80), Receiver).serve_forever()
