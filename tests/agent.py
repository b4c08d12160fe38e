"""A voice agent, as far as our API can see one."""

from datetime import date, datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.test import Client

from bookings.models import Service
from tests.factories import ANNA, Caller


class Agent:
    """Asks and books with one key. Each method returns the answer as it came; `.json()` reads it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.client = Client()
        self._numbers = count(1)  # several threads may book with one agent

    def availability(self, service: Service, day: date, **headers: str) -> HttpResponse:
        """Ask for the free slots of one day."""
        return self._get("/v1/availability", {"service": f"sv_{service.pk}", "date": day.isoformat()}, headers)

    def free_slots(self, service: Service, day: date) -> list[datetime]:
        """Return the instants at which the service is offered on a day."""
        answer = self.availability(service, day)
        assert answer.status_code == 200, answer.content
        return [datetime.fromisoformat(slot["start"]) for slot in answer.json()["slots"]]

    def book(
        self, service: Service, start: datetime, caller: Caller = ANNA, *, key: str | None = None, **headers: str
    ) -> HttpResponse:
        """Book a slot; without `key` it is a new wish each time."""
        body = {
            "service": f"sv_{service.pk}",
            "start": start.astimezone(ZoneInfo("UTC")).isoformat(),
            "caller": {"name": caller.name, "phone": caller.phone, "email": caller.email},
        }
        return self._post("/v1/bookings", body, {"Idempotency-Key": key or f"wish-{next(self._numbers)}", **headers})

    def booking(self, booking_id: str) -> HttpResponse:
        """Ask for one booking."""
        return self._get(f"/v1/bookings/{booking_id}", {}, {})

    def operation(self, address: str) -> HttpResponse:
        """Ask what became of a change, at the address that its answer named."""
        return self._get(address, {}, {})

    def cancel(self, booking_id: str, reason: str = "", **headers: str) -> HttpResponse:
        """Cancel a booking."""
        return self._post(f"/v1/bookings/{booking_id}/cancel", {"reason": reason} if reason else {}, headers)

    def _get(self, path: str, query: dict[str, str], headers: dict[str, str]) -> HttpResponse:
        return self.client.get(path, query, headers=self._headers(headers))

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> HttpResponse:
        return self.client.post(path, body, content_type="application/json", headers=self._headers(headers))

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", **{name.replace("_", "-"): text for name, text in more.items()}}
