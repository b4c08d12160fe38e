"""People who work with these pages, and what they are in a company."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from bookings.models import Membership
from monitoring.admin_pages import LocalTimes, chosen
from monitoring.tenancy import OPERATORS, Scoped, ScopedChoices

# Rights follow from roles: groups would be a second answer to the same question.
admin.site.unregister([Group, User])
# Pages of devices would show the secrets that codes are made of.
admin.site.unregister([StaticDevice, TOTPDevice])


class MembershipInline(ScopedChoices, TabularInline):
    model = Membership
    fields = ("company", "branch", "role", "staff")
    autocomplete_fields = ("company", "branch", "staff")
    extra = 0


@admin.register(User)
class PersonAdmin(Scoped, UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # it takes arguments in stubs only
    """Logins. Only superusers change them: the right to edit people would be the right to everything."""

    tenancy = OPERATORS
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "is_active", "last_login")
    list_filter = ("is_active", "memberships__role")
    search_fields = ("username", "first_name", "last_name")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Entry"), {"fields": ("is_active", "is_superuser", "last_login", "date_joined")}),
    )
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(Scoped, LocalTimes, ModelAdmin):
    """Who works for whom. Owners see it; `create_staff` and superusers make it."""

    tenancy = {"company": "company", "branch": "branch"}
    ordering = ("company__name", "user__username", "pk")
    list_display = ("user", "company", "branch", "role", "staff", "created_at")
    list_filter = ("role", chosen("company"))
    list_filter_submit = True
    list_select_related = ("user", "company", "branch", "staff")
    search_fields = ("user__username", "company__name")
    autocomplete_fields = ("user", "company", "branch", "staff")
    readonly_fields = ("created_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return bool(request.user.is_superuser)
