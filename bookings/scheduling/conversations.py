"""Phone calls: begin and end, the caller's appointments, prefetching, and the timeline of tool calls."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta

import orjson
from django.conf import settings
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from bookings.errors import ConversationEnded
from bookings.models import (
    PLACED_STATES,
    AgentKey,
    Appointment,
    AppointmentState,
    Branch,
    Company,
    Conversation,
    Service,
    ToolCall,
)
from bookings.scheduling import claims, holds
from bookings.scheduling.customers import known
from cachectl import cache, conf
from cachectl.infra import executors
from calcom.day_ranges import date_of, minute_from

# How often it is written down that a call goes on: each time costs a statement.
SEEN_EVERY = timedelta(minutes=1)
MOST_ENDED_AT_ONCE = 500
ENDS_TOLD_WITHIN = timedelta(days=7)
DAYS_BY_NAME = 14
MOST_APPOINTMENTS = 5
# Event types of an account that one call has loaded beforehand. Each costs a request where nothing is known of it.
MOST_PREPARED = 8


# --- how it begins -----------------------------------------------------------------------------------------------


def begin(
    *,
    company: Company,
    branch: Branch | None,
    agent_key: AgentKey,
    platform: str,
    call_id: str,
    caller_phone: str | None,
    language: str,
) -> tuple[Conversation, bool]:
    """
    Return the conversation of this call, and whether it is new. Platform and call id name a call.

    `caller_phone` (E.164) comes from the telephone network, never from what a model wrote. It is set once: a
    call keeps its caller.

    Raises:
        ConversationEnded: that call is over.
    """
    conversation, is_new = Conversation.objects.get_or_create(  # type: ignore[misc]  # defaults may be callables
        company=company,
        platform=platform,
        call_id=call_id,
        defaults={
            "branch": branch,
            "agent_key": agent_key,
            "language": language,
            "caller_phone": caller_phone,
            "customer": lambda: known(company, caller_phone, None),
        },
    )
    if has_ended(conversation):
        raise ConversationEnded("The call with this call_id is over.")
    if caller_phone and conversation.caller_phone is None:
        nameless = Conversation.objects.filter(pk=conversation.pk, caller_phone__isnull=True)
        nameless.update(caller_phone=caller_phone, customer=known(company, caller_phone, None))
        conversation.refresh_from_db(fields=["caller_phone", "customer"])
    return conversation, is_new


def upcoming(conversation: Conversation, *, branch: Branch | None, now: datetime) -> list[Appointment]:
    """Return the next appointments of the caller, as far as it is certain who that is; of one branch, or of all."""
    if conversation.caller_phone is None or conversation.customer_id is None:
        return []
    booked = Appointment.objects.filter(
        customer=conversation.customer_id,
        attendee_phone=conversation.caller_phone,
        start__gte=now,
        state__in=[AppointmentState.PENDING, *PLACED_STATES],
    )
    if branch is not None:
        booked = booked.filter(branch=branch)
    return list(booked.select_related("branch", "service").order_by("start")[:MOST_APPOINTMENTS])


def prepare(services: Collection[Service], *, now: datetime) -> None:
    """Have the next days of the services loaded by a worker, while the caller is still saying hello."""
    first = date_of(minute_from(now))
    last = first + timedelta(days=conf.prefetch_days() - 1)
    bookable = [service.event_type for service in services if not service.unsupported_reason()]
    for account_id in {event_type.account_id for event_type in bookable}:
        its = dict.fromkeys(event_type.pk for event_type in bookable if event_type.account_id == account_id)
        executors.submit_background(
            cache.prefetch,
            account_id=account_id,
            event_type_ids=list(its)[:MOST_PREPARED],
            first=first,
            last=last,
        )


def next_days(branch: Branch, *, today: date) -> list[tuple[date, bool]]:
    """Return today and the days that follow, and whether the branch is open on them at all."""
    hours = branch.hours()
    days = [today + timedelta(days=ahead) for ahead in range(DAYS_BY_NAME)]
    return [(day, hours.is_open_on(day)) for day in days]


# --- how it ends -------------------------------------------------------------------------------------------------


def end(conversation: Conversation) -> bool:
    """End the call and give back what it holds. Returns False where it had ended before."""
    going_on = Conversation.objects.filter(pk=conversation.pk, ended_at__isnull=True)
    has_ended_now = going_on.update(ended_at=Now()) == 1
    claims.end_holds(Appointment.objects.held().filter(conversation=conversation))
    conversation.refresh_from_db(fields=["ended_at"])
    return has_ended_now


def end_silent() -> int:
    """End the calls in which nothing was asked for `BOOKINGS_CONVERSATION_SILENCE`; return how many."""
    silent = Conversation.objects.filter(ended_at__isnull=True, last_seen_at__lt=Now() - _longest_silence())
    return sum(end(conversation) for conversation in silent.order_by("last_seen_at")[:MOST_ENDED_AT_ONCE])


def has_ended(conversation: Conversation) -> bool:
    """Return whether the call is over. One that was silent for too long ends here, whatever became of the sweep."""
    if conversation.ended_at is None and conversation.last_seen_at < timezone.now() - _longest_silence():
        end(conversation)
    return conversation.ended_at is not None


def note_seen(conversation: Conversation) -> None:
    """Write down that the call goes on, where that was not done for a minute; what it holds is held on."""
    if conversation.ended_at is None and conversation.last_seen_at < timezone.now() - SEEN_EVERY:
        Conversation.objects.filter(pk=conversation.pk).update(last_seen_at=Now())
        holds.renew(Appointment.objects.filter(conversation=conversation))


def keep_language(conversation: Conversation, language: str | None) -> None:
    """Go on in the language that a request of the call asked for, until another one asks for another."""
    if language and language != conversation.language and conversation.ended_at is None:
        Conversation.objects.filter(pk=conversation.pk).update(language=language)


def keep_holds() -> int:
    """
    Hold on what calls hold that are going on, while nothing is asked in them either; return how many holds.

    Only where the platform has lately told the company of a call's end: others may be over.
    """
    told = Conversation.objects.filter(
        company=OuterRef("company"),
        platform=OuterRef("conversation__platform"),
        started_at__gt=Now() - ENDS_TOLD_WITHIN,
    ).exclude(outcome="")
    going_on = Appointment.objects.filter(
        conversation__ended_at__isnull=True,
        conversation__last_seen_at__gt=Now() - _longest_silence(),
        expires_at__lt=Now() + holds.LIFETIME / 2,
    )
    return holds.renew(going_on.filter(Exists(told)))


def _longest_silence() -> timedelta:
    """Return how old `last_seen_at` is when a call has surely been silent for too long."""
    return timedelta(seconds=settings.BOOKINGS_CONVERSATION_SILENCE) + SEEN_EVERY


# --- its timeline ------------------------------------------------------------------------------------------------

# What the timeline shows. Names, numbers, addresses, notes and tokens are left out: staff finds them where they belong.
_REQUEST = ("service", "staff", "start", "when", "max_offers", "hold", "date", "platform", "language")
_RESPONSE = ("status", "code", "reason", "spoken", "read_back", "replayed", "operation_id")
_STARTS = ("offers", "alternatives")
LONGEST_ENTRY = 2_000  # bytes of JSON
# PostgreSQL keeps no such character.
_ZERO = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def record(
    conversation: Conversation,
    *,
    endpoint: str,
    request: object,
    response: object,
    status: int,
    cache_status: str,
    duration: timedelta,
) -> None:
    """Add a line to the timeline, with one INSERT; `request` and `response` are None where there was no JSON."""
    ToolCall.objects.create(
        company_id=conversation.company_id,
        conversation=conversation,
        endpoint=endpoint[:60],
        request=_kept(request, _REQUEST),
        response=_kept(response, _RESPONSE) | _starts(response),
        status=status,
        cache_status=cache_status[:80],
        duration=duration,
    )


def _kept(said: object, names: Sequence[str]) -> dict[str, object]:
    if not isinstance(said, Mapping):
        return {}
    kept = {name: said[name] for name in names if said.get(name) not in (None, "")}
    written = _ZERO.sub(rb"\1", orjson.dumps(kept, default=str))
    return dict(orjson.loads(written)) if len(written) <= LONGEST_ENTRY else {"left_out": "too long"}


def _starts(response: object) -> dict[str, list[object]]:
    """Return the times that were named, by the member that named them."""
    if not isinstance(response, Mapping):
        return {}
    named: dict[str, list[object]] = {
        name: [each["start"] for each in response[name]] for name in _STARTS if response.get(name)
    }
    return named | {"held": [response["hold"]["start"]]} if response.get("hold") else named
