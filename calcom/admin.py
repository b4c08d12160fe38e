"""Admin pages of Cal.com. Hosts and event types are read-only: they are changed at Cal.com and synced."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from redis import RedisError
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminURLInputWidget

from cachectl.infra import outbox
from calcom import rate_limit_page, tasks
from calcom.errors import CalcomError
from calcom.http import url_policy
from calcom.models import Account, Cursor, DeferredBooking, EventType, EventTypeHost, Host, RateLimit, WebhookDelivery
from calcom.resilience import refusals
from calcom.resilience.circuit_breaker import Kind
from calcom.sync import sync
from calcom.types import UnsupportedReason
from calcom.webhooks import deferred, inbox
from monitoring.admin_pages import CappedPaginator, Column, LocalTimes, chosen
from monitoring.tenancy import OPERATORS, Scoped, ScopedChoices

SECRETS = ("api_key", "webhook_secret")
# Minutes for which staff may pause background work.
PAUSES = (5, 15, 60)


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes arguments in stubs only
    """An account whose secrets can be replaced but not read."""

    base_url = forms.URLField(assume_scheme="https", initial="https://api.cal.com", widget=UnfoldAdminURLInputWidget)

    class Meta:
        model = Account
        fields = ("name", "base_url", *SECRETS, "requests_per_minute", "active")
        widgets = dict.fromkeys(SECRETS, UnfoldAdminPasswordWidget(render_value=False))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        secrets = [name for name in SECRETS if name in self.fields]  # none without the permission to change
        if self.instance.pk and secrets:
            self.fields["api_key"].required = False
            for name in secrets:
                self.fields[name].help_text = "stored encrypted; leave empty to keep it"

    def clean_base_url(self) -> str:
        try:
            return url_policy.normalised(self.cleaned_data["base_url"])
        except ValueError as exc:
            raise forms.ValidationError(str(exc)) from exc

    def clean(self) -> dict[str, Any]:
        """Keep secrets that were left empty; a new base URL needs the API key again."""
        cleaned = super().clean() or self.cleaned_data
        if not self.instance.pk:
            return cleaned
        if (
            "base_url" in cleaned
            and _leads_elsewhere(cleaned["base_url"], self.instance)
            and not cleaned.get("api_key")
        ):
            self.add_error("api_key", "Type the key again: it would be sent to another address.")
        cleaned.update({name: cleaned.get(name) or getattr(self.instance, name) for name in SECRETS})
        return cleaned


def _leads_elsewhere(base_url: str, account: Account) -> bool:
    """Return whether the base URL differs from the stored one."""
    stored = Account.objects.only("base_url").get(pk=account.pk).base_url
    return base_url != stored.rstrip("/")


class ReadOnly:
    """Denies adding, changing and deleting: for synced rows and history."""

    def has_add_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        return False


@admin.register(Account)
class AccountAdmin(Scoped, LocalTimes, ModelAdmin):
    """Accounts and their sync."""

    tenancy = {"account": "pk"}
    ordering = ("name", "pk")
    form = AccountForm
    list_display = ("name", "base_url", "requests_per_minute", "active", "synced_at", "budget")
    list_filter = ("active",)
    search_fields = ("name", "base_url")
    readonly_fields = ("synced_at", "created_at", "budget")
    actions = ("sync_now",)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Column]:
        """Leave out the secrets without the permission to change: then values are shown instead of inputs."""
        fields = super().get_fields(request, obj)
        if self.has_change_permission(request, obj) or (obj is None and self.has_add_permission(request)):
            return fields
        return [name for name in fields if name not in SECRETS]

    def save_model(self, request: HttpRequest, obj: Account, form: AccountForm, change: bool) -> None:
        """Save; a key that was entered is used at once, even if Cal.com refused it before."""
        super().save_model(request, obj, form, change)
        if form.data.get(form.add_prefix("api_key")):
            refusals.clear_all(obj)

    @admin.display(description="rate limit and breakers")
    def budget(self, account: Account) -> str:
        """Link to the rate limit of the account."""
        if not (account.pk and account.active):
            return "-"
        return format_html('<a href="{}?account={}">Look</a>', reverse("admin:calcom_ratelimit_changelist"), account.pk)

    @admin.action(description="Sync hosts and event types from Cal.com", permissions=["change"])
    def sync_now(self, request: HttpRequest, accounts: QuerySet[Account]) -> None:
        """Sync the selected accounts."""
        for account in accounts:
            try:
                synced = sync(account=account, now=timezone.now())
            except CalcomError as exc:
                self.message_user(request, f"{account} was not synced: {exc}", messages.ERROR)
            else:
                self.log_change(request, account, "Synced.")
                self.message_user(request, f"{account}: {len(synced.event_types)} event types.", messages.SUCCESS)


class RateLimitForm(forms.Form):
    """An action on the rate limit or a circuit breaker."""

    account = forms.ModelChoiceField(Account.objects.filter(active=True))
    verb = forms.ChoiceField(choices=[(verb, verb) for verb in ("pause", "resume", "probe")])
    minutes = forms.TypedChoiceField(choices=[(minutes, minutes) for minutes in PAUSES], coerce=int, required=False)
    kind = forms.TypedChoiceField(
        choices=[(kind, kind) for kind in Kind], coerce=Kind, empty_value=Kind.READS, required=False
    )

    def do(self) -> str:
        """Perform the action; return a sentence for staff. Raises `RedisError` without a change."""
        account = self.cleaned_data["account"]
        match self.cleaned_data["verb"]:
            case "pause":
                return rate_limit_page.pause(account, self.cleaned_data["minutes"] or PAUSES[0])
            case "resume":
                return rate_limit_page.resume(account)
            case _:
                return rate_limit_page.probe(account, self.cleaned_data["kind"])


@admin.register(RateLimit)
class RateLimitAdmin(Scoped, ModelAdmin):
    """One page: rate limits and circuit breakers, and actions on them."""

    tenancy = OPERATORS
    list_per_page = 20
    exclude = ("base_url", *SECRETS)  # not shown by any other page either

    def has_add_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """Return the page only: the forms of a model would show the account's secrets."""
        return [path("", self.admin_site.admin_view(self.page), name="calcom_ratelimit_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        """Show the page, or the part that refreshes, or perform an action."""
        if request.method == "POST":
            return self._act(request)
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        shown = self._shown(request)
        if request.GET.get("part") == "accounts":
            return TemplateResponse(request, "calcom/rate_limit_accounts.html", shown)
        context = {**self.admin_site.each_context(request), "title": "Rate limits and breakers", **shown}
        return TemplateResponse(request, "calcom/rate_limit.html", context)

    def _shown(self, request: HttpRequest) -> dict[str, object]:
        accounts = Account.objects.filter(active=True).order_by("name", "pk")
        if chosen := request.GET.get("account", ""):
            accounts = accounts.filter(pk=int(chosen)) if chosen.isdecimal() and len(chosen) < 10 else accounts.none()
        page = Paginator(accounts, self.list_per_page).get_page(request.GET.get("page"))
        panels = [rate_limit_page.panel_of(account) for account in page]
        return {
            "page": page,
            "panels": panels,
            "redis_away": any(panel.budget is None for panel in panels),
            "may_change": self.has_change_permission(request),
            "may_see_accounts": request.user.has_perm("calcom.view_account"),
            "pauses": PAUSES,
        }

    def _act(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        form = RateLimitForm(request.POST)
        if not form.is_valid():
            raise BadRequest("No account, or nothing that can be done.")
        account = form.cleaned_data["account"]
        try:
            done = form.do()
        except RedisError:
            self.message_user(request, f"{account}: Redis does not answer; nothing was changed.", messages.ERROR)
        else:
            self.log_change(request, account, done)
            self.message_user(request, f"{account}: {done}", messages.SUCCESS)
        return HttpResponseRedirect(request.get_full_path())


class HostsInline(ScopedChoices, ReadOnly, TabularInline):
    """The hosts of an event type."""

    model = EventTypeHost
    extra = 0


@admin.register(Host)
class HostAdmin(Scoped, ReadOnly, ModelAdmin):
    """People at Cal.com."""

    tenancy = {"account": "account"}
    ordering = ("name", "pk")
    list_display = ("name", "username", "time_zone", "account")
    list_filter = (chosen("account"),)
    list_filter_submit = True
    search_fields = ("name", "username")
    list_select_related = ("account",)


@admin.register(EventType)
class EventTypeAdmin(Scoped, ReadOnly, ModelAdmin):
    """Event types, and why some cannot be booked through us."""

    tenancy = {"account": "account"}
    ordering = ("title", "length_minutes", "pk")
    list_display = ("title", "length_minutes", "calcom_id", "account", "active", "why_not")
    list_filter = (chosen("account"), "active")
    list_filter_submit = True
    search_fields = ("title", "slug", "=calcom_id")
    list_select_related = ("account",)
    inlines = (HostsInline,)

    @admin.display(description="cannot be booked because")
    def why_not(self, event_type: EventType) -> str:
        return "; ".join(UnsupportedReason(each).sentence for each in event_type.unsupported_reasons) or "-"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(Scoped, LocalTimes, ReadOnly, ModelAdmin):
    """The inbox, without uids and bodies: the uid of a booking is the right to cancel it."""

    tenancy = OPERATORS
    list_display = ("received_at", "trigger", "account", "state", "attempts", "note", "last_error")
    list_filter = (chosen("account"), "state", "trigger")
    list_filter_submit = True
    fields = (*list_display, "next_attempt_at", "finished_at")
    paginator = CappedPaginator
    show_full_result_count = False
    sortable_by = ()
    ordering = ("-pk",)
    list_select_related = ("account",)
    actions = ("replay", "give_up")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """The right to change deliveries is that to replay them and give them up."""
        return bool(request.user.has_perm("calcom.change_webhookdelivery"))

    @admin.action(description="Replay: process again from the beginning", permissions=["decide"])
    def replay(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        """Process the selected deliveries again, the oldest first."""
        self.log_all(request, list(deliveries), "Replayed.")
        inbox.replay(deliveries)
        outbox.publish(tasks.process)
        self.message_user(request, "They are being processed again; reload to see the result.", messages.SUCCESS)

    @admin.action(description="Give up: nothing needs to be done", permissions=["decide"])
    def give_up(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        """Finish the pending and dead ones of the selected deliveries."""
        selected = list(deliveries)
        given_up = inbox.give_up(deliveries)
        self.log_all(request, selected, "Given up.")
        self.message_user(request, f"{given_up} given up.", messages.SUCCESS)


@admin.register(Cursor)
class CursorAdmin(Scoped, LocalTimes, ReadOnly, ModelAdmin):
    """How far the accounts have been polled."""

    tenancy = OPERATORS
    list_display = ("account", "read_until", "polled_at", "next_poll_at")
    list_select_related = ("account",)


@admin.register(DeferredBooking)
class DeferredBookingAdmin(Scoped, ReadOnly, ModelAdmin):
    """Deferred bookings, without uids."""

    tenancy = OPERATORS
    list_display = ("account", "state", "last_error", "attempts", "next_attempt_at", "deferred_at")
    list_filter = (chosen("account"), "state", "last_error")
    list_filter_submit = True
    fields = ("account", "state", "last_error", "attempts", "next_attempt_at", "remote_changed_at", "deferred_at")
    date_hierarchy = "deferred_at"
    list_select_related = ("account",)
    actions = ("look_again",)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """The right to change them is that to have them read again."""
        return bool(request.user.has_perm("calcom.change_deferredbooking"))

    @admin.action(description="Read again now, with all attempts", permissions=["decide"])
    def look_again(self, request: HttpRequest, bookings: QuerySet[DeferredBooking]) -> None:
        """Make the selected bookings due now."""
        selected = list(bookings)
        due = deferred.retry_now(bookings)
        self.log_all(request, selected, "Read again.")
        self.message_user(request, f"{due} will be read again.", messages.SUCCESS)
