"""
The identity of a caller, and so which appointments they may hear of.

A number counts only if it came with the call from a trusted source, never if a model wrote it. A caller from another
number proves an appointment. To anyone else nothing is said, not even whether there is an appointment.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from difflib import SequenceMatcher
from zoneinfo import ZoneInfo

from django.db.models import F, Q

from bookings.errors import IdentityMismatch, IdentityRequired
from bookings.models import PLACED_STATES, Appointment, AppointmentQuerySet, AppointmentState, Conversation
from bookings.models.ids import REFERENCE_LENGTH
from bookings.names import same_name, words
from bookings.spelling import characters

TRIES = 3
"""Failed proofs that one phone call may have. They are counted on its row, so a restart does not reset them."""
MOST_FOUND = 10
_UPCOMING = (AppointmentState.PENDING, *PLACED_STATES)
# A date of a branch lies within this of the same date in UTC.
_ZONES = timedelta(hours=15)
# From which likeness on two spellings may be one name: Anna Schmidt and Anna Schmitt, not Anna and Ben Schmidt.
_SAME_SOUND = 0.85


@dataclass(frozen=True)
class Proof:
    """What a caller said to show who they are: a reference, or the name and the date of an appointment."""

    reference: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    day: date | None = None

    @property
    def is_given(self) -> bool:
        """Return whether anything was said."""
        return bool(self.reference or (self.name and self.day))


def find(*, conversation: Conversation | None, branch_id: int | None, proof: Proof, now: datetime) -> list[Appointment]:
    """
    Return the caller's upcoming appointments, the next one first: all of the number they call from, or the one proven.

    Args:
        branch_id: the only branch that may be looked at; None for all of the company.

    Raises:
        IdentityRequired: the caller is unknown, and no proof was given.
        IdentityMismatch: what was said fits no appointment, or more than one person's, or came after too many tries.
    """
    if conversation is None or conversation.ended_at is not None:
        raise IdentityRequired("Without a phone call that goes on it is not known who is calling.")
    upcoming = _upcoming(conversation, branch_id, now)
    if not proof.is_given:
        return _of_the_number(upcoming, conversation)
    if not _take_a_try(conversation):
        raise IdentityMismatch("Nothing fits what was said.")
    found = _proven(upcoming, proof)
    if len({each.customer_id or each.public_id for each in found}) != 1:
        raise IdentityMismatch("Nothing fits what was said.")
    _give_back_a_try(conversation)
    return found


def _upcoming(conversation: Conversation, branch_id: int | None, now: datetime) -> AppointmentQuerySet:
    upcoming = Appointment.objects.filter(company=conversation.company_id, state__in=_UPCOMING, start__gt=now)
    if branch_id is not None:
        upcoming = upcoming.filter(branch=branch_id)
    return upcoming.select_related("branch", "service").order_by("start")


def _of_the_number(upcoming: AppointmentQuerySet, conversation: Conversation) -> list[Appointment]:
    """
    Return what was booked for the number that the caller calls from.

    It must have been given with that appointment: a booking with another person's e-mail address is assigned to that
    customer, and must not open the customer's other appointments.
    """
    phone = conversation.caller_phone
    if not phone:
        raise IdentityRequired("The number is withheld, or did not come from a trusted source.")
    return list(upcoming.filter(attendee_phone=phone)[:MOST_FOUND])


def _proven(upcoming: AppointmentQuerySet, proof: Proof) -> list[Appointment]:
    """Return what fits everything that was said."""
    if proof.reference:
        reference = letters(proof.reference)
        duplicates = Appointment.objects.filter(reference=reference, merged_into__isnull=False)
        upcoming = upcoming.filter(Q(reference=reference) | Q(pk__in=duplicates.values("merged_into")))
    if proof.day is None or not proof.name:
        return list(upcoming)
    midnight = datetime.combine(proof.day, time(), UTC)
    near = upcoming.filter(start__gt=midnight - _ZONES, start__lt=midnight + timedelta(days=1) + _ZONES)
    return [each for each in near if _date_of(each) == proof.day and same_name(each.attendee_name, proof.name)]


def _date_of(appointment: Appointment) -> date:
    return appointment.start.astimezone(ZoneInfo(appointment.branch.time_zone)).date()


def letters(reference: str) -> str:
    """Return a reference as it is stored, however it was said: with pauses, in small letters, spelled in words."""
    written = re.sub(r"[\W_]", "", reference).upper()
    return written if len(written) == REFERENCE_LENGTH else characters(reference) or written


def may_be_one_person(one: str, other: str) -> bool:
    """
    Return whether both names may be one person's: said in full or in part, or heard a little differently.

    An empty name may be anybody's.
    """
    first, second = words(one), words(other)
    if set(first) <= set(second) or set(second) <= set(first):
        return True
    return SequenceMatcher(None, " ".join(first), " ".join(second)).ratio() >= _SAME_SOUND


# --- tries -------------------------------------------------------------------------------------------------------


def _take_a_try(conversation: Conversation) -> bool:
    """Count a try before it is looked at, so that many at once are no more than many; return whether one was left."""
    left = Conversation.objects.filter(pk=conversation.pk, failed_proofs__lt=TRIES)
    return left.update(failed_proofs=F("failed_proofs") + 1) == 1


def _give_back_a_try(conversation: Conversation) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(failed_proofs=F("failed_proofs") - 1)
