"""The vocabulary in which tests, demo and benchmarks speak to a simulator, whichever process it runs in."""

import http.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from calcom.simulator.control import PREFIX
from calcom.simulator.faults import Kind
from calcom.simulator.loopback import require_loopback_url
from calcom.simulator.world import Json, World

Moment = datetime | str

_TIMEOUT_S = 60.0
_PATIENCE_S = 10.0
_POLL_S = 0.002


class SimulatorError(Exception):
    """The simulator did not understand what it was asked to do."""


class SimulatorClient:
    """
    Watches and directs the simulator at `base_url`; safe to use from any thread.

    Moments are aware datetimes or ISO texts (UTC unless they say otherwise), users are usernames, event types are ids
    or slugs, operations are names such as `POST /v2/bookings/{uid}/cancel`.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = require_loopback_url(base_url)

    # What Cal.com has seen

    def requests(self, operation: str | None = None) -> list[Json]:
        """
        List the requests in order of arrival.

        Each has `key` (start of the hash), `operation`, `path`, `connection` (the client's port), `arrived_at`,
        `answered_at` (seconds since 1970), `status` (0: no answer), `fault` and `counted` (against the limit).
        """
        seen: list[Json] = self._ask("GET", "seen", {"operation": operation} if operation else {})["requests"]
        return seen

    def summary(self) -> Json:
        """
        Return figures about the log.

        `counts` and `in_flight` by operation, `statuses`, `max_in_60_s` and the same `_by_key`, `too_many` (answers of
        429) and `breaches` (how often a caller exceeded the limit).
        """
        return self._ask("GET", "seen", {"entries": "0"})

    def count(self, operation: str | None = None) -> int:
        """Count the requests of an operation, or all of them."""
        counts: dict[str, int] = self.summary()["counts"]
        return sum(counts.values()) if operation is None else counts.get(operation, 0)

    def max_in_60_s(self) -> int:
        """Return the most requests of one key that were counted in any 60 s."""
        return int(self.summary()["max_in_60_s"])

    def breaches(self) -> int:
        """Return how often a caller exceeded the limit."""
        return int(self.summary()["breaches"])

    def bookings(self) -> list[Json]:
        """List what is truly booked, cancelled ones too."""
        stored: list[Json] = self._ask("GET", "bookings")["bookings"]
        return stored

    def overlaps(self) -> list[list[str]]:
        """List the pairs of accepted bookings, by uid, that overlap at one host."""
        pairs: list[list[str]] = self._ask("GET", "bookings")["overlaps"]
        return pairs

    # What shall go wrong

    def fail(
        self,
        operation: str,
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
        """Let a fault wait for requests of the operation, as `faults.Fault` describes it, and return its id."""
        fault = {
            "operation": operation,
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
    def holding(self, operation: str) -> Iterator[None]:
        """Hold the requests of an operation between their check and their effect while the block lasts."""
        fault_id = self.fail(operation, Kind.HANG, times=None)
        try:
            yield
        finally:
            self.clear_faults(fault_id)

    def await_in_flight(self, number: int, operation: str | None = None) -> None:
        """Wait until exactly so many requests are unanswered; raises `TimeoutError` after 10 s."""
        deadline = monotonic() + _PATIENCE_S
        while self.in_flight(operation) != number:
            if monotonic() > deadline:
                raise TimeoutError(f"There were never {number} requests in flight.")
            sleep(_POLL_S)

    def in_flight(self, operation: str | None = None) -> int:
        """Count the requests that are not answered yet."""
        counts: dict[str, int] = self.summary()["in_flight"]
        return sum(counts.values()) if operation is None else counts.get(operation, 0)

    def clear_faults(self, fault_id: int | None = None) -> None:
        """Take back one fault or all; requests that hang go on."""
        self._ask("DELETE", "faults", {} if fault_id is None else {"id": fault_id})

    def configure(self, **settings: Any) -> Json:
        """
        Change settings and return all of them.

        `latency` (scale), `limit` and `window_s`, `keep_alive_s` (announced), `slots_cache_s`, `webhooks` (`send` or
        `hold`), `webhook_loss` (share), `unreachable_calendars` (usernames whose calendar does not answer: no slots),
        `cancels_what_was_moved` (whether cancelling a booking that was moved meanwhile is answered with a yes),
        `now` (ISO text).
        """
        return self._ask("POST" if settings else "GET", "settings", settings)

    def set_now(self, moment: Moment) -> None:
        """Let the clock of the booking rules go on from `moment`."""
        self.configure(now=_text(moment))

    def reset(self, *, log_only: bool = False) -> None:
        """Empty the log and the limit's windows; unless `log_only`, also return to the world of the beginning."""
        self._ask("POST", "reset", {"log_only": log_only})

    # What a human does at Cal.com

    def busy(self, host: str, start: Moment, end: Moment) -> str:
        """Put an appointment into the host's outside calendar and return its uid."""
        return str(self._ask("POST", "busy", {"host": host, "start": _text(start), "end": _text(end)})["uid"])

    def not_busy(self, uid: str) -> None:
        """Take an appointment out of an outside calendar."""
        self._ask("DELETE", "busy", {"uid": uid})

    def book_elsewhere(self, event_type: int | str, start: Moment, **details: Any) -> Json:
        """
        Book at Cal.com, free or not, and return the booking.

        Details: `host`, `minutes`, `name`, `email`, `phone`, `time_zone`, `metadata`, `location`, `description`,
        `status`, and `webhook=False` to do it unannounced.
        """
        return self._ask("POST", "bookings", {"event_type": event_type, "start": _text(start), **details})

    def move_elsewhere(self, uid: str, start: Moment, *, webhook: bool = True) -> Json:
        """Move a booking at Cal.com and return the new one."""
        return self._ask("POST", "bookings/move", {"uid": uid, "start": _text(start), "webhook": webhook})

    def cancel_elsewhere(self, uid: str, *, reason: str = "", webhook: bool = True) -> Json:
        """Cancel a booking at Cal.com."""
        return self._ask("POST", "bookings/cancel", {"uid": uid, "reason": reason, "webhook": webhook})

    def decide_elsewhere(self, uid: str, *, confirm: bool, webhook: bool = True) -> Json:
        """Confirm or decline a booking that waits for its host, as the host does at Cal.com."""
        return self._ask("POST", "bookings/decide", {"uid": uid, "confirm": confirm, "webhook": webhook})

    def change_event_type(self, event_type: int | str, **fields: Any) -> None:
        """Change an event type at Cal.com, by the names of `world.EventType`: `hosts`, `minutes`, `limits` …"""
        self._ask("POST", "event-types", {"event_type": event_type, "fields": fields})

    def delete_event_type(self, event_type: int | str) -> None:
        """Delete an event type at Cal.com; its bookings stay."""
        self._ask("DELETE", "event-types", {"event_type": event_type})

    def issue_key(self, owner: str, key: str) -> None:
        """Give a user one more API key."""
        self._ask("POST", "keys", {"owner": owner, "key": key})

    def expire_key(self, key: str) -> None:
        """Let an API key expire: reads are answered as before, writes are refused."""
        self._ask("POST", "keys/expire", {"key": key})

    def revoke_key(self, key: str) -> None:
        """Delete an API key: whatever is asked with it is refused."""
        self._ask("DELETE", "keys", {"key": key})

    # Webhooks

    def deliveries(self) -> list[Json]:
        """List the messages to subscribers, sent or held: `id`, `trigger`, `uid`, `url`, `outcome`, `body`."""
        remembered: list[Json] = self._ask("GET", "deliveries")["deliveries"]
        return remembered

    def deliver(self, delivery_id: int) -> Json:
        """Send a held message, or an old one again, byte for byte."""
        return self._ask("POST", "deliveries", {"id": delivery_id})

    def announce_meeting(self, uid: str, trigger: str) -> None:
        """Send MEETING_STARTED or MEETING_ENDED about a booking."""
        self._ask("POST", "meetings", {"uid": uid, "trigger": trigger})

    def world(self) -> World:
        """Return the world of the beginning."""
        return World.from_json(self._ask("GET", "world"))

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
