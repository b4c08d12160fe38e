"""`CalcomService`: the slots of an account's calendars, and all changes to them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

from django.utils import timezone

from cachectl import cache
from cachectl.cache import CacheResult, Day
from cachectl.infra.deadline import Deadline
from cachectl.models import CacheInvalidation
from calcom import invalidation, sync, sync_requests
from calcom.day_ranges import date_of, minute_from
from calcom.errors import Reason, Refused, Unavailable
from calcom.http.client import LARGEST_PAGE, Client
from calcom.models import Account, EventType, EventTypeHost, Host
from calcom.resilience import refusals
from calcom.slot_loader import unique_end
from calcom.types import NewBooking, Priority, RemoteBooking, RemoteHost, UnreadableBooking
from calcom.webhooks import subscription
from calcom.webhooks.subscription import Subscription
from monitoring import metrics

# Refusals of what the event type here allows: its length, fields, notice or booking window have changed.
_OF_THE_EVENT_TYPE = frozenset({Reason.INVALID, Reason.OUT_OF_BOUNDS})


@dataclass(frozen=True, slots=True)
class OpenSlots:
    """The open slots of a window, and how fresh they are."""

    starts: list[int]
    """Epoch minutes, ascending. Slots that we booked since the days were loaded may be among them."""
    days: Mapping[date, Day]
    """By UTC date."""
    known: CacheResult


class CalcomService:
    """Cal.com with the key of one account. All other apps use Cal.com through it."""

    def __init__(self, account: Account, *, tenant: int | None = None) -> None:
        """
        Use the account's calendars and credential.

        Args:
            account: the account.
            tenant: whose requests these are, if several share the credential; each has a reserved quota of its limit.
                None for work of no tenant, such as polling.
        """
        self._account = account
        self._tenant = tenant
        self._client = Client(account, tenant=tenant)

    @property
    def account_id(self) -> int:
        return self._account.pk

    def open_slots(
        self,
        *,
        event_type: EventType,
        first: datetime,
        last: datetime,
        deadline: Deadline,
        max_age: float | None = None,
        revalidate: bool = False,
    ) -> OpenSlots:
        """
        Return the slots that start from `first` on and before `last`, from the cache if it has them.

        At the deadline the result is what the cache has, marked as such. `max_age` is how old it may be, in seconds;
        with `revalidate` it includes our latest bookings.
        """
        begin, end = minute_from(first), minute_from(last)
        if begin >= end:
            raise ValueError("The window must end after it begins.")
        known = cache.read(
            account_id=self._account.id,
            event_type_id=event_type.id,
            first=date_of(begin),
            last=date_of(end - 1),
            deadline=deadline,
            max_age=max_age,
            revalidate=revalidate,
            tenant=self._tenant,
        )
        return _of_window(known, begin, end)

    def peek_slots(self, *, event_type: EventType, first: datetime, last: datetime) -> OpenSlots:
        """Return what the cache knows of the same slots at this moment. Nothing is loaded or counted as demand."""
        begin, end = minute_from(first), minute_from(last)
        known = cache.peek(
            account_id=self._account.id, event_type_id=event_type.id, first=date_of(begin), last=date_of(end - 1)
        )
        return _of_window(known, begin, end)

    def list_slots(self, *, event_type: EventType, first: datetime, last: datetime) -> list[int]:
        """
        Return the slots that Cal.com lists now, as epoch minutes, past the cache. Nothing is stored.

        One request of the lowest priority.

        Raises:
            Unavailable: it was not sent or not answered; `Throttled` if the budget has no room for it.
            Refused: Cal.com refused.
        """
        with _syncing_if_contradicted(event_type):
            found = self._client.open_slots(
                event_type=event_type, start=first, end=unique_end(last), priority=Priority.BACKGROUND
            )
        return [start for start in found if minute_from(first) <= start < minute_from(last)]

    def sync_event_type(self, event_type: EventType) -> None:
        """
        Update our rows of the event type from Cal.com, with the lowest priority.

        Raises:
            CalcomError: the request failed; nothing changed here.
        """
        sync.sync_event_type(account=self._account, calcom_id=event_type.calcom_id, now=timezone.now())

    def open_slots_for_reschedule(
        self, *, event_type: EventType, uid: str, first: datetime, last: datetime
    ) -> list[int]:
        """
        Return the slots to which the booking `uid` can be rescheduled, as epoch minutes; its own time counts as free.

        Always asks Cal.com, without a deadline.
        """
        with _syncing_if_contradicted(event_type):
            found = self._client.open_slots(
                event_type=event_type, start=first, end=unique_end(last), priority=Priority.LIVE, rescheduled_uid=uid
            )
        return [start for start in found if minute_from(first) <= start < minute_from(last)]

    def create_booking(self, *, event_type: EventType, booking: NewBooking) -> RemoteBooking:
        """
        Book. Takes seconds: call it with no transaction open.

        The result may be another booking than the requested one: compare its `appointment_id` and `start`.

        Raises:
            Unavailable: nothing was booked.
            Refused: nothing was booked, and will not be.
            OutcomeUnknown: look it up with `find_booking` before sending it again.
        """
        with _syncing_if_contradicted(event_type):
            return self._client.create_booking(event_type=event_type, booking=booking)

    def reschedule(self, *, uid: str, start: datetime, reason: str) -> RemoteBooking:
        """Reschedule a booking; return the one that replaces it, with a new uid. Raises like `create_booking`."""
        return self._client.reschedule(uid=uid, start=start, reason=reason)

    def cancel(self, *, uid: str, reason: str) -> RemoteBooking:
        """Cancel a booking. Raises like `create_booking`."""
        return self._client.cancel(uid=uid, reason=reason)

    def mark_absent(self, *, uid: str, attendee_email: str, absent: bool) -> RemoteBooking:
        """Mark whether an attendee came; may be sent again. Raises like `create_booking`."""
        return self._client.mark_absent(uid=uid, attendee_email=attendee_email, absent=absent)

    def get_booking(self, *, uid: str, priority: Priority = Priority.WRITE) -> RemoteBooking:
        """
        Return a booking as it is now, with the priority of its purpose.

        Raises:
            Unavailable: repeat.
            Refused: with NOT_FOUND there is none.
        """
        return self._client.get_booking(uid=uid, priority=priority)

    def find_booking(
        self, *, attendee_email: str, start: datetime, end: datetime, appointment_id: str
    ) -> RemoteBooking | None:
        """
        Return the booking that carries our id; None if there is none yet.

        Of several it is an original rather than a rescheduled one, and one that takes time. A request may still be in
        flight: None proves nothing until 30 s after it was sent.

        Raises:
            Unavailable: repeat; also raised if an unreadable booking may be ours.
        """
        found = self._client.find_bookings(attendee_email=attendee_email, start=start, end=end)
        ours = [booking for booking in found if booking is not None and booking.appointment_id == appointment_id]
        if not ours and None in found:
            raise Unavailable("A booking cannot be read that may be ours.")
        return max(ours, key=lambda booking: (not booking.rescheduled_from_uid, booking.state.takes_time), default=None)

    def changed_bookings(self, *, since: datetime) -> Iterator[list[RemoteBooking | UnreadableBooking]]:
        """
        Yield pages of the account's bookings that changed from `since` on, the longest ago first.

        Within a page those that were rescheduled come last.

        Raises:
            Unavailable: continue later from the newest change that was read.
        """
        skip = 0
        while True:
            page = self._client.changed_bookings(since=since, skip=skip)
            yield _rescheduled_last(page)
            newest = max((each.updated_at for each in page if each.updated_at), default=since)
            if len(page) < LARGEST_PAGE:
                return
            # A booking that changes meanwhile shifts all others, so continue by time and not by number.
            skip, since = (0, newest) if newest > since else (skip + len(page), since)

    def bookings_between(self, *, start: datetime, end: datetime) -> Iterator[list[RemoteBooking | UnreadableBooking]]:
        """Yield pages of the account's bookings from `start` to `end`, in the same way."""
        skip = 0
        while page := self._client.bookings_between(start=start, end=end, skip=skip):
            yield _rescheduled_last(page)
            skip += len(page)

    def owner(self) -> RemoteHost:
        """
        Return the user whose key it is, also where Cal.com refused the key a moment ago.

        Raises:
            CalcomError: it is unknown.
        """
        return self._client.me()

    def subscribe_webhooks(self, *, public_url: str, renew: bool = False) -> Subscription:
        """
        Have Cal.com send the account's webhooks to Slotline at `public_url`; see `calcom.webhooks.subscription`.

        Raises:
            CalcomError: repeat it; nothing is subscribed twice.
        """
        return subscription.subscribe(self._account, public_url=public_url, renew=renew)

    def webhook_flaw(self) -> str:
        """
        Return what is wrong with the account's webhook at Cal.com, in a sentence; empty if nothing is.

        Raises:
            CalcomError: its webhooks could not be listed.
        """
        return subscription.flaw(self._account)

    def refuse_unwritable(self) -> None:
        """
        Raise what Cal.com would refuse a write with. Sends nothing.

        Raises:
            KeyRefused: it refused the account's API key recently.
        """
        refusals.refuse(self._account, refusals.Kind.WRITES)

    def request_sync(self, event_type: EventType) -> None:
        """Have the event type synced, because something newer contradicts it; see `sync_requests`."""
        sync_requests.request_sync(event_type)

    def host_ids(self, calcom_ids: Collection[int]) -> list[int]:
        """Return our ids of hosts. A host that no sync has seen yet is created, named by its number."""
        known = dict(self._account.hosts.filter(calcom_id__in=calcom_ids).values_list("calcom_id", "pk"))
        for calcom_id in set(calcom_ids) - set(known):
            host, _ = Host.objects.get_or_create(
                account=self._account, calcom_id=calcom_id, defaults={"name": f"host {calcom_id}"}
            )
            known[calcom_id] = host.pk
        return sorted(known.values())

    def hosts_of(self, booking: RemoteBooking) -> list[int]:
        """
        Return our ids of all hosts whose time a booking takes; empty if it names none.

        Note [Hosts beside the organizer]: a booking names its organizer as host, and the others of a collective type,
        or beside a fixed host, among the attendees, without an id (seen 2026-11-30). They are recognised by address, or
        by name among the hosts of the event type; fixed hosts always attend. If none of those in turns is recognised,
        it may be any of them, so the time of all is taken.
        """
        named = set(self.host_ids(booking.host_ids))
        if not named:
            return []
        self._learn_addresses(booking)
        named.update(self._account.hosts.named_by(booking).values_list("pk", flat=True))
        links = EventTypeHost.objects.filter(
            event_type__account=self._account, event_type__calcom_id=booking.event_type_id or 0
        ).select_related("host")
        fixed = {link.host_id for link in links if link.fixed}
        in_turns = {link.host_id: link.host.name for link in links if link.host_id not in fixed}
        if fixed:
            names = {person.name for person in booking.people if person.id is None}
            named |= fixed | {host_id for host_id, name in in_turns.items() if name in names}
            if not named & set(in_turns):
                named |= set(in_turns)
        return sorted(named)

    def _learn_addresses(self, booking: RemoteBooking) -> None:
        """Store the addresses of hosts, which other bookings name as attendees."""
        addresses = {person.id: person.email for person in booking.people if person.id is not None and person.email}
        for host in self._account.hosts.filter(calcom_id__in=addresses):
            if host.email != addresses[host.calcom_id]:
                Host.objects.filter(pk=host.pk).update(email=addresses[host.calcom_id])

    def record_invalidations(
        self,
        *,
        event_type: EventType,
        start: datetime,
        end: datetime,
        host_ids: Collection[int],
        cause: CacheInvalidation.Cause,
        freed: bool = False,
    ) -> list[CacheInvalidation]:
        """
        Record which days to invalidate because time of the hosts (our ids) was taken or freed.

        Call it inside the transaction of the change, and `availability_changed` after its commit. `event_type` is what
        was booked or freed.
        """
        return invalidation.invalidate_change(
            account=self._account,
            event_type=event_type,
            start=start,
            end=end,
            host_ids=host_ids,
            cause=cause,
            freed=freed,
        )

    def availability_changed(self, invalidations: Sequence[CacheInvalidation]) -> None:
        """
        Invalidate the days now, and again by a task; call it after the commit.

        Never fails: without Redis or broker the rows stay pending.
        """
        invalidation.availability_changed(invalidations)
        if invalidations:
            metrics.CHANGE_DAYS_INVALIDATED.observe(sum(each.days for each in invalidations))


def _of_window(known: CacheResult, begin: int, end: int) -> OpenSlots:
    """Return those of the known slots that start from `begin` on and before `end`, in epoch minutes."""
    starts = [start for day in sorted(known.days) for start in known.days[day].starts if begin <= start < end]
    return OpenSlots(starts, known.days, known)


@contextmanager
def _syncing_if_contradicted(event_type: EventType) -> Iterator[None]:
    """Sync or deactivate the event type if Cal.com's refusal contradicts it."""
    try:
        yield
    except Refused as exc:
        if exc.event_type_is_missing:
            sync.deactivate(event_type)
        elif exc.reason in _OF_THE_EVENT_TYPE or _is_unknown_limit(event_type, exc.reason):
            sync_requests.request_sync(event_type)
        raise


def _is_unknown_limit(event_type: EventType, reason: Reason) -> bool:
    """Return whether a refusal names a limit that no sync has read."""
    if reason is Reason.LIMIT_REACHED:
        return not event_type.booking_limits
    return reason is Reason.BOOKER_LIMIT and not event_type.limits_each_booker


def _rescheduled_last(page: Sequence[RemoteBooking | UnreadableBooking]) -> list[RemoteBooking | UnreadableBooking]:
    return sorted(
        page, key=lambda booking: isinstance(booking, UnreadableBooking) or booking.rescheduled_to_uid is not None
    )
