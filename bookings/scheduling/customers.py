"""The customer of a booking, and what Cal.com is sent about them."""

from datetime import datetime
from itertools import count

from django.conf import settings
from django.db.models import Q

from bookings.errors import AlreadyBooked
from bookings.models import LIVE_STATES, Appointment, Company, Customer
from bookings.scheduling import booking_fields
from calcom.models import EventType
from calcom.types import NewBooking


def attendee_of(
    *,
    company: Company,
    name: str,
    phone: str | None,
    email: str | None,
    language: str,
    event_type: EventType,
    start: datetime,
) -> dict[str, object]:
    """
    Return the attendee's columns of a new appointment, within the transaction that is open.

    Raises:
        AlreadyBooked: Cal.com would return another booking under their address instead of a new one.
    """
    customer = customer_for(company=company, name=name, phone=phone, email=email, language=language)
    return {
        "customer": customer,
        "attendee_name": name,
        "attendee_email": address_for(customer=customer, email=email, event_type=event_type, start=start),
        "attendee_phone": phone,
        "language": language,
    }


def customer_for(*, company: Company, name: str, phone: str | None, email: str | None, language: str = "") -> Customer:
    """
    Return the customer with this number, else with this address; a new one if neither is known.

    A known customer gets no new number: anyone can say an address, and a number gives access to the appointments under
    it.
    """
    email = email.lower() if email else None
    customer = known(company, phone, email) or Customer(company=company)
    taken = email and customer.email != email and Customer.objects.filter(company=company, email=email).exists()
    learned = {"name": name, "email": None if taken else email, "language": language}
    if customer.pk is None:
        learned["phone"] = phone
    missing = {field: value for field, value in learned.items() if value and not getattr(customer, field)}
    if missing or customer.pk is None:
        for field, value in missing.items():
            setattr(customer, field, value)
        customer.save()
    return customer


def address_for(*, customer: Customer, email: str | None, event_type: EventType, start: datetime) -> str:
    """
    Return the address under which Cal.com is sent the attendee of a new booking, within the transaction that is open.

    If address, start and event type are those of a live booking, some event types return that booking as if it were new
    (recorded 2026-11-30). So a caller who gives no address gets one for each of their bookings at that time: two people
    may call from one number. An event type that limits each booker must always get the same address.

    Raises:
        AlreadyBooked: the address has a booking of the event type at that time.
    """
    at_that_time = Appointment.objects.of(customer.company_id).filter(state__in=LIVE_STATES, start=start)
    if email:
        of_the_type = at_that_time.filter(event_type__calcom_id=event_type.calcom_id, attendee_email=email.lower())
        if of_the_type.exists():
            raise AlreadyBooked(
                "This address has a booking of the same event type at the same time.", appointment=of_the_type[0]
            )
        return email.lower()
    used = set(at_that_time.filter(customer=customer).values_list("attendee_email", flat=True))
    addresses = (synthetic_address(customer, number) for number in count(1))
    if event_type.limits_each_booker:
        if synthetic_address(customer) in used:
            raise AlreadyBooked(
                "This customer has a booking at the same time, and the event type limits them.",
                appointment=at_that_time.filter(customer=customer).first(),
            )
        return synthetic_address(customer)
    return next(address for address in addresses if address not in used)


def known(company: Company, phone: str | None, email: str | None) -> Customer | None:
    """Return the customer with this number, else the one with this address."""
    if not phone and not email:
        return None
    by_phone, by_email = Q(phone=phone, phone__isnull=False), Q(email=email, email__isnull=False)
    found = list(Customer.objects.of(company).filter(by_phone | by_email))
    return next((customer for customer in found if phone and customer.phone == phone), found[0] if found else None)


def synthetic_address(customer: Customer, number: int = 1) -> str:
    """Return an address for a customer who gave none, the first or a further one: Cal.com requires one."""
    suffix = "" if number == 1 else f"-{number}"
    return f"customer-{customer.pk}{suffix}@{settings.BOOKINGS_ATTENDEE_DOMAIN}"


def new_booking(appointment: Appointment) -> NewBooking:
    """Return the booking to create at Cal.com. Its metadata carries our id and nothing else."""
    service = appointment.service
    if service is None:
        raise ValueError("Only appointments of a service are booked by us.")
    return NewBooking(
        start=appointment.start,
        attendee_name=appointment.attendee_name,
        attendee_email=appointment.attendee_email,
        attendee_phone=appointment.attendee_phone,
        time_zone=service.branch.time_zone,
        language=appointment.language or service.branch.language,
        appointment_id=appointment.public_id,
        fields=booking_fields.responses(
            service,
            appointment.event_type,
            appointment.answers,
            phone=appointment.attendee_phone,
            notes=appointment.notes,
        ),
    )
