"""What forms of the desk share: a chosen time, and what Cal.com asks in a booking form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django import forms
from django.utils.dateparse import parse_datetime

from bookings.availability.calendar_view import Calendar
from bookings.availability.criteria import instant_of
from bookings.models import Service
from bookings.scheduling import booking_fields

ANSWER = "answer_"
"""Begins the names of inputs for booking fields."""


class StartForm(forms.Form):
    """A start that was offered, or a day and a time of day by the clock of the branch."""

    start = forms.CharField(required=False)
    day = forms.DateField(required=False)
    clock = forms.TimeField(required=False)

    def instant(self, zone: ZoneInfo) -> datetime | None:
        """
        Return what was chosen, None if nothing was.

        Raises:
            TimeAmbiguous, TimeNonexistent: clocks are changed there at that time.
        """
        chosen = self.cleaned_data
        if chosen["start"]:
            start = _parsed(chosen["start"])
            return start if start is not None and start.tzinfo else None
        if chosen["day"] and chosen["clock"]:
            return instant_of(chosen["day"], chosen["clock"], zone)
        return None


def _parsed(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None


def day_asked(text: str) -> date | None:
    """Return the date of an address, None where there is none."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Question:
    """A booking field that Cal.com asks of the caller."""

    name: str
    label: str
    kind: str
    options: Sequence[str]
    value: str


def questions_of(service: Service, calendar: Calendar | None, typed: Mapping[str, str]) -> list[Question]:
    """Return what is asked of the caller, with what was typed before."""
    fields = booking_fields.asked_of_callers(service, calendar.event_type if calendar else None)
    return [
        Question(
            name=f"{ANSWER}{each['slug']}",
            label=each.get("label") or each["slug"],
            kind="checkbox" if each["type"] == "boolean" else "text",
            options=each["options"],
            value=typed.get(f"{ANSWER}{each['slug']}", ""),
        )
        for each in fields
    ]


def answers_in(typed: Mapping[str, str]) -> dict[str, object]:
    """Return the answers of a form by the slug of their field."""
    return {name.removeprefix(ANSWER): value for name, value in typed.items() if name.startswith(ANSWER) and value}
