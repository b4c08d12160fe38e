"""One phone call, played through whatever calls a tool. The programs beside it run in an environment of their own."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Told = dict[str, Any]
CallTool = Callable[[str, dict[str, Any]], Awaitable[Told]]


def given() -> dict[str, Any]:
    """Return what the test asks for: url, key, headers, service, when, later, name."""
    return dict(json.loads(sys.argv[1]))


async def play(call: CallTool) -> dict[str, Told]:
    """Find, hold, book, book again as after an interruption, find again, reschedule and cancel."""
    asked = given()
    told = {"held": await call("check_availability", {"service": asked["service"], "when": asked["when"], "staff": ""})}
    booking = {"confirm_token": told["held"].get("confirm_token"), "name": asked["name"], "phone": "none"}
    told["booked"] = await call("book_appointment", booking)
    told["again"] = await call("book_appointment", booking)
    told["found"] = await call("find_my_appointments", {})
    told["later"] = await call("check_availability", {"service": asked["service"], "when": asked["later"]})
    booking_id = told["found"]["bookings"][0]["booking_id"]
    moved = {"booking_id": booking_id, "slot_token": told["later"]["offers"][0]["slot_token"]}
    told["moved"] = await call("reschedule_appointment", moved)
    told["cancelled"] = await call("cancel_appointment", {"booking_id": booking_id})
    told["refused"] = await call("check_availability", {"service": "Mondfahrt"})
    return told


def run(main: Callable[[], Awaitable[dict[str, Told]]]) -> None:
    """Play it, and write what was told as the last line."""
    told = asyncio.run(main())  # type: ignore[arg-type]  # each main is a coroutine function
    sys.stdout.write(f"\n{json.dumps(told)}\n")
