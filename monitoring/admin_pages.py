"""What pages of every app's admin have in common: local times, and lists of a million rows."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.core.paginator import Paginator
from django.db.models import DateTimeField, Model, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from monitoring.tenancy import ChosenFilter

MAX_COUNT = 10_000
"""Rows that a list counts and pages through at most; beyond that it is searched or filtered."""
_ZONE = "row_zone"
Column = str | Callable[[Any], object]


def local_time(instant: datetime | None, zone: str | None) -> str:
    """Return an instant as the clock at the place shows it, with the zone's name: Tue 24 Nov 2026, 10:00 CET."""
    return "-" if instant is None else date_format(instant.astimezone(ZoneInfo(zone or "UTC")), _("D d M Y, H:i T"))


class LocalTimes:
    """
    For model admins and inlines: every instant is shown as the clock of the row's place does.

    `zone` is the expression that leads from a row to the IANA name of its zone; None for rows without a place, whose
    instants are shown in UTC. Instants that staff enter are left as form fields.
    """

    zone: ClassVar[Combinable | None] = None
    model: type[Model]
    fields: Any
    has_change_permission: Callable[..., bool]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows with their zone."""
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # of the admin class beside it
        return rows if self.zone is None else rows.annotate(**{_ZONE: self.zone})

    def get_list_display(self, request: HttpRequest) -> list[Column]:
        """Return the columns, those of instants in local time."""
        return self._localised(super().get_list_display(request))  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Column]:
        """Return what is only shown, instants in local time: without the right to change a row that is all of it."""
        readonly = self._localised(super().get_readonly_fields(request, obj))  # type: ignore[misc]
        if self.fields and not self.has_change_permission(request, obj):
            # Django asks the form of an inline for each of its fields that is not named here.
            readonly += [each for each in self._localised(self.fields) if callable(each) and each not in readonly]
        return readonly

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Column]:
        """Return the fields of a row's page."""
        fields: Sequence[Column] = super().get_fields(request, obj)  # type: ignore[misc]
        shown = set(self.get_readonly_fields(request, obj))
        may_change = self.has_change_permission(request, obj)
        return [
            local if not may_change or local in shown else name
            for name, local in zip(fields, self._localised(fields), strict=True)
        ]

    def _localised(self, columns: Sequence[Column]) -> list[Column]:
        return [self._local_columns.get(column, column) if isinstance(column, str) else column for column in columns]

    @cached_property
    def _local_columns(self) -> dict[str, Column]:
        instants = (field for field in self.model._meta.get_fields() if isinstance(field, DateTimeField))  # noqa: SLF001  documented
        return {field.name: _local_column(field) for field in instants}


def _local_column(field: "DateTimeField[Any, Any]") -> Column:
    def shown(row: Model) -> str:
        return local_time(getattr(row, field.name), getattr(row, _ZONE, None))

    shown.short_description = field.verbose_name  # type: ignore[attr-defined]
    shown.admin_order_field = field.name  # type: ignore[attr-defined]
    return shown


def chosen(relation: str) -> tuple[str, type[ChosenFilter]]:
    """Return the filter by a relation whose rows are found by typing, since a list would be as long as their table."""
    return relation, ChosenFilter


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of the first rows only: to count a million takes a second, and page 10,000 is not what is looked for."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, `MAX_COUNT` where there are more."""
        rows = self.object_list
        return rows.order_by()[:MAX_COUNT].count() if isinstance(rows, QuerySet) else super().count


class LargeTable:
    """
    For model admins of tables with a million rows: no page counts, sorts or scans all of them.

    The newest come first. A subclass says in `search` how rows are found by an index.
    """

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    sortable_by: Sequence[str] = ()
    ordering: Sequence[str] = ("-pk",)
    search_fields: Sequence[str] = ("pk",)  # only so that the box is there: see `get_search_results`

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows that `search` finds, and that none comes twice."""
        text = search_term.strip()
        return (self.search(queryset, text) if text else queryset), False

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Return those of the rows that are meant by what was typed."""
        raise NotImplementedError
