"""An appointment that was made at Cal.com: whose it is, and who comes."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from django.db.models import Q

from bookings import caller_input
from bookings.errors import PhoneAmbiguous
from bookings.models import Appointment, AppointmentState, Branch, Customer, Service, Staff
from bookings.scheduling import customers
from calcom.day_ranges import MINUTE
from calcom.models import Account, EventType, EventTypeHost
from calcom.types import RemoteBooking
from calcom.webhooks.events import Ignored

# Cal.com's id that no event type has: it stands for those that were deleted there, whose bookings name none any more.
_DELETED = 0


@dataclass(frozen=True)
class Home:
    """The branch and service of an appointment that was made at Cal.com."""

    branch: Branch
    service: Service | None
    is_certain: bool
    """No other company uses the same calendar, in this account or in another: this one may know who comes."""


def event_type_of(account: Account, booking: RemoteBooking, host_ids: Collection[int]) -> tuple[EventType, bool]:
    """Return the event type at the booking's length, and whether a sync knew it; else it is written down by number."""
    calcom_id = booking.event_type_id
    title = "deleted event type" if calcom_id is None else f"event type {calcom_id}"
    row, is_new = EventType.objects.get_or_create(
        account=account,
        calcom_id=_DELETED if calcom_id is None else calcom_id,
        length_minutes=(booking.end - booking.start) // MINUTE,
        defaults={"title": title, "slug": "", "active": False},
    )
    if is_new:
        EventTypeHost.objects.bulk_create(EventTypeHost(event_type=row, host_id=host_id) for host_id in host_ids)
    return row, not is_new


def home_of(event_type: EventType, host_ids: Collection[int]) -> Home:
    """
    Return the branch that offers the event type, else one where its host works, else any that uses the account.

    Raises:
        Ignored: no company uses it.
    """
    used = Q(branch__company__account=event_type.account_id, branch__company__active=True)
    offered = Q(event_type=event_type) | Q(by_staff__event_type=event_type)
    services = list(
        Service.objects.filter(used, offered).select_related("branch__company").order_by("-active", "pk").distinct()
    )
    staff = Staff.objects.filter(used, host__in=host_ids).select_related("branch__company").order_by("-active", "pk")
    branches = [each.branch for each in (services or staff)] or list(
        Branch.objects.filter(company__account=event_type.account_id, company__active=True).select_related("company")
    )
    if not branches:
        raise Ignored("no company uses this account")
    is_certain = len({branch.company_id for branch in branches}) == 1 and not _is_offered_elsewhere(event_type)
    return Home(branches[0], services[0] if services else None, is_certain)


def _is_offered_elsewhere(event_type: EventType) -> bool:
    """Return whether a company of another account offers it: whose caller it is that comes, Cal.com does not say."""
    url = event_type.account.base_url.rstrip("/")
    there = EventType.objects.filter(
        calcom_id=event_type.calcom_id, account__base_url__in=[url, f"{url}/"], account__active=True
    ).exclude(account=event_type.account_id)
    offered = Q(event_type__in=there) | Q(by_staff__event_type__in=there)
    return Service.objects.filter(offered, active=True, branch__company__active=True).exists()


def appointment_of(booking: RemoteBooking, event_type: EventType, home: Home) -> Appointment:
    """
    Return a new appointment, not saved yet. One that is cancelled by now is one too: late messages must find it.

    A cancelled one gets no attendee: it does not carry our id, so another account may have made the booking.
    """
    appointment = Appointment(
        company=home.branch.company,
        branch=home.branch,
        service=home.service,
        event_type=event_type,
        state=AppointmentState.CONFIRMED if booking.state.takes_time else AppointmentState.CANCELLED,
        origin=Appointment.Origin.CALCOM,
        start=booking.start,
        end=booking.end,
        remote_uid=booking.uid,
        earlier_remote_uids=[booking.rescheduled_from_uid] if booking.rescheduled_from_uid else [],
    )
    if home.is_certain and booking.state.takes_time:
        appointment.attendee_name = caller_input.clean_name(booking.attendee_name)
        appointment.attendee_email = booking.attendee_email[:254]
        appointment.attendee_phone = _phone_number(booking.attendee_phone, home.branch)
        appointment.customer = _customer(appointment)
    return appointment


def _phone_number(text: object, branch: Branch) -> str | None:
    """Return the number as E.164, None where what was typed at Cal.com is none, or may be two."""
    with suppress(ValueError, PhoneAmbiguous):
        return caller_input.phone_number(text, branch.phone_region) if isinstance(text, str) else None
    return None


def _customer(appointment: Appointment) -> Customer | None:
    """
    Return the customer with the number or the address, else a new one.

    A known customer is not changed: anyone can type any address into a booking page.
    """
    phone, email = appointment.attendee_phone, appointment.attendee_email or None
    customer = customers.known(appointment.company, phone, email)
    if customer is None and (phone or email):
        name = appointment.attendee_name
        customer = Customer.objects.create(company=appointment.company, name=name, phone=phone, email=email)
    return customer
