"""Companies, their branches, and the keys of their agents."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from bookings.admin.common import OF_COMPANY, KeepsHistory
from bookings.models import AgentKey, Branch, Company
from monitoring.admin_pages import LocalTimes, chosen
from monitoring.tenancy import Scoped, ScopedChoices


class BranchInline(ScopedChoices, TabularInline):
    model = Branch
    fields = ("name", "time_zone", "language", "phone_region")
    extra = 0
    show_change_link = True


@admin.register(Company)
class CompanyAdmin(Scoped, LocalTimes, KeepsHistory, ModelAdmin):
    tenancy = {"company": "pk"}
    guarded = ("account",)
    ordering = ("name", "pk")
    zone = Subquery(Branch.objects.filter(company=OuterRef("pk")).order_by("pk").values("time_zone")[:1])
    used_by = ("appointments", "conversations")

    list_display = ("name", "account", "active", "cancel_notice_hours", "created_at")
    list_filter = ("active",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    autocomplete_fields = ("account",)
    readonly_fields = ("created_at",)
    inlines = (BranchInline,)


@admin.register(Branch)
class BranchAdmin(Scoped, KeepsHistory, ModelAdmin):
    tenancy = {"company": "company", "branch": "pk"}
    ordering = ("company__name", "name", "pk")
    used_by = ("appointment",)

    list_display = ("name", "company", "time_zone", "language")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_fields = ("name", "company__name")
    list_select_related = ("company",)
    autocomplete_fields = ("company",)


class AgentKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes arguments in stubs only
    """The text of the key is no field: it is generated, and shown once."""

    scopes = forms.MultipleChoiceField(
        choices=AgentKey.Scope,
        initial=[scope for scope in AgentKey.Scope if scope != AgentKey.Scope.CALLERS_IDENTIFY],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = AgentKey
        fields = ("company", "branch", "name", "scopes")

    def clean(self) -> dict[str, Any]:
        """Refuse a branch of another company."""
        cleaned = super().clean() or self.cleaned_data
        branch = cleaned.get("branch")
        if branch and branch.company != cleaned.get("company"):
            self.add_error("branch", _("It is another company's."))
        return cleaned


@admin.register(AgentKey)
class AgentKeyAdmin(Scoped, LocalTimes, ModelAdmin):
    tenancy = {"company": "company", "branch": "branch"}
    ordering = ("name", "pk")
    zone = OF_COMPANY
    form = AgentKeyForm
    list_display = ("name", "prefix", "company", "branch", "created_at", "revoked_at")
    list_filter = (chosen("company"), ("revoked_at", admin.EmptyFieldListFilter))
    list_filter_submit = True
    search_fields = ("name", "prefix", "company__name")
    readonly_fields = ("prefix", "created_at", "revoked_at")
    list_select_related = ("company", "branch__company")
    autocomplete_fields = ("company", "branch")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, key: AgentKey, form: Any, change: bool) -> None:
        """Generate the text of a new key."""
        text = "" if change else key.give_text()
        super().save_model(request, key, form, change)
        key.shown_once = text

    def response_add(self, request: HttpRequest, key: AgentKey, post_url_continue: str | None = None) -> HttpResponse:  # noqa: ARG002  Django's signature
        """Show the text of a new key on a page of its own, this once: a message would lie in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("Copy the key now"),
            "key": key,
            "back": reverse("admin:bookings_agentkey_changelist"),
        }
        return TemplateResponse(request, "bookings/new_agent_key.html", context, headers={"Cache-Control": "no-store"})

    @admin.action(description=gettext_lazy("Revoke at once"), permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[AgentKey]) -> None:
        """Refuse the keys from now on: within 5 s everywhere."""
        valid = list(keys.filter(revoked_at__isnull=True))
        revoked = AgentKey.objects.filter(pk__in=[key.pk for key in valid]).update(revoked_at=timezone.now())
        self.log_all(request, valid, "Revoked.")
        self.message_user(request, ngettext("%d key revoked.", "%d keys revoked.", revoked) % revoked, messages.SUCCESS)
