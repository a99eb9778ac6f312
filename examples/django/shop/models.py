"""The tables of the shop."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order."""

    number = models.IntegerField(primary_key=True)

    def __str__(self) -> str:
        """Name it."""
        return f"order {self.number}"
