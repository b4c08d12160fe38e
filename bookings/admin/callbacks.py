"""Callback requests: the list that staff work through."""

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from bookings.admin.common import OF_COMPANY, ShowsState
from bookings.models import CallbackRequest
from bookings.scheduling.callbacks import finish
from monitoring.admin_pages import CappedPaginator, LocalTimes, chosen


@admin.register(CallbackRequest)
class CallbackRequestAdmin(LocalTimes, ShowsState, ModelAdmin):
    zone = Coalesce(F("branch__time_zone"), OF_COMPANY)
    paginator = CappedPaginator
    show_full_result_count = False
    list_display = (
        *("name", "phone", "topic", "branch", "appointment"),
        *("requested_at", "shown_state", "done_at", "done_by"),
    )
    list_filter = ("state", *map(chosen, ("company", "branch")), "requested_at")
    list_filter_submit = True
    search_fields = ("name", "phone", "topic", "public_id", "appointment__reference")
    ordering = ("-state", "requested_at")  # open before done, and who has waited longest first
    readonly_fields = (
        *("public_id", "company", "branch", "conversation", "appointment", "requested_by"),
        *("language", "requested_at", "state", "done_at", "done_by"),
    )
    list_select_related = ("branch__company", "appointment")
    actions = ("mark_done",)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    @admin.action(description="Done: they were called back", permissions=["change"])
    def mark_done(self, request: HttpRequest, callbacks: QuerySet[CallbackRequest]) -> None:
        done = finish(callbacks, by=request.user.get_username())
        self.message_user(request, f"{done} callbacks done.", messages.SUCCESS)
