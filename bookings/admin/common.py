"""What the pages of all groups share: the clock of each row, the state as a label, history that is kept."""

from collections.abc import Sequence
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.decorators import display

from bookings.models import MAX_FOUND, Appointment, Branch, CallbackRequest, Operation
from bookings.roles import scope_of

# Expressions that lead from a row to the time zone of its place.
_FIRST_BRANCH = Branch.objects.filter(company=OuterRef("company")).order_by("pk").values("time_zone")[:1]
OF_COMPANY = Subquery(_FIRST_BRANCH)
OF_APPOINTMENT = F("appointment__branch__time_zone")
OF_CONVERSATION = Coalesce(F("conversation__branch__time_zone"), OF_COMPANY)
OF_CLAIM = Coalesce(OF_APPOINTMENT, F("host__time_zone"))
FIND_PEOPLE = "The beginning of a name or an e-mail address, or the end of a number"
STATE_COLOURS = {
    "confirmed": "success",
    "completed": "success",
    "done": "success",
    "held": "info",
    "pending": "info",
    "awaiting_confirmation": "info",
    "queued": "info",
    "sending": "info",
    "unknown": "warning",
    "open": "warning",
    "no_show": "warning",
    "rejected": "danger",
    "refused": "danger",
}


def branches_in_scope(request: HttpRequest) -> QuerySet[Branch]:
    """Return the branches whose day the request may see, by company and name."""
    return scope_of(request.user).branches().select_related("company__account").order_by("company__name", "name", "pk")


class ShowsState:
    @display(description="state", label=STATE_COLOURS, ordering="state")  # type: ignore[untyped-decorator]
    def shown_state(self, row: Appointment | Operation | CallbackRequest) -> tuple[str, str]:
        return row.state, row.get_state_display()


def found_appointments(text: str) -> QuerySet[Appointment, Any]:
    """Return the appointments that are meant by what was typed, as a part of another query."""
    return Appointment.objects.search(text).order_by()[:MAX_FOUND].values("pk")


class SelectsRelated:
    """For inlines: the relations of all rows are read with the rows."""

    related: Sequence[str] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # of the admin class beside it
        return rows.select_related(*self.related)


class KeepsHistory:
    """For rows that appointments or calls refer to: they are switched off, and deleted only without history."""

    used_by: Sequence[str] = ()
    """The lookups by which a row's history is found."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse at once where there is history; Django would first collect all of it."""
        rows = self.get_queryset(request)  # type: ignore[attr-defined]
        used = [
            str(row)
            for row in objs
            if any(rows.filter(pk=row.pk, **{f"{lookup}__isnull": False})[:1].exists() for lookup in self.used_by)
        ]
        if used:
            return [], {}, set(), [f"{name} has a history. Switch it off instead." for name in used]
        return super().get_deleted_objects(objs, request)  # type: ignore[misc]  # of the admin class beside it


def person_of(request: HttpRequest) -> User:
    """Return who sends the request: a page of the admin is not shown to anyone else."""
    return cast("User", request.user)
