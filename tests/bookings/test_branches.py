"""What a branch can be set to, by a form or by any other way to its row."""

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bookings.models import Branch
from bookings.opening_hours import Hours
from tests.factories import Salon

pytestmark = pytest.mark.django_db

BROKEN = [
    {"time_zone": "Mars/Phobos"},
    {"time_zone": ""},
    {"time_zone": "CEST"},
    {"time_zone": "Europe/berlin"},
    {"language": "deutsch"},
    {"language": ""},
    {"language": "xx"},
    {"phone_region": "Ge"},
    {"phone_region": "de"},
    {"phone_region": ""},
    {"opening_hours": []},
    {"opening_hours": {"monday": []}},
    {"opening_hours": {"mon": "nine to six"}},
    {"opening_hours": {"mon": ["09:00", "18:00"]}},
    {"opening_hours": {"mon": [["09:00"]]}},
    {"opening_hours": {"mon": [["9:00", "18:00"]]}},
    {"opening_hours": {"mon": [["18:00", "09:00"]]}},
    {"opening_hours": {"mon": [["09:00", "09:00"]]}},
    {"opening_hours": {"mon": [[9, 18]]}},
    {"opening_hours": {"mon": [["09:00", "25:00"]]}},
    {"opening_hours": {"mon": None}},
    {"closures": {}},
    {"closures": ["2026-12-24"]},
    {"closures": [{"first": "2026-12-24"}]},
    {"closures": [{"first": "2026-02-30", "last": "2026-03-01"}]},
    {"closures": [{"first": "2026-12-26", "last": "2026-12-24"}]},
    {"closures": [{"first": "24.12.2026", "last": "26.12.2026"}]},
    {"closures": [{"first": "2026-12-2", "last": "2026-12-26"}]},
    {"closures": [{"first": 1, "last": 2}]},
]


@pytest.mark.parametrize("fields", BROKEN, ids=str)
def test_form_refuses_what_no_caller_could_be_answered_with(salon: Salon, fields: dict[str, object]) -> None:
    """With a sentence for each field."""
    branch = Branch(company=salon.company, name="Wedding", **{"time_zone": "Europe/Berlin"} | fields)

    with pytest.raises(ValidationError):
        branch.full_clean(validate_constraints=False)


@pytest.mark.parametrize("fields", BROKEN, ids=str)
def test_database_refuses_it_on_every_other_way(salon: Salon, fields: dict[str, object]) -> None:
    """A command, a migration or a shell writes past the form."""
    with pytest.raises(DatabaseError), transaction.atomic():
        Branch.objects.filter(pk=salon.branch.pk).update(**fields)
    with pytest.raises(DatabaseError), transaction.atomic():
        Branch.objects.create(company=salon.company, name="Wedding", **{"time_zone": "Europe/Berlin"} | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"time_zone": "America/Argentina/Buenos_Aires"},
        {"time_zone": "America/Port_of_Spain"},
        {"time_zone": "UTC"},
        {"language": "de-CH"},
        {"phone_region": "AT"},
        {"opening_hours": {"mon": [["09:00", "12:30"], ["14:00", "24:00"]], "sun": []}},
        {"closures": [{"first": "2026-12-24", "last": "2026-12-24"}]},
    ],
    ids=str,
)
def test_what_is_right_is_accepted(salon: Salon, fields: dict[str, object]) -> None:
    """By the form and by the database."""
    branch = Branch(company=salon.company, name="Wedding", **{"time_zone": "Europe/Berlin"} | fields)

    branch.full_clean()
    branch.save()


TIMES = st.sampled_from(["00:00", "09:00", "9:00", "12:30", "18:00", "24:00", "24:01", "25:00", "", "x", 9, None])
DAYS = st.sampled_from(["mon", "tue", "sun", "Mon", ""])
SPANS = st.lists(st.lists(TIMES, max_size=3), max_size=3) | st.none() | st.just("09:00")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours=st.dictionaries(DAYS, SPANS, max_size=2))
@example(hours={"mon": [["09:00", "18:00"], ["12:30", "24:00"]]})
def test_hours_that_the_database_takes_can_be_read(salon: Salon, hours: dict[str, object]) -> None:
    """Whatever is stored answers callers: hours that overlap are read as one."""
    try:
        with transaction.atomic():
            Branch.objects.filter(pk=salon.branch.pk).update(opening_hours=hours)
    except DatabaseError:
        return
    assert Hours.parse("Europe/Berlin", hours, [], strict=False)


def test_overlapping_hours_are_refused_where_they_are_typed(salon: Salon) -> None:
    """They are rarely meant so."""
    salon.branch.opening_hours = {"mon": [["09:00", "13:00"], ["12:00", "18:00"]]}

    with pytest.raises(ValidationError, match="The hours of mon overlap"):
        salon.branch.full_clean()
