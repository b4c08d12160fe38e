"""Read-only history: invalidations and warming runs."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from cachectl.models import CacheInvalidation, Warming
from monitoring.admin_pages import CappedPaginator, LocalTimes
from monitoring.tenancy import OPERATORS, Scoped


class HistoryAdmin(Scoped, LocalTimes, ModelAdmin):
    """A read-only list; rows are pruned after 14 days."""

    tenancy = OPERATORS
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class PendingFilter(admin.SimpleListFilter):
    """Pending invalidations: normally none for longer than a moment."""

    title = "state"
    parameter_name = "pending"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("1", "pending"), ("0", "done")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        return queryset if self.value() is None else queryset.filter(done_at__isnull=self.value() == "1")


@admin.register(CacheInvalidation)
class CacheInvalidationAdmin(HistoryAdmin):
    """Which days were invalidated, why, and how fast."""

    list_display = (
        "created_at",
        "account_id",
        "first",
        "last",
        "event_types",
        "cause",
        "done",
        "attempts",
        "keys_invalidated",
        "duration_ms",
        "last_error",
    )
    list_filter = (PendingFilter, "cause", "created_at")
    search_fields = ("=account_id", "last_error")
    search_help_text = "Account id, or part of an error"
    ordering = ("-created_at",)

    @admin.display(description="event types")
    def event_types(self, row: CacheInvalidation) -> str:
        shown = ", ".join(map(str, row.event_type_ids[:5]))
        return shown if len(row.event_type_ids) <= 5 else f"{shown} and {len(row.event_type_ids) - 5} more"

    @admin.display(boolean=True, ordering="done_at")
    def done(self, row: CacheInvalidation) -> bool:
        return row.done_at is not None

    @admin.display(description="duration, ms", ordering="duration")
    def duration_ms(self, row: CacheInvalidation) -> str:
        return "" if row.duration is None else f"{row.duration.total_seconds() * 1000:.1f}"


@admin.register(Warming)
class WarmingAdmin(HistoryAdmin):
    """What each warming run loaded, and at what cost."""

    list_display = (
        "started_at",
        "finished_at",
        "account_id",
        "planned",
        "event_types",
        "days",
        "requests",
        "failures",
        "stopped_early",
    )
    list_filter = ("started_at", "stopped_early")
    search_fields = ("=account_id", "stopped_early")
    search_help_text = "Account id, or why it stopped"
    ordering = ("-started_at",)
