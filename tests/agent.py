"""A voice agent that speaks to the API through Django's test client."""

from datetime import date, datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.test import Client

from bookings.models import Service
from tests.factories import ANNA, Caller


class Agent:
    """Sends requests with one key; paths are below /v1. Underscores in names of headers become hyphens."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.client = Client()
        self._numbers = count(1)  # several threads may book with one agent

    def availability(self, service: Service, day: date, **headers: str) -> HttpResponse:
        """Ask for the free slots of one day."""
        return self.get("availability", {"service": f"sv_{service.pk}", "date": day.isoformat()}, **headers)

    def free_slots(self, service: Service, day: date) -> list[datetime]:
        """Return the instants at which the service is offered on a day."""
        answer = self.availability(service, day)
        assert answer.status_code == 200, answer.content
        return [datetime.fromisoformat(slot["start"]) for slot in answer.json()["slots"]]

    def book(
        self, service: Service, start: datetime, caller: Caller = ANNA, *, key: str | None = None, **headers: str
    ) -> HttpResponse:
        """Book a slot; without `key` it is a new booking each time."""
        body = {
            "service": f"sv_{service.pk}",
            "start": start.astimezone(ZoneInfo("UTC")).isoformat(),
            "caller": {"name": caller.name, "phone": caller.phone, "email": caller.email},
        }
        return self.post("bookings", body, idempotency_key=key or f"booking-{next(self._numbers)}", **headers)

    def booking(self, booking_id: str) -> HttpResponse:
        """Ask for one booking."""
        return self.get(f"bookings/{booking_id}")

    def operation(self, address: str) -> HttpResponse:
        """Read an operation at the address that a Location header named."""
        return self.get(address)

    def cancel(self, booking_id: str, reason: str = "", **headers: str) -> HttpResponse:
        """Cancel a booking."""
        return self.post(f"bookings/{booking_id}/cancel", {"reason": reason} if reason else {}, **headers)

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> HttpResponse:
        return self.client.get(_below_v1(path), query, headers=self.headers(**headers))

    def post(self, path: str, body: object = None, **headers: str) -> HttpResponse:
        return self.client.post(_below_v1(path), body, content_type="application/json", headers=self.headers(**headers))

    def delete(self, path: str, **headers: str) -> HttpResponse:
        return self.client.delete(_below_v1(path), headers=self.headers(**headers))

    def send(self, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> HttpResponse:
        """Post bytes as they are."""
        return self.client.generic("POST", _below_v1(path), body, content_type, headers=self.headers(**headers))

    def headers(self, **more: str) -> dict[str, str]:
        """Return the headers of a request, the key among them."""
        return {"Authorization": f"Bearer {self.key}", **{name.replace("_", "-"): text for name, text in more.items()}}


def _below_v1(path: str) -> str:
    return path if path.startswith("/v1/") else f"/v1/{path}"
