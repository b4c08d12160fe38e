"""The client of tests, demo and benchmarks for a simulator, in whichever process it runs."""

import http.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from calcom.simulator.control import PREFIX
from calcom.simulator.dataset import Dataset, Json
from calcom.simulator.traffic import Kind
from calcom.simulator.webhooks import require_loopback_url

Moment = datetime | str

_TIMEOUT_S = 60.0
_WAIT_S = 10.0
_POLL_S = 0.002


class SimulatorError(Exception):
    """The simulator refused an action; the argument is its response."""


class SimulatorClient:
    """
    Observes and controls the simulator at `base_url`; thread-safe.

    Moments are aware datetimes or ISO texts (UTC unless they say otherwise), users are usernames, event types are ids
    or slugs, routes are names such as `POST /v2/bookings/{uid}/cancel`.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = require_loopback_url(base_url)

    # Requests and bookings

    def requests(self, route: str | None = None) -> list[Json]:
        """
        Return the requests in order of arrival.

        Each has `key` (start of the hash), `route`, `path`, `connection` (the client's port), `arrived_at`,
        `answered_at` (seconds since 1970), `status` (0: no response), `fault` and `counted` (against the limit).
        """
        requests: list[Json] = self._ask("GET", "requests", {"route": route} if route else {})["requests"]
        return requests

    def summary(self) -> Json:
        """
        Return counts of the request log.

        `counts` and `in_flight` by route, `statuses`, `max_in_60_s` and the same `_by_key`, `too_many` (responses
        of 429) and `breaches` (how often a client exceeded the limit).
        """
        return self._ask("GET", "requests", {"entries": "0"})

    def count(self, route: str | None = None) -> int:
        """Return the number of requests of a route, or of all."""
        counts: dict[str, int] = self.summary()["counts"]
        return sum(counts.values()) if route is None else counts.get(route, 0)

    def max_in_60_s(self) -> int:
        """Return the largest number of counted requests of one key in any 60 s."""
        return int(self.summary()["max_in_60_s"])

    def breaches(self) -> int:
        """Return how often a client exceeded the limit."""
        return int(self.summary()["breaches"])

    def bookings(self) -> list[Json]:
        """Return all bookings, cancelled ones too."""
        stored: list[Json] = self._ask("GET", "bookings")["bookings"]
        return stored

    def overlaps(self) -> list[list[str]]:
        """Return the pairs of uids of accepted bookings of one host that overlap."""
        pairs: list[list[str]] = self._ask("GET", "bookings")["overlaps"]
        return pairs

    # Faults and settings

    def fail(
        self,
        route: str,
        kind: Kind | str,
        *,
        times: int | None = 1,
        probability: float = 1.0,
        attendee: str | None = None,
        event_type_id: int | None = None,
        owner: str | None = None,
        seconds: float | None = None,
        status: int = 500,
        message: str = "",
        members: Json | None = None,
        without: Sequence[str] = (),
    ) -> int:
        """Add a fault for requests of the route, as `traffic.Fault` describes it, and return its id."""
        fault = {
            "route": route,
            "kind": Kind(kind),
            "times": times,
            "probability": probability,
            "attendee": attendee,
            "event_type_id": event_type_id,
            "owner": owner,
            "seconds": seconds,
            "status": status,
            "message": message,
            "members": members or {},
            "without": list(without),
        }
        return int(self._ask("POST", "faults", fault)["id"])

    @contextmanager
    def holding(self, route: str) -> Iterator[None]:
        """Hold the requests of a route between check and effect while the block lasts."""
        fault_id = self.fail(route, Kind.HANG, times=None)
        try:
            yield
        finally:
            self.clear_faults(fault_id)

    def await_in_flight(self, number: int, route: str | None = None) -> None:
        """Wait until exactly `number` requests are unanswered; raises `TimeoutError` after 10 s."""
        deadline = monotonic() + _WAIT_S
        while self.in_flight(route) != number:
            if monotonic() > deadline:
                raise TimeoutError(f"There were never {number} requests in flight.")
            sleep(_POLL_S)

    def in_flight(self, route: str | None = None) -> int:
        """Return the number of unanswered requests."""
        counts: dict[str, int] = self.summary()["in_flight"]
        return sum(counts.values()) if route is None else counts.get(route, 0)

    def clear_faults(self, fault_id: int | None = None) -> None:
        """Remove one fault or all; requests that hang continue."""
        self._ask("DELETE", "faults", {} if fault_id is None else {"id": fault_id})

    def configure(self, **settings: Any) -> Json:
        """
        Change settings and return all of them.

        `latency` (scale), `limit` and `window_s`, `keep_alive_s` (announced), `slots_cache_s`, `webhooks` (`send` or
        `hold`), `webhook_loss` (share), `unreachable_calendars` (usernames without slots and bookings),
        `cancels_rescheduled` (whether cancelling a booking that was rescheduled meanwhile succeeds),
        `now` (ISO text).
        """
        return self._ask("POST" if settings else "GET", "settings", settings)

    def set_now(self, moment: Moment) -> None:
        """Shift the clock of the booking rules; it runs on from `moment`."""
        self.configure(now=_text(moment))

    def reset(self, *, log_only: bool = False) -> None:
        """Empty the request log and the rate limit; unless `log_only`, also return to the initial dataset."""
        self._ask("POST", "reset", {"log_only": log_only})

    # What a human does at Cal.com

    def busy(self, host: str, start: Moment, end: Moment) -> str:
        """Add an appointment to the host's outside calendar and return its uid."""
        return str(self._ask("POST", "busy", {"host": host, "start": _text(start), "end": _text(end)})["uid"])

    def not_busy(self, uid: str) -> None:
        """Remove an appointment from an outside calendar."""
        self._ask("DELETE", "busy", {"uid": uid})

    def book_elsewhere(self, event_type: int | str, start: Moment, **details: Any) -> Json:
        """
        Book at Cal.com, whether free or not, and return the booking.

        Details: `host`, `minutes`, `name`, `email`, `phone`, `time_zone`, `metadata`, `location`, `description`,
        `status`, and `webhook=False` to send no message.
        """
        return self._ask("POST", "bookings", {"event_type": event_type, "start": _text(start), **details})

    def reschedule_elsewhere(self, uid: str, start: Moment, *, webhook: bool = True) -> Json:
        """Reschedule a booking at Cal.com and return the new one."""
        return self._ask("POST", "bookings/reschedule", {"uid": uid, "start": _text(start), "webhook": webhook})

    def cancel_elsewhere(self, uid: str, *, reason: str = "", webhook: bool = True) -> Json:
        """Cancel a booking at Cal.com."""
        return self._ask("POST", "bookings/cancel", {"uid": uid, "reason": reason, "webhook": webhook})

    def decide_elsewhere(self, uid: str, *, confirm: bool, webhook: bool = True) -> Json:
        """Confirm or decline a pending booking as its host."""
        return self._ask("POST", "bookings/decide", {"uid": uid, "confirm": confirm, "webhook": webhook})

    def change_event_type(self, event_type: int | str, **fields: Any) -> None:
        """Change an event type at Cal.com, by the names of `dataset.EventType`: `hosts`, `minutes`, `limits` …"""
        self._ask("POST", "event-types", {"event_type": event_type, "fields": fields})

    def delete_event_type(self, event_type: int | str) -> None:
        """Delete an event type at Cal.com; its bookings stay."""
        self._ask("DELETE", "event-types", {"event_type": event_type})

    def issue_key(self, owner: str, key: str) -> None:
        """Give a user one more API key."""
        self._ask("POST", "keys", {"owner": owner, "key": key})

    def expire_key(self, key: str) -> None:
        """Expire an API key: reads succeed as before, writes are refused."""
        self._ask("POST", "keys/expire", {"key": key})

    def revoke_key(self, key: str) -> None:
        """Delete an API key: all requests with it are refused."""
        self._ask("DELETE", "keys", {"key": key})

    # Webhooks

    def deliveries(self) -> list[Json]:
        """Return the messages to subscribers, sent or held: `id`, `trigger`, `uid`, `url`, `outcome`, `body`."""
        deliveries: list[Json] = self._ask("GET", "deliveries")["deliveries"]
        return deliveries

    def deliver(self, delivery_id: int) -> Json:
        """Send a held message, or a sent one again, byte for byte."""
        return self._ask("POST", "deliveries", {"id": delivery_id})

    def announce_meeting(self, uid: str, trigger: str) -> None:
        """Send MEETING_STARTED or MEETING_ENDED about a booking."""
        self._ask("POST", "meetings", {"uid": uid, "trigger": trigger})

    def dataset(self) -> Dataset:
        """Return the initial dataset."""
        return Dataset.from_json(self._ask("GET", "dataset"))

    def _ask(self, method: str, action: str, fields: Mapping[str, Any] | None = None) -> Json:
        path, body = f"{PREFIX}{action}", None
        if method == "GET" and fields:
            path += f"?{urlencode(fields)}"
        elif fields:
            body = orjson.dumps(fields)
        connection = http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer: Json = orjson.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise SimulatorError(answer)
        return answer


def _text(moment: Moment) -> str:
    if isinstance(moment, str):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).isoformat()
