"""Names and numbers as they are compared and searched."""

import pytest
from django.db import connection

from bookings.models import Appointment, Conversation, Customer
from bookings.names import NameWords, digits_of, folded, words
from tests import factories

pytestmark = pytest.mark.django_db

SPELLINGS = [
    "Anna-Lena Müller",
    "José Peña",
    "Groß",
    "GROẞ",
    "Ødegård",
    "O\u2019Connor",
    "Çelik",
    "Émile",
    "mu\u0308ller",
    "",
]


@pytest.mark.parametrize("name", SPELLINGS)
def test_postgresql_folds_as_python_does(salon, name):
    """Else what is typed would be folded in one way and what is stored in another."""
    customer = Customer.objects.create(company=salon.company, name=name)

    (by_postgresql,) = Customer.objects.filter(pk=customer.pk).values_list(NameWords("name"), flat=True)

    with connection.cursor() as cursor:
        cursor.execute("SELECT to_tsvector('simple', %s)::text", [" ".join(words(name))])
        assert cursor.fetchone() == (by_postgresql,)


@pytest.mark.parametrize(
    ("one", "other"), [("Müller", "Mueller"), ("José", "JOSE"), ("Groß", "gross"), ("mu\u0308ller", "Müller")]
)
def test_spellings_of_one_name_are_one(one, other):
    """Umlauts, accents, case and composition."""
    assert folded(one) == folded(other)


def test_names_that_sound_alike_are_not_one():
    """There is no phonetics in it."""
    assert folded("Meier") != folded("Mayer")


def test_words_are_parted_by_hyphens_and_apostrophes():
    """However they are written."""
    assert words("Anna-Lena O\u2019Connor") == ["anna", "lena", "o", "connor"]


@pytest.mark.parametrize(
    ("typed", "digits"),
    [("030 90182003", "03090182003"), ("+49 (30) 901-82/003", "493090182003"), ("Anna 3", ""), ("-", "")],
)
def test_numbers_are_recognised_as_people_write_them(typed, digits):
    """Everything else is a name."""
    assert digits_of(typed) == digits


@pytest.fixture
def appointments(salon: factories.Salon) -> dict[str, Appointment]:
    """Some appointments by the name of who comes."""
    people = {
        "Anna-Lena Müller": ("+493090182003", "anna@example.com"),
        "Ben Berg": ("+4915112345678", "ben.berg@example.com"),
        "José Peña": (None, ""),
    }
    return {
        name: Appointment.objects.create(
            company=salon.company,
            branch=salon.branch,
            event_type=salon.colour.event_type,
            state="cancelled",
            start=factories.at(9 + number),
            end=factories.at(10 + number),
            attendee_name=name,
            attendee_phone=phone,
            attendee_email=email,
        )
        for number, (name, (phone, email)) in enumerate(people.items())
    }


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("anna", ["Anna-Lena Müller"]),
        ("mueller anna", ["Anna-Lena Müller"]),
        ("Lena Mül", ["Anna-Lena Müller"]),
        ("ena", []),
        ("JOSE", ["José Peña"]),
        ("030 90182003", ["Anna-Lena Müller"]),
        ("82003", ["Anna-Lena Müller"]),
        ("+49 151 12345678", ["Ben Berg"]),
        ("9018", []),
        ("ben.berg@", ["Ben Berg"]),
        ("& | !", []),
        ("'", []),
    ],
)
def test_appointments_are_found_by_what_staff_types(appointments, typed, found):
    """Beginnings of words of names, endings of numbers, beginnings of addresses."""
    assert [each.attendee_name for each in Appointment.objects.search(typed)] == found


def test_appointments_are_found_by_reference_and_id(appointments):
    """However the reference is typed."""
    one = appointments["Ben Berg"]

    assert list(Appointment.objects.search(one.reference.lower())) == [one]
    assert list(Appointment.objects.search(one.public_id)) == [one]


def test_conversations_are_found_by_number_name_and_id(salon):
    """Who called, or what the platform calls the call."""
    caller = Customer.objects.create(company=salon.company, name="Ada Groß")
    call = Conversation.objects.create(
        company=salon.company, caller_phone="+493090182003", customer=caller, call_id="call-1"
    )

    for typed in ("90182003", "gross", "call-1", call.public_id):
        assert list(Conversation.objects.search(typed)) == [call], typed
    assert not Conversation.objects.search("Berg")
