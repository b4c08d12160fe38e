"""Who comes: the customer behind a wish, and what Cal.com is told of them."""

from django.conf import settings
from django.db.models import Q

from bookings.models import Appointment, Company, Customer
from calcom.types import NewBooking


def customer_for(
    *, company: Company, name: str, phone: str | None, email: str | None, language: str = ""
) -> tuple[Customer, str]:
    """
    Return the customer and the address that Cal.com shall know them by.

    They are known by phone number, then by e-mail. Both are optional: whoever gives neither is somebody new each time.
    A customer who is known learns no number: anybody can say an address, and a number opens what is booked under it.
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
    return customer, email or synthetic_address(customer)


def known(company: Company, phone: str | None, email: str | None) -> Customer | None:
    """Return the customer with this number, else the one with this address."""
    if not phone and not email:
        return None
    by_phone, by_email = Q(phone=phone, phone__isnull=False), Q(email=email, email__isnull=False)
    found = list(Customer.objects.of(company).filter(by_phone | by_email))
    return next((customer for customer in found if phone and customer.phone == phone), found[0] if found else None)


def synthetic_address(customer: Customer) -> str:
    """
    Return an address that is nobody else's.

    Cal.com wants one, and where two attendees share it, it may return the other's booking as if it were new.
    """
    return f"customer-{customer.pk}@{settings.BOOKINGS_ATTENDEE_DOMAIN}"


def new_booking(appointment: Appointment) -> NewBooking:
    """Return what Cal.com is asked to book. Its metadata carries our id and nothing else."""
    service = appointment.service
    if service is None:
        raise ValueError("Only appointments of a service are booked by us.")
    notes = {"notes": appointment.notes} if appointment.notes else {}
    return NewBooking(
        start=appointment.start,
        attendee_name=appointment.attendee_name,
        attendee_email=appointment.attendee_email,
        attendee_phone=appointment.attendee_phone,
        time_zone=service.branch.time_zone,
        language=appointment.language or service.branch.language,
        appointment_id=appointment.public_id,
        fields={**service.field_defaults, **notes},
    )
