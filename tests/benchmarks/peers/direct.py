"""An agent that asks Cal.com itself, with nothing in between: the common set-up."""

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.benchmarks.peers.conversations import DAYS, Refused, Unanswered

SLOTS_VERSION, BOOKINGS_VERSION = "2024-09-04", "2024-08-13"
# Seconds an agent's HTTP tool waits.
TIMEOUT = 20.0


class Direct:
    """A `Peer` with one request to Cal.com for each question; a wider question is one with a wider window."""

    def __init__(self, url: str, key: str, ids: Mapping[str, int], *, slots_url: str = "") -> None:
        """
        Ask the Cal.com at `url` with the API key `key`.

        Args:
            ids: Cal.com's event types by slug.
            slots_url: where slots are asked for, if a cache stands there.
        """
        self._url, self._slots_url, self._ids = url, slots_url or url, ids
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._of_thread = threading.local()

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        return self.slots(slug, day, day + timedelta(days=1))

    def free_from(self, slug: str, day: datetime) -> list[datetime]:
        return self.slots(slug, day, day + timedelta(days=DAYS))

    def slots(self, slug: str, first: datetime, last: datetime) -> list[datetime]:
        """Return the slots of a window, in one request."""
        window = {"eventTypeId": self._ids[slug], "start": _utc(first), "end": _utc(last)}
        status, body = self._send(self._slots_url, "GET", f"/v2/slots?{urlencode(window)}", SLOTS_VERSION)
        if status != 200:
            raise Unanswered
        starts = [datetime.fromisoformat(slot["start"]) for day in body["data"].values() for slot in day]
        return sorted(start for start in starts if first <= start < last)

    def book(self, slug: str, start: datetime, caller: str) -> str:
        address = f"{caller.lower().replace(' ', '-')}@callers.example"
        attendee = {"name": caller, "email": address, "timeZone": "UTC", "language": "en"}
        booking = {"eventTypeId": self._ids[slug], "start": _utc(start), "attendee": attendee}
        status, body = self._send(self._url, "POST", "/v2/bookings", BOOKINGS_VERSION, booking)
        if status in {400, 409}:
            raise Refused
        if status != 201:
            raise Unanswered
        return str(body["data"]["uid"])

    def cancel(self, booking: str) -> None:
        reason = {"cancellationReason": "The caller asked."}
        status, _ = self._send(self._url, "POST", f"/v2/bookings/{booking}/cancel", BOOKINGS_VERSION, reason)
        if status != 200:
            raise Unanswered

    def _send(
        self, url: str, method: str, path: str, version: str, body: Mapping[str, object] | None = None
    ) -> tuple[int, Any]:
        kept: dict[str, HTTPConnection] = self._of_thread.__dict__.setdefault("connections", {})
        if url not in kept:
            kept[url] = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
        headers = {**self._headers, "cal-api-version": version}
        try:
            kept[url].request(method, path, json.dumps(body) if body else None, headers)
            response = kept[url].getresponse()
            content = response.read()
        except (OSError, HTTPException) as exc:
            kept[url].close()
            raise Unanswered from exc
        return response.status, json.loads(content) if response.status < 500 and content else None


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
