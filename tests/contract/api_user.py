"""A client with an API key that sends plain HTTP to the simulator."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from calcom.simulator import SimulatorClient

VERSIONS = {"/v2/slots": "2024-09-04", "/v2/bookings": "2024-08-13", "/v2/event-types": "2024-06-14"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any
    path: str


@dataclass(frozen=True)
class ApiUser:
    """One caller of the API; without a key an anonymous one."""

    simulator: SimulatorClient
    key: str | None = "cal_demo_salon"
    patience_s: float = 10

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.send("POST", path, body)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request on a connection of its own; a text goes out raw."""
        raw = body if isinstance(body, str) else None if body is None else json.dumps(body)
        connection = http.client.HTTPConnection(urlsplit(self.simulator.base_url).netloc, timeout=self.patience_s)
        try:
            connection.request(method, path, raw, self._headers(path) if headers is None else headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, dict(response.getheaders()), json.loads(text) if text else "", path)

    def book(self, event_type_id: int, start: str, email: str = "anna@example.com", **fields: Any) -> Answer:
        """Book; `fields` are added to the body."""
        attendee = {"name": "Anna", "email": email, "timeZone": "Europe/Berlin"}
        body = {"eventTypeId": event_type_id, "start": start, "attendee": attendee}
        return self.post("/v2/bookings", body | fields)

    def slots(self, event_type_id: int, start: str, end: str | None = None, **query: str) -> list[str]:
        """List the starts, as they are spelled, in order."""
        extra = "".join(f"&{name}={value}" for name, value in query.items())
        answer = self.get(f"/v2/slots?eventTypeId={event_type_id}&start={start}&end={end or start}{extra}")
        assert answer.status == 200, answer
        return [slot["start"] for day in answer.body["data"].values() for slot in day]

    def _headers(self, path: str) -> dict[str, str]:
        version = next((version for family, version in VERSIONS.items() if path.startswith(family)), "2024-06-11")
        return {"cal-api-version": version} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
