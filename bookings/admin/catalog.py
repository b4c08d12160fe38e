"""Services, staff, and which event types book a service with one person."""

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from bookings.admin.common import KeepsHistory
from bookings.models import Service, Staff, StaffService
from monitoring.admin_pages import chosen
from monitoring.tenancy import Scoped, ScopedChoices


@admin.register(Service)
class ServiceAdmin(Scoped, KeepsHistory, ModelAdmin):
    tenancy = {"company": "branch__company", "branch": "branch"}
    guarded = ("event_type",)
    ordering = ("branch__name", "name", "pk")
    used_by = ("appointment",)

    list_display = ("name", "branch", "event_type", "duration_minutes", "active", "bookable")
    list_filter = ("active", *map(chosen, ("branch__company", "branch")))
    list_filter_submit = True
    search_fields = ("name", "aliases", "branch__name")
    list_select_related = ("branch__company", "event_type")
    autocomplete_fields = ("branch", "event_type")
    readonly_fields = ("unsupported_reason",)

    @admin.display(description=_("can be booked"), boolean=True)
    def bookable(self, service: Service) -> bool:
        return not service.unsupported_reason()

    @admin.display(description=_("why it cannot be booked"))
    def unsupported_reason(self, service: Service) -> str:
        """Return what staff must put right."""
        return (service.unsupported_reason() if service.pk else "") or gettext("nothing")


class StaffServiceInline(ScopedChoices, TabularInline):
    model = StaffService
    autocomplete_fields = ("service", "event_type")
    extra = 0


@admin.register(Staff)
class StaffAdmin(Scoped, ModelAdmin):
    tenancy = {"company": "branch__company", "branch": "branch", "staff": "pk"}
    guarded = ("host",)
    ordering = ("name", "pk")
    list_display = ("name", "branch", "host", "active")
    list_filter = ("active", *map(chosen, ("branch__company", "branch")))
    list_filter_submit = True
    search_fields = ("name", "aliases")
    list_select_related = ("branch__company", "host")
    autocomplete_fields = ("branch", "host")
    inlines = (StaffServiceInline,)


@admin.register(StaffService)
class StaffServiceAdmin(Scoped, ModelAdmin):
    tenancy = {"company": "staff__branch__company", "branch": "staff__branch"}
    guarded = ("event_type",)
    ordering = ("pk",)
    list_display = ("service", "staff", "event_type")
    list_filter = (chosen("staff__branch__company"),)
    list_filter_submit = True
    search_fields = ("service__name", "staff__name")
    list_select_related = ("service", "staff", "event_type")
    autocomplete_fields = ("service", "staff", "event_type")
