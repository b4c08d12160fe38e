"""Admin pages of alerts: what fires, who has taken it, what is silenced, and which messages are on their way."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display

from monitoring.admin_pages import CappedPaginator, LocalTimes
from monitoring.models import Alert, Notification, Silence
from monitoring.tenancy import OPERATORS, Scoped

# Hours for which an alert may be silenced from its list.
SILENCES = (1, 24)


class _Standing(admin.SimpleListFilter):
    """What fires, first."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("firing", "firing"), ("resolved", "resolved")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        return queryset if self.value() is None else queryset.filter(resolved_at__isnull=self.value() == "firing")


class _ReadOnly(Scoped, LocalTimes, ModelAdmin):
    tenancy = OPERATORS
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Alert)
class AlertAdmin(_ReadOnly):
    """Alerts that fired. Staff acknowledge or silence them; each action is in their history."""

    fields = (
        *("name", "subject", "severity", "message", "runbook"),
        *("began_at", "fired_at", "notified_at", "acknowledged_at", "acknowledged_by", "resolved_at"),
    )
    readonly_fields = fields
    list_display = ("shown_state", "name", "subject", "message", "fired_at", "acknowledged_by", "resolved_at")
    list_filter: ClassVar[list[Any]] = [_Standing, "severity", "name"]
    search_fields = ("name", "subject")
    search_help_text = "Name of an alert, or account=1"
    ordering = ("-fired_at",)
    actions = ("acknowledge", *(f"silence_{hours}h" for hours in SILENCES))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        """Return those that fired: what has not held for long enough is not shown."""
        rows: QuerySet[Alert] = super().get_queryset(request)
        return rows.exclude(fired_at=None)

    @display(description="state", label={"critical": "danger", "warning": "warning", "resolved": "success"})  # type: ignore[untyped-decorator]
    def shown_state(self, row: Alert) -> tuple[str, str]:
        return (row.severity, row.severity) if row.resolved_at is None else ("resolved", "resolved")

    @admin.display(description="what to do")
    def runbook(self, row: Alert) -> str:
        return row.runbook

    @admin.action(description="Acknowledge: I take care of it", permissions=["change"])
    def acknowledge(self, request: HttpRequest, alerts: QuerySet[Alert]) -> None:
        open_alerts = list(alerts.filter(resolved_at=None, acknowledged_at=None))
        taken = Alert.objects.filter(pk__in=[each.pk for each in open_alerts], acknowledged_at=None)
        taken.update(acknowledged_at=timezone.now(), acknowledged_by=request.user.get_username())
        for each in open_alerts:
            self.log_change(request, each, "Acknowledged.")
        self.message_user(request, f"{len(open_alerts)} alerts acknowledged.", messages.SUCCESS)

    @admin.action(description="Silence for an hour", permissions=["change"])
    def silence_1h(self, request: HttpRequest, alerts: QuerySet[Alert]) -> None:
        self._silence(request, alerts, timedelta(hours=1))

    @admin.action(description="Silence for a day", permissions=["change"])
    def silence_24h(self, request: HttpRequest, alerts: QuerySet[Alert]) -> None:
        self._silence(request, alerts, timedelta(hours=24))

    def _silence(self, request: HttpRequest, alerts: QuerySet[Alert], duration: timedelta) -> None:
        until, by = timezone.now() + duration, request.user.get_username()
        meant = list(alerts)
        which = {(each.name, each.subject) for each in meant}
        Silence.objects.bulk_create(
            [Silence(name=name, subject=subject, until=until, created_by=by) for name, subject in sorted(which)]
        )
        for each in meant:
            self.log_change(request, each, f"Silenced until {until:%Y-%m-%d %H:%M} UTC.")
        self.message_user(request, f"{len(which)} alerts silenced.", messages.SUCCESS)


@admin.register(Silence)
class SilenceAdmin(Scoped, LocalTimes, ModelAdmin):
    """Alerts about which no message is sent for a while."""

    tenancy = OPERATORS
    fields = ("name", "subject", "until", "reason", "created_by", "created_at")
    readonly_fields = ("created_by", "created_at")
    list_display = ("__str__", "subject", "until", "reason", "created_by")
    ordering = ("-until",)

    def save_model(self, request: HttpRequest, obj: Silence, form: Any, change: bool) -> None:
        """Note who made it."""
        obj.created_by = obj.created_by or request.user.get_username()
        super().save_model(request, obj, form, change)


@admin.register(Notification)
class NotificationAdmin(_ReadOnly):
    """Messages about alerts, delivered or not."""

    list_display = ("created_at", "title", "severity", "attempts", "delivered_at", "given_up_at")
    list_filter: ClassVar[list[Any]] = ["severity", ("delivered_at", admin.EmptyFieldListFilter)]
    ordering = ("-created_at",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False
