"""The one door to Cal.com: what an account's calendars offer, and every change to them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

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
from calcom.types import NewBooking, Priority, RemoteBooking, UnreadableBooking
from monitoring import metrics

# Refusals of what the mirror allows: another length or field, another notice or booking window.
_OF_THE_EVENT_TYPE = frozenset({Reason.INVALID, Reason.OUT_OF_BOUNDS})


@dataclass(frozen=True, slots=True)
class OpenSlots:
    """What is open in a window, and how well we know it."""

    starts: list[int]
    """Epoch minutes, ascending. What we booked since the days were loaded may still be among them."""
    days: Mapping[date, Day]
    """By UTC date."""
    known: CacheResult


class CalcomService:
    """Cal.com as one account sees it. The rest of the house talks to nothing else."""

    def __init__(self, account: Account, *, tenant: int | None = None) -> None:
        """
        Open the door to an account.

        Args:
            account: whose calendars, and which credential.
            tenant: for whom, where several share the credential: each keeps a part of its budget, however much the
                others ask. None is nobody's work, such as polling; it leaves everybody theirs.
        """
        self._account = account
        self._tenant = tenant
        self._client = Client(account, tenant=tenant)

    @property
    def account_id(self) -> int:
        """Return whose Cal.com it is."""
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
        Return the slots that start from `first` on and before `last`, out of the cache where it knows.

        Nobody waits beyond the deadline: then the answer is what is known, marked as such. `max_age` says how old the
        knowledge may be, in seconds; with `newer` it shall include what we booked up to a moment ago.
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
        starts = [start for day in sorted(known.days) for start in known.days[day].starts if begin <= start < end]
        return OpenSlots(starts, known.days, known)

    def open_slots_for_reschedule(
        self, *, event_type: EventType, uid: str, first: datetime, last: datetime
    ) -> list[int]:
        """
        Return the slots to which the booking `uid` could move, as epoch minutes; its own time counts as free.

        Always asks Cal.com, and takes as long as that takes.
        """
        with _syncing_if_contradicted(event_type):
            found = self._client.open_slots(
                event_type=event_type, start=first, end=unique_end(last), priority=Priority.LIVE, rescheduled_uid=uid
            )
        return [start for start in found if minute_from(first) <= start < minute_from(last)]

    def create_booking(self, *, event_type: EventType, booking: NewBooking) -> RemoteBooking:
        """
        Book. Takes seconds: call it with no transaction open.

        The answer may be another booking than the one asked for: compare its `appointment_id` and `start`.

        Raises:
            Unavailable: nothing was booked.
            Refused: nothing was booked, and will not be.
            OutcomeUnknown: look it up with `find_booking` before sending it again.
        """
        with _syncing_if_contradicted(event_type):
            return self._client.create_booking(event_type=event_type, booking=booking)

    def reschedule(self, *, uid: str, start: datetime, reason: str) -> RemoteBooking:
        """Move a booking, and return the one that replaces it, under a new uid. Raises like `create_booking`."""
        return self._client.reschedule(uid=uid, start=start, reason=reason)

    def cancel(self, *, uid: str, reason: str) -> RemoteBooking:
        """Cancel a booking. Raises like `create_booking`."""
        return self._client.cancel(uid=uid, reason=reason)

    def get_booking(self, *, uid: str, priority: Priority = Priority.WRITE) -> RemoteBooking:
        """
        Return a booking as it is now; `priority` is that of what it is looked up for.

        Raises:
            Unavailable: ask again.
            Refused: with NOT_FOUND there is none.
        """
        return self._client.get_booking(uid=uid, priority=priority)

    def find_booking(
        self, *, attendee_email: str, start: datetime, end: datetime, appointment_id: str
    ) -> RemoteBooking | None:
        """
        Return the booking that carries our id; None if there is none yet.

        Of several it is one that was made, not what it was moved to, and one that takes time. A request may still be on
        its way: None proves nothing until 30 s after it was sent.

        Raises:
            Unavailable: ask again; also where one that cannot be read may be it.
        """
        found = self._client.find_bookings(attendee_email=attendee_email, start=start, end=end)
        ours = [booking for booking in found if booking is not None and booking.appointment_id == appointment_id]
        if not ours and None in found:
            raise Unavailable("A booking cannot be read that may be ours.")
        return max(ours, key=lambda booking: (not booking.rescheduled_from_uid, booking.state.takes_time), default=None)

    def changed_bookings(self, *, since: datetime) -> Iterator[list[RemoteBooking | UnreadableBooking]]:
        """
        Yield pages of the account's bookings that changed from `since` on, the longest ago first.

        Within a page those that were moved away come last.

        Raises:
            Unavailable: go on later from the newest change that was read.
        """
        skip = 0
        while True:
            page = self._client.changed_bookings(since=since, skip=skip)
            yield _rescheduled_last(page)
            newest = max((each.updated_at for each in page if each.updated_at), default=since)
            if len(page) < LARGEST_PAGE:
                return
            # What changes meanwhile leaves its place and moves all others up: so go on by time, not by number.
            skip, since = (0, newest) if newest > since else (skip + len(page), since)

    def bookings_between(self, *, start: datetime, end: datetime) -> Iterator[list[RemoteBooking | UnreadableBooking]]:
        """Yield pages of the account's bookings from `start` to `end`, in the same way."""
        skip = 0
        while page := self._client.bookings_between(start=start, end=end, skip=skip):
            yield _rescheduled_last(page)
            skip += len(page)

    def refuse_unwritable(self) -> None:
        """
        Refuse what Cal.com would refuse if it was asked to book, reschedule or cancel. Sends nothing.

        Raises:
            KeyRefused: it refused the account's API key a moment ago.
        """
        refusals.refuse(self._account, refusals.Kind.WRITES)

    def request_sync(self, event_type: EventType) -> None:
        """Have the event type synced, because something newer says otherwise. Never fails, and is bounded."""
        sync_requests.request_sync(event_type)

    def host_ids(self, calcom_ids: Collection[int]) -> list[int]:
        """Return our ids of hosts. One whom no sync has seen yet is written down by number."""
        known = dict(self._account.hosts.filter(calcom_id__in=calcom_ids).values_list("calcom_id", "pk"))
        for calcom_id in set(calcom_ids) - set(known):
            host, _ = Host.objects.get_or_create(
                account=self._account, calcom_id=calcom_id, defaults={"name": f"host {calcom_id}"}
            )
            known[calcom_id] = host.pk
        return sorted(known.values())

    def hosts_of(self, booking: RemoteBooking) -> list[int]:
        """
        Return our ids of all hosts whose time a booking takes; empty where it names none.

        Note [Hosts beside the organizer]: a booking names its organizer as host, and the others of a collective type,
        or beside a fixed host, among the attendees, without an id (seen 2026-11-30). They are recognised by their
        address, or by their name among the hosts of the event type; those who attend each booking need not be. Where
        nobody of those who take turns is recognised, it may be any of them, so the time of all is taken.
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
        """Remember by which address a host is known, who is named by id here and as an attendee elsewhere."""
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
        Write down which days must be forgotten because time of the hosts was taken or freed.

        Call it inside the transaction that confirms the change, and `availability_changed` after its commit.

        `event_type` is what was booked or freed, `host_ids` are our ids of the hosts whose time that is.
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
        Forget the days now, and once more by a task; call it after the commit.

        Neither Redis nor the broker can make it fail: the rows stay owed.
        """
        invalidation.availability_changed(invalidations)
        if invalidations:
            metrics.CHANGE_DAYS_INVALIDATED.observe(sum(each.days for each in invalidations))


@contextmanager
def _syncing_if_contradicted(event_type: EventType) -> Iterator[None]:
    """Have the event type synced, or taken off offer, where Cal.com's refusal says that it is not what we think."""
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
