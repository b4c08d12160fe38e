"""Slotline as a `Peer`."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from script.lib.agent import Agent, Answer, NoResponseError
from tests.benchmarks.peers.conversations import DAYS, Refused, Unanswered


class Slotline:
    """A voice agent with our API."""

    def __init__(self, url: str, key: str, services: Mapping[str, str]) -> None:
        """Ask Slotline at `url`; `services` are its ids by slug of the event type."""
        self._url, self._key, self._services = url, key, services
        self._of_thread = threading.local()

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        return self._slots(slug, day, day + timedelta(days=1))

    def free_from(self, slug: str, day: datetime) -> list[datetime]:
        return self._slots(slug, day, day + timedelta(days=DAYS))

    def book(self, slug: str, start: datetime, caller: str) -> str:
        booking = {"service": self._services[slug], "start": start.isoformat(), "caller": {"name": caller}}
        key = caller.replace(" ", "-")
        answer = self._send(lambda agent: agent.post("/v1/bookings", booking, Idempotency_Key=key, Prefer="wait=8"))
        if answer.status == 409:  # taken, or not listed any more
            raise Refused
        if answer.status != 201:
            raise Unanswered
        return str(answer.body["booking"]["id"])

    def cancel(self, booking: str) -> None:
        answer = self._send(lambda agent: agent.post(f"/v1/bookings/{booking}/cancel", {}, Prefer="wait=8"))
        if answer.status != 200:
            raise Unanswered

    def _slots(self, slug: str, first: datetime, last: datetime) -> list[datetime]:
        window = {"from": first.isoformat(), "to": last.isoformat()}
        answer = self._send(lambda agent: agent.get("/v1/availability", service=self._services[slug], **window))
        if answer.status != 200:
            raise Unanswered
        return [datetime.fromisoformat(slot["start"]) for slot in answer.body["slots"]]

    def _send(self, send: Callable[[Agent], Answer]) -> Answer:
        agent: Agent = self._of_thread.__dict__.setdefault("agent", Agent(self._url, self._key))
        try:
            return send(agent)
        except NoResponseError as exc:
            raise Unanswered from exc
