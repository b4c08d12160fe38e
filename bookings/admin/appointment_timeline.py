"""What happened with an appointment, in one line each, the newest last: by whom, and how it ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext as _

from bookings.models import OPEN_STATES, Appointment, Operation, OperationState
from monitoring.admin_pages import local_time

MOST_LINES = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    time: str
    what: str
    who: str
    state: str
    """done, refused, waiting or note: how it is coloured."""
    detail: str = ""


def read(appointment: Appointment) -> list[Line]:
    """Return the lines of an appointment, in two statements."""
    operations = list(
        Operation.objects.filter(appointment=appointment)
        .select_related("requested_by", "person")
        .order_by("requested_at", "pk")[:MOST_LINES]
    )
    entries = list(
        LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(Appointment), object_id=str(appointment.pk)
        )
        .select_related("user")
        .order_by("action_time", "pk")[:MOST_LINES]
    )
    return lines_of(appointment, operations, entries)


def lines_of(appointment: Appointment, operations: Sequence[Operation], entries: Iterable[LogEntry]) -> list[Line]:
    """Return operations, with who asked for them, and what people did that asked nothing of Cal.com. Pure."""
    zone = appointment.branch.time_zone
    lines = [_of_operation(each, zone) for each in operations]
    lines += [_of_entry(each, zone) for each in entries if each.get_change_message().startswith(NO_OPERATION)]
    if appointment.origin == Appointment.Origin.CALCOM:
        lines.append(
            Line(
                appointment.created_at,
                local_time(appointment.created_at, zone),
                _("Made at Cal.com"),
                "Cal.com",
                "done",
            )
        )
    return sorted(lines, key=lambda line: line.at)


NO_OPERATION = "\u2060"
"""Begins the message of what a person did that asks nothing of Cal.com, such as a note. It is invisible."""


def name_of(entry: LogEntry) -> str:
    """Return the name of the person who did it."""
    return entry.user.get_full_name() or entry.user.get_username()


def is_open(operations: Iterable[Line]) -> bool:
    """Return whether an outcome is still to come."""
    return any(line.state == "waiting" for line in operations)


def _of_entry(entry: LogEntry, zone: str) -> Line:
    what = entry.get_change_message().removeprefix(NO_OPERATION)
    return Line(entry.action_time, local_time(entry.action_time, zone), what, name_of(entry), "note")


def _of_operation(operation: Operation, zone: str) -> Line:
    words = {
        Operation.Kind.CREATE: _("Book"),
        Operation.Kind.RESCHEDULE: _("Reschedule"),
        Operation.Kind.CANCEL: _("Cancel"),
    }
    what = words[Operation.Kind(operation.kind)]
    if operation.new_start is not None:
        what = _("%(what)s to %(time)s") % {"what": what, "time": local_time(operation.new_start, zone)}
    who = operation.requester or _("staff or Cal.com")
    detail = [operation.reason] if operation.reason else []
    return Line(
        operation.requested_at,
        local_time(operation.requested_at, zone),
        f"{what}: {_outcome(operation)}",
        who,
        _state(operation),
        " · ".join(detail),
    )


def _outcome(operation: Operation) -> str:
    if operation.state == OperationState.DONE:
        return _("done")
    if operation.state == OperationState.REFUSED:
        return _("refused (%s)") % operation.outcome
    if operation.state == OperationState.AWAITING:
        return _("waits for the host to confirm")
    return _("is being entered at Cal.com")


def _state(operation: Operation) -> str:
    if operation.state in OPEN_STATES or operation.state == OperationState.AWAITING:
        return "waiting"
    return "done" if operation.state == OperationState.DONE else "refused"
