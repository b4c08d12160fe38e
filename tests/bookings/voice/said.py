"""What callers say in these tests."""

from typing import Any

from tests.factories import TUESDAY

_MONTHS = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)  # fmt: skip
DAY = f"{TUESDAY.day}. {_MONTHS[TUESDAY.month - 1]} {TUESDAY.year}"
"""The Tuesday of the tests."""


def check_body(call: dict[str, Any]) -> dict[str, Any]:
    """Return Retell's request for ten o'clock on that day."""
    args = {"service": "Haarschnitt", "when": f"am {DAY} um zehn Uhr", "staff": ""}
    return {"name": "check_availability", "call": call, "args": args}
