"""What workers run: `retryd run --app shop.retries:app`."""

from __future__ import annotations

import os

import django

import retryd

# --8<-- [start:handler]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()  # before anything that imports models

from django.db import connections  # noqa: E402

from shop.orders import send_mail  # noqa: E402

app = retryd.App()


@app.handler("order.mail")
def mail_again(retry: retryd.Retry) -> None:
    """Send the mail that failed; a plain function has a thread, in which the ORM works."""
    try:
        send_mail(retry.payload["order"], mail_is_up=True)
    finally:
        connections.close_all()  # the thread ends with the attempt, and its connection with it


# --8<-- [end:handler]
