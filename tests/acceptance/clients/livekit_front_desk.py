"""
The calendar of LiveKit's front-desk example, filled by Slotline's REST API: three methods, used by a session's tools.

Slots are named by what was listed; a name that was not listed is the model's invention and becomes a ToolError.
"""

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from flow import Told, given, run
from livekit.agents import Agent, AgentSession, ToolError, function_tool
from livekit_agent import Script


class SlotlineCalendar:
    """now, list_available_slots and schedule_appointment over HTTP."""

    def __init__(self, url: str, key: str, service: str) -> None:
        self._url, self._key, self._service = url, key, service

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    async def list_available_slots(self, start_time: datetime, end_time: datetime) -> list[datetime]:
        query = {"service": self._service, "from": start_time.isoformat(), "to": end_time.isoformat()}
        found = self._ask(f"/v1/availability?{urlencode(query)}")
        return [datetime.fromisoformat(slot["start"]) for slot in found["slots"]]

    async def schedule_appointment(self, *, start_time: datetime, attendee_email: str) -> Told:
        body = {
            "service": self._service,
            "start": start_time.isoformat(),
            "caller": {"name": attendee_email.partition("@")[0], "email": attendee_email},
        }
        return self._ask("/v1/bookings", body, {"Idempotency-Key": f"{attendee_email}-{start_time.isoformat()}"})

    def _ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Told:
        sent = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **(headers or {})}
        request = Request(self._url + path, json.dumps(body).encode() if body else None, sent)
        with urlopen(request, timeout=5) as answered:
            return dict(json.load(answered))


class FrontDesk(Agent):
    """An agent with two tools over a calendar."""

    def __init__(self, calendar: SlotlineCalendar) -> None:
        super().__init__(instructions="")
        self._calendar = calendar
        self._listed: dict[str, datetime] = {}

    @function_tool
    async def list_available_slots(self) -> str:
        """List free times."""
        now = self._calendar.now()
        slots = await self._calendar.list_available_slots(now, now + timedelta(days=14))
        self._listed = {f"slot_{n}": start for n, start in enumerate(slots)}
        return json.dumps({"text": json.dumps({"spoken": "", "slots": list(self._listed)})})

    @function_tool
    async def schedule_appointment(self, slot_id: str) -> str:
        """Book a listed time."""
        if slot_id not in self._listed:
            raise ToolError(f"error: slot {slot_id} was not found")
        booked = await self._calendar.schedule_appointment(
            start_time=self._listed[slot_id], attendee_email="anna@example.com"
        )
        return json.dumps({"text": json.dumps(booked)})


async def main() -> dict[str, Told]:
    asked = given()
    calendar = SlotlineCalendar(asked["url"].removesuffix("/mcp"), asked["key"], asked["service"])
    book = ("schedule_appointment", lambda told: {"slot_id": told[0]["slots"][-1]})
    model = Script([("list_available_slots", lambda _: {}), book, None, book, None])
    async with AgentSession(llm=model) as session:
        await session.start(FrontDesk(calendar), record=False)
        for said in ("Der letzte freie Termin, bitte.", "Wie bitte?"):
            await session.run(user_input=said)
    return dict(zip(("listed", "booked", "again"), model.shown, strict=True))


if __name__ == "__main__":
    run(main)
