"""What views call: an order, and the mail about it that fails."""

from __future__ import annotations

from django.db import connection, transaction

import retryd
from shop.models import Order


# --8<-- [start:capture]
def place(number: int) -> list[int]:
    """Keep the order, and what failed about it, in one transaction."""
    with transaction.atomic():
        Order.objects.create(number=number)
        try:
            with transaction.atomic():  # a failed statement in here leaves the rest usable
                send_mail(number, mail_is_up=False)
        except ConnectionError as error:
            return retryd.capture_sync(
                connection.connection, "order.mail.failed", {"order": number}, error=error
            )
    return []


# --8<-- [end:capture]


def send_mail(number: int, *, mail_is_up: bool) -> None:
    """Stand in for your own operation."""
    if not mail_is_up:
        raise ConnectionError("the mail server does not answer")
    print(f"mailed {Order.objects.get(number=number)}")
