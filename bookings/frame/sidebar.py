"""What stands beside every page: the sidebar of a role with its badges, the label of the environment, the search."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.dataclasses import SearchResult

from bookings.frame.state import state_of
from bookings.models import Appointment, CallbackRequest, Company, Customer
from bookings.roles import scope_of

Item = dict[str, Any]
PRODUCT = "Slotline"
MOST_FOUND = 10
_SHORTEST = 2


def _may(right: str) -> Callable[[HttpRequest], bool]:
    return lambda request: scope_of(request.user).may(right)


def _item(title: Promise, model: str, icon: str, **more: Any) -> Item:
    app, _point, name = model.partition("_")
    link = reverse_lazy(f"admin:{model}_changelist")
    return {"title": title, "icon": icon, "link": link, "permission": _may(f"{app}.view_{name}"), **more}


_BOOK = {
    "title": _("Book for a caller"),
    "icon": "add_call",
    "link": reverse_lazy("admin:bookings_appointment_book"),
    "permission": _may("bookings.add_appointment"),
}
_GROUPS: tuple[tuple[Promise, bool, list[Item]], ...] = (
    (
        _("Desk"),
        False,
        [
            {"title": _("Today"), "icon": "today", "link": reverse_lazy("admin:index"), "permission": lambda _r: True},
            _BOOK,
            _item(
                *(_("Callbacks"), "bookings_callbackrequest", "phone_callback"),
                counted=True,
            ),
            _item(_("Appointments"), "bookings_appointment", "event"),
            _item(_("Calls"), "bookings_conversation", "call"),
            _item(_("Customers"), "bookings_customer", "person"),
        ],
    ),
    (
        _("Set-up"),
        True,
        [
            _item(_("Companies"), "bookings_company", "storefront"),
            _item(_("Branches"), "bookings_branch", "location_on"),
            _item(_("Services"), "bookings_service", "content_cut"),
            _item(_("Staff"), "bookings_staff", "badge"),
            _item(_("Own calendars"), "bookings_staffservice", "calendar_month"),
            _item(_("Agent keys"), "bookings_agentkey", "key"),
            _item(_("Roles"), "bookings_membership", "groups"),
            _item(_("Cal.com accounts"), "calcom_account", "cloud"),
            {
                "title": _("The agents' API"),
                "icon": "api",
                "link": "/v1/docs",
                "permission": _may("bookings.view_agentkey"),
            },
        ],
    ),
    (
        _("What happened"),
        True,
        [
            _item(_("Changes at Cal.com"), "bookings_operation", "sync_alt"),
            _item(_("Reserved times"), "bookings_claim", "event_busy"),
            _item(_("Offers"), "bookings_slottoken", "sell"),
            _item(_("Questions and answers"), "bookings_toolcall", "forum"),
        ],
    ),
    (
        _("Machinery"),
        True,
        [
            _item(_("Alerts"), "monitoring_alert", "notifications"),
            _item(_("Silences"), "monitoring_silence", "notifications_off"),
            _item(_("Messages"), "monitoring_notification", "mail"),
            _item(_("Rate limits"), "calcom_ratelimit", "speed"),
            _item(_("Event types"), "calcom_eventtype", "category"),
            _item(_("Hosts"), "calcom_host", "person_pin"),
            _item(_("Webhooks"), "calcom_webhookdelivery", "webhook"),
            _item(_("Deferred bookings"), "calcom_deferredbooking", "pending"),
            _item(_("Polling"), "calcom_cursor", "sync"),
            _item(_("Bookings of other accounts"), "bookings_sharedbooking", "share"),
            _item(_("Invalidations"), "cachectl_cacheinvalidation", "delete_sweep"),
            _item(_("Warming"), "cachectl_warming", "local_fire_department"),
            {**_item(_("Logins"), "auth_user", "lock"), "permission": lambda request: request.user.is_superuser},
        ],
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the sidebar in which the person may open anything; the desk is open, others unfold."""
    groups = []
    for title, collapsible, items in _GROUPS:
        shown = [_counted(request, item) for item in items if item["permission"](request)]
        if shown:
            groups.append({"title": title, "collapsible": collapsible, "separator": True, "items": shown})
    return groups


def _counted(request: HttpRequest, item: Item) -> Item:
    """Return a copy, with a badge where something waits: an empty badge would be a coloured square."""
    number = callbacks_due(request) if item.get("counted") else 0
    return {**item, "badge": number, "badge_variant": "warning"} if number else dict(item)


def callbacks_due(request: HttpRequest) -> int:
    """Return how many callers wait to be called back, in one statement."""
    scope = scope_of(request.user)
    due = scope.rows(CallbackRequest.objects.due(timezone.now()), {"company": "company", "branch": "branch"})
    try:
        return due.count()
    except DatabaseError:
        return 0


def on_every_page(request: HttpRequest) -> dict[str, Any]:
    """Return what the template of every page shows beside its own: the banner."""
    return {"state": state_of(request)}


def environment(request: HttpRequest) -> list[str | Promise] | None:
    """Return the label at the top of every page: what is wrong, else that it is the demo, else that all is well."""
    if scope_of(request.user).role is None:
        return [_("Demo"), "info"] if settings.DEMO else None
    state = state_of(request)
    if state is not None:
        return [state.badge, state.level]
    return [_("Demo"), "info"] if settings.DEMO else [_("In order"), "success"]


def site_name() -> str:
    """Return whose desk it is: the company's, if there is one only, else the product's. It is told before a login."""
    try:
        names = list(Company.objects.filter(active=True).order_by("pk").values_list("name", flat=True)[:2])
    except DatabaseError:
        return PRODUCT
    return names[0] if len(names) == 1 else PRODUCT


def subheader(request: HttpRequest) -> str:
    """Return for which company the person works; empty for several, and for operators."""
    names = {each.company.name for each in scope_of(request.user).memberships if each.company}
    return names.pop() if len(names) == 1 else ""


def search(request: HttpRequest, text: str) -> list[SearchResult]:
    """Return the pages of the sidebar that are meant by what was typed, then appointments and customers."""
    pages = [
        item
        for group in navigation(request)
        for item in group["items"]
        if text.casefold() in str(item["title"]).casefold()
    ]
    results = [
        SearchResult(title=str(each["title"]), description=str(_("Page")), link=str(each["link"]), icon=each["icon"])
        for each in pages
    ]
    return results + (found(request, text) if len(text) >= _SHORTEST else [])


def found(request: HttpRequest, text: str) -> list[SearchResult]:
    """Return appointments and customers that are meant by what was typed into the command palette."""
    scope, results = scope_of(request.user), []
    if scope.may("bookings.view_appointment"):
        paths = {"company": "company", "branch": "branch", "host": "host"}
        rows = scope.rows(Appointment.objects.search(text).select_related("branch"), paths)
        for row in rows[:MOST_FOUND]:
            when = f"{row.start.astimezone(ZoneInfo(row.branch.time_zone)):%d.%m.%Y %H:%M}"
            results.append(_result(f"{row.attendee_name} · {when}", _("Appointment"), row, "event"))
    if scope.may("bookings.view_customer"):
        people = scope.rows(Customer.objects.search(text), {"company": "company"})
        results += [_result(row.name or row.phone or "-", _("Customer"), row, "person") for row in people[:MOST_FOUND]]
    return results


def _result(title: str, what: Promise, row: Appointment | Customer, icon: str) -> SearchResult:
    link = reverse_lazy(f"admin:bookings_{row._meta.model_name}_change", args=[row.pk])  # noqa: SLF001  documented
    return SearchResult(title=title, description=str(what), link=str(link), icon=icon)
