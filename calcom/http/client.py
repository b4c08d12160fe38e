"""The client of Cal.com: one method per operation, with typed results. All requests pass `Client._exchange`."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
import structlog
from django.conf import settings

from cachectl.infra.circuit_breaker import CircuitOpen
from cachectl.infra.deadline import Deadline
from calcom.errors import CalcomError, KeyRefused, Refused, Unavailable, unanswered
from calcom.http import parsing, transport, url_policy
from calcom.models import Account, EventType, KeyRefusal
from calcom.resilience import refusals
from calcom.resilience.admission import admit
from calcom.resilience.circuit_breaker import Kind, breaker_for
from calcom.resilience.rate_limiter import limiter_for
from calcom.types import (
    NewBooking,
    Priority,
    RemoteBooking,
    RemoteEventType,
    RemoteHost,
    RemoteWebhook,
    UnreadableBooking,
)
from monitoring import metrics, tracing

log = structlog.get_logger(__name__)
T = TypeVar("T")

LARGEST_PAGE = 250
# Seconds that a request waits for its permit; background work returns to its queue instead.
_PERMIT_WAIT_S = {Priority.WRITE: 3.5, Priority.LIVE: 2.0, Priority.REFRESH: 0.0, Priority.BACKGROUND: 0.0}
# The values of Cal.com's `language` (its OpenAPI document, 2026-08).
_LANGUAGES = """
    ar az bg bn ca cs da de el en es es-419 et eu fi fr he hr hu id it iw ja km ko lv nl no pl pt pt-BR ro ru sk sr sv
    ta th tr uk vi zh-CN zh-TW
"""
LANGUAGES = frozenset(_LANGUAGES.split())


@dataclass(frozen=True)
class Call:
    """A request to Cal.com. Its repr has only what may be logged."""

    operation: str
    priority: Priority
    path: str = field(repr=False)
    family: str | None = None
    """Selects the `cal-api-version`."""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, object] | None = field(default=None, repr=False)
    is_poll: bool = False
    """One a minute of each account is always permitted."""
    method: str = ""
    """Where it is neither GET nor POST."""
    needs_key: bool = True
    """Whether Cal.com demands a valid key for it, so that a success proves the key."""
    checks_key: bool = False
    """Whether it is sent after a recent refusal of the key, to check it."""

    @property
    def write(self) -> bool:
        """Whether it is a write: these have a body."""
        return self.body is not None

    @property
    def verb(self) -> str:
        """Its HTTP method."""
        return self.method or ("POST" if self.write else "GET")

    @property
    def kind(self) -> KeyRefusal.Kind:
        """The kind of refusals of the key that apply to it."""
        return KeyRefusal.Kind.WRITES if self.write else KeyRefusal.Kind.READS


class Client:
    """Cal.com with one account's key. Each method is one request, unless it says otherwise."""

    def __init__(self, account: Account, *, tenant: int | None = None) -> None:
        """Send requests of `tenant`: each tenant of a key has a reserved quota."""
        self._account = account
        self._tenant = None if tenant is None else str(tenant)

    def open_slots(
        self,
        *,
        event_type: EventType,
        start: datetime,
        end: datetime,
        priority: Priority,
        rescheduled_uid: str | None = None,
    ) -> list[int]:
        """
        Return the open slots that start from `start` to `end`, and a few later ones, as epoch minutes, ascending.

        The time of the booking `rescheduled_uid` counts as free.
        """
        # Cal.com may omit slots that end after the window (its source; the recordings allow both).
        ends_by = end + timedelta(minutes=event_type.length_minutes)
        params = {"eventTypeId": str(event_type.calcom_id), "start": _text(start), "end": _text(ends_by)}
        if event_type.has_several_lengths:
            params["duration"] = str(event_type.length_minutes)
        if rescheduled_uid:
            params["bookingUidToReschedule"] = rescheduled_uid
        call = Call("open_slots", priority, "/v2/slots", "slots", params, needs_key=False)
        return self._exchange(call, parsing.slots)

    def create_booking(self, *, event_type: EventType, booking: NewBooking) -> RemoteBooking:
        body = _booking_body(event_type, booking)
        return self._exchange(
            Call("create_booking", Priority.WRITE, "/v2/bookings", "bookings", body=body), parsing.booking
        )

    def reschedule(self, *, uid: str, start: datetime, reason: str) -> RemoteBooking:
        """Reschedule a booking; the result has a new uid."""
        body = {"start": _text(start), "reschedulingReason": reason}
        return self._on_booking("reschedule", uid, body)

    def cancel(self, *, uid: str, reason: str) -> RemoteBooking:
        """Cancel a booking. Without a reason Cal.com refuses (recorded 2026-11-21)."""
        return self._on_booking("cancel", uid, {"cancellationReason": reason})

    def mark_absent(self, *, uid: str, attendee_email: str, absent: bool) -> RemoteBooking:
        """Mark whether an attendee came. Cal.com refuses it before the start (recorded 2026-11-21)."""
        return self._on_booking("mark-absent", uid, {"attendees": [{"email": attendee_email, "absent": absent}]})

    def get_booking(self, *, uid: str, priority: Priority = Priority.WRITE) -> RemoteBooking:
        call = Call("get_booking", priority, f"/v2/bookings/{_quoted(uid)}", "bookings", needs_key=False)
        return self._exchange(call, parsing.booking)

    def find_bookings(self, *, attendee_email: str, start: datetime, end: datetime) -> list[RemoteBooking | None]:
        """
        Return all bookings of this attendee from `start` to `end`, cancelled ones too. One request a page.

        Not filtered by event type, because a booking loses a deleted one. None stands for an unreadable booking.
        """
        params = {
            "attendeeEmail": attendee_email.lower(),
            "afterStart": _text(start),
            "beforeEnd": _text(end),
            "take": str(LARGEST_PAGE),
        }
        found: list[RemoteBooking | None] = []
        while True:
            paged = {**params, "skip": str(len(found))}
            page = self._exchange(
                Call("find_bookings", Priority.WRITE, "/v2/bookings", "bookings", paged), parsing.readable_bookings
            )
            found += page
            if len(page) < LARGEST_PAGE:
                return found

    def changed_bookings(self, *, since: datetime, skip: int = 0) -> list[RemoteBooking | UnreadableBooking]:
        """Return a page of the account's bookings that changed from `since` on, the longest ago first."""
        return self._listed({"afterUpdatedAt": _text(since), "sortUpdatedAt": "asc"}, skip, is_poll=True)

    def bookings_between(
        self, *, start: datetime, end: datetime, skip: int = 0
    ) -> list[RemoteBooking | UnreadableBooking]:
        """Return a page of the account's bookings from `start` to `end`, cancelled ones too."""
        return self._listed({"afterStart": _text(start), "beforeEnd": _text(end), "sortStart": "asc"}, skip)

    def _listed(
        self, which: Mapping[str, str], skip: int, *, is_poll: bool = False
    ) -> list[RemoteBooking | UnreadableBooking]:
        params = {**which, "take": str(LARGEST_PAGE), "skip": str(skip)}
        call = Call("list_bookings", Priority.BACKGROUND, "/v2/bookings", "bookings", params, is_poll=is_poll)
        return self._exchange(call, parsing.listed_bookings)

    def me(self) -> RemoteHost:
        """Return the owner of the key."""
        return self._exchange(Call("me", Priority.BACKGROUND, "/v2/me", checks_key=True), parsing.person)

    def event_types(self) -> list[RemoteEventType]:
        """Return the event types of the key's owner."""
        call = Call("event_types", Priority.BACKGROUND, "/v2/event-types", "event-types")
        return self._exchange(call, parsing.event_types)

    def event_type(self, *, calcom_id: int) -> RemoteEventType:
        """Return one event type, of the key's owner or of a team of theirs."""
        call = Call("event_type", Priority.BACKGROUND, f"/v2/event-types/{calcom_id}", "event-types")
        return self._exchange(call, parsing.event_type)

    def team_ids(self) -> list[int]:
        """Return the ids of the owner's teams."""
        return self._exchange(Call("teams", Priority.BACKGROUND, "/v2/teams"), parsing.team_ids)

    def team_event_types(self, *, team_id: int) -> list[RemoteEventType]:
        """Return the event types of a team."""
        call = Call("team_event_types", Priority.BACKGROUND, f"/v2/teams/{team_id}/event-types", "event-types")
        return self._exchange(call, parsing.event_types)

    def webhooks(self) -> list[RemoteWebhook]:
        """Return the webhooks of the key's owner."""
        return self._exchange(Call("webhooks", Priority.LIVE, "/v2/webhooks"), parsing.webhooks)

    def create_webhook(self, *, url: str, triggers: Iterable[str], secret: str) -> RemoteWebhook:
        """Subscribe `url` to the triggers; what is sent is signed with the secret."""
        body = {"subscriberUrl": url, "triggers": list(triggers), "active": True, "secret": secret}
        return self._exchange(Call("create_webhook", Priority.LIVE, "/v2/webhooks", body=body), parsing.webhook)

    def change_webhook(self, webhook_id: str, *, triggers: Iterable[str], secret: str) -> RemoteWebhook:
        """Have an existing webhook send the triggers, signed with the secret; it is active then."""
        body = {"triggers": list(triggers), "active": True, "secret": secret}
        path = f"/v2/webhooks/{_quoted(webhook_id)}"
        call = Call("change_webhook", Priority.LIVE, path, body=body, method="PATCH")
        return self._exchange(call, parsing.webhook)

    def _on_booking(self, verb: str, uid: str, body: Mapping[str, object]) -> RemoteBooking:
        call = Call(verb, Priority.WRITE, f"/v2/bookings/{_quoted(uid)}/{verb}", "bookings", body=body)
        return self._exchange(call, parsing.booking)

    def _exchange(self, call: Call, parse: Callable[[Any], T]) -> T:
        """
        Send a request and return the parsed response. All requests to Cal.com pass here.

        Raises:
            CalcomError: by what may have happened there.
        """
        with _logged(call) as line:
            check = refusals.standing if call.checks_key else refusals.refuse
            refusal = check(self._account, call.kind)
            result = self._asked(call, parse, line)
            if refusal and call.needs_key:
                refusals.clear(refusal.row)
            return result

    def _asked(self, call: Call, parse: Callable[[Any], T], line: dict[str, object]) -> T:
        """Send; again if the key was refused and the account has a new one by now."""
        while True:
            answer = self._sent(call)
            line.update(status=answer.status, upstream_request_id=answer.headers.get("X-Request-Id"))
            try:
                return parsing.read(answer, parse, write=call.write)
            except KeyRefused as exc:
                exc.retry_after = refusals.note(self._account, call.kind)
                if exc.retry_after is not None:
                    raise

    def _sent(self, call: Call) -> transport.Answer:
        if objection := url_policy.objection(self._account.base_url):
            raise Unavailable(objection)
        try:
            return self._answered(call)
        except CircuitOpen as exc:
            metrics.BREAKER_REFUSALS.labels(_breaker_kind(call)).inc()
            message = "The circuit breaker in front of Cal.com is open."
            raise Unavailable(message, retry_after=exc.retry_after, outcome="circuit_open") from None
        except transport.NotSent as exc:
            raise Unavailable(f"Cal.com cannot be reached ({exc}).") from exc
        except transport.NoAnswer as exc:
            raise unanswered(f"Cal.com gave no complete answer ({exc}).", write=call.write) from exc

    def _answered(self, call: Call) -> transport.Answer:
        """Send; a read whose pooled connection was closed is sent again, on a new one and with another permit."""
        deadline = Deadline.after(settings.CALCOM_WRITE_TIMEOUT if call.write else settings.CALCOM_READ_TIMEOUT)
        try:
            return self._admitted(call, deadline.left)
        except transport.ConnectionClosed:
            if call.write or deadline.passed:
                raise
            return self._admitted(call, deadline.left, reuse_connection=False)

    def _admitted(self, call: Call, timeout: float, *, reuse_connection: bool = True) -> transport.Answer:
        """Send if circuit breaker and rate limiter admit it; they record the response."""
        credential = self._account.api_key
        with admit(
            breaker_for(credential, self._account.pk, _breaker_kind(call)),
            limiter_for(credential, self._account.requests_per_minute),
            call.priority,
            tenant=self._tenant,
            longest_call_s=timeout,
            deadline_left_s=_PERMIT_WAIT_S[call.priority],
            poll_of=str(self._account.pk) if call.is_poll else "",
        ) as admission:
            with metrics.CALCOM_SECONDS.labels(call.operation).time():
                answer = transport.send(
                    method=call.verb,
                    url=self._account.base_url.rstrip("/") + call.path,
                    headers=self._headers(call),
                    params=call.params,
                    body=orjson.dumps(call.body) if call.write else None,
                    timeout=timeout,
                    reuse_connection=reuse_connection,
                )
            admission.answered(answer.headers, answer.status)
        return answer

    def _headers(self, call: Call) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._account.api_key}", "Accept": "application/json"}
        if call.family:
            headers["cal-api-version"] = settings.CALCOM_API_VERSIONS[call.family]
        if call.write:
            headers["Content-Type"] = "application/json"
        return headers


@contextmanager
def _logged(call: Call) -> Iterator[dict[str, object]]:
    """Count and log the request, whatever its outcome, without personal or secret data."""
    began = time.monotonic()
    line: dict[str, object] = {"operation": call.operation, "priority": call.priority.value, "outcome": "crashed"}
    try:
        with tracing.span("calcom.request", operation=call.operation, priority=call.priority.value):
            yield line
        line["outcome"] = "ok"
    except CalcomError as exc:
        line.update(outcome=exc.outcome, reason=exc.reason.value if isinstance(exc, Refused) else None)
        raise
    finally:
        metrics.CALCOM_REQUESTS.labels(call.operation, line["outcome"], call.priority).inc()
        log.info("calcom.request", **line, took_ms=round((time.monotonic() - began) * 1000, 1))


def _breaker_kind(call: Call) -> Kind:
    return Kind.WRITES if call.write else Kind.READS


def _booking_body(event_type: EventType, booking: NewBooking) -> dict[str, object]:
    attendee = {
        "name": booking.attendee_name,
        # Lower case here and in the look-up, which then finds it however Cal.com treats case.
        "email": booking.attendee_email.lower(),
        "timeZone": booking.time_zone,
        "language": _language(booking.language),
    }
    if booking.attendee_phone:
        attendee["phoneNumber"] = booking.attendee_phone
    body: dict[str, object] = {
        "eventTypeId": event_type.calcom_id,
        "start": _text(booking.start),
        "attendee": attendee,
        "metadata": {parsing.METADATA_KEY: booking.appointment_id},
    }
    if event_type.has_several_lengths:
        body["lengthInMinutes"] = event_type.length_minutes
    if booking.fields:
        body["bookingFieldsResponses"] = dict(booking.fields)
    return body


def _language(tag: str) -> str:
    """Return the nearest language that Cal.com has, or English."""
    return next((each for each in (tag, tag.partition("-")[0].lower()) if each in LANGUAGES), "en")


def _text(instant: datetime) -> str:
    """Return an instant in Cal.com's spelling."""
    if instant.tzinfo is None:
        raise ValueError("A naive time; Cal.com gets instants.")
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _quoted(uid: str) -> str:
    if not uid:
        raise ValueError("A booking without uid.")
    return quote(uid, safe="")
