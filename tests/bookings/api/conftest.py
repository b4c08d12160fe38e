"""The agents of these tests."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from django.test import Client

from bookings.api import throttling
from bookings.models import AgentKey, Service
from tests.factories import ANNA, Caller, Practice, Salon


@pytest.fixture(autouse=True)
def _no_requests_counted() -> None:
    """Begin as a process that has counted nothing."""
    throttling.counts.clear()


@dataclass
class Agent:
    """A voice agent with its key."""

    key: str
    client: Client = field(default_factory=Client)

    def get(self, path: str, query: dict[str, object] | None = None, **headers: str) -> Any:
        """Ask."""
        return self.client.get(f"/v1/{path}", query, headers=self._signed(headers))

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        """Send JSON."""
        return self.client.post(f"/v1/{path}", body, content_type="application/json", headers=self._signed(headers))

    def delete(self, path: str, **headers: str) -> Any:
        """Give back."""
        return self.client.delete(f"/v1/{path}", headers=self._signed(headers))

    def send(self, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
        """Send whatever."""
        return self.client.generic("POST", f"/v1/{path}", body, content_type, headers=self._signed(headers))

    def book(
        self, service: Service, start: datetime, *, caller: Caller = ANNA, key: str = "first", **headers: str
    ) -> Any:
        """Book for a caller."""
        return self.post("bookings", wish(service, start, caller=caller), idempotency_key=key, **headers)

    def _signed(self, headers: dict[str, str]) -> dict[str, str]:
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        return {"Authorization": f"Bearer {self.key}", **spelled}


def wish(service: Service, start: datetime, *, caller: Caller = ANNA, **more: object) -> dict[str, object]:
    """Return the body that books a service."""
    who = {"name": caller.name, "phone": caller.phone, "email": caller.email, "language": "de"}
    return {"service": f"sv_{service.pk}", "start": start.isoformat(), "caller": who, **more}


@pytest.fixture
def agent(salon: Salon) -> Agent:
    """The salon's."""
    return Agent(salon.key)


@pytest.fixture
def stranger(practice: Practice) -> Agent:
    """The agent of another company."""
    return Agent(practice.key)


def agent_with(salon: Salon, **fields: object) -> Agent:
    """Return an agent of the salon whose key has these scopes, or this branch."""
    _, text = AgentKey.objects.issue(company=salon.company, name="another", **fields)
    return Agent(text)
