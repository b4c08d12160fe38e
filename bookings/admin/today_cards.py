"""What stands above the board of a day: what waits for a person, and how Cal.com is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from bookings.models import WAITS_SINCE, Branch, CallbackRequest, Claim, Company, Operation
from bookings.roles import Scope, scope_of
from calcom import rate_limit_page

# An operation is uncertain when Cal.com has had this long to answer.
_LONG = timedelta(seconds=30)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Card:
    """One figure, what it means, and where it is dealt with."""

    title: str | Promise
    figure: str
    words: str
    level: str
    """ok, warning, critical or unknown."""
    address: str = ""


def read(request: HttpRequest, branch: Branch, now: datetime) -> list[Card]:
    """Return the cards of the branch's company that the person may see: one statement, and what Redis knows."""
    scope, company = scope_of(request.user), branch.company
    cards = [_calcom(company, may_open=scope.may("calcom.view_ratelimit"))]
    if not scope.may("bookings.view_callbackrequest"):  # one who gives appointments sees their own only
        return cards
    waiting = waiting_of(company, scope, now)
    return [
        _callbacks(waiting["open_callbacks"] or 0, waiting["oldest"], now),
        _uncertain(waiting["uncertain"] or 0),
        _conflicts(waiting["conflicts"] or 0),
        *cards,
    ]


def waiting_of(company: Company, scope: Scope, now: datetime) -> dict[str, Any]:
    """Return how much waits for a person, by kind, in one statement."""
    return dict(Company.objects.filter(pk=company.pk).values(**waiting_queries(scope, now)).get())


def waiting_queries(scope: Scope, now: datetime) -> dict[str, Subquery]:
    """Return the counts of what waits for a person as expressions of a query over companies."""
    due = scope.rows(CallbackRequest.objects.due(now), {"company": "company", "branch": "branch"})
    callbacks = due.filter(company=OuterRef("pk"))
    uncertain = Operation.objects.open().filter(company=OuterRef("pk"), requested_at__lt=now - _LONG)
    conflicts = Claim.objects.filter(
        conflicting=True, kind=Claim.Kind.CONFIRMED, end__gt=now, host__account=OuterRef("account")
    )
    return {
        "open_callbacks": _counted(callbacks, "company"),
        "oldest": Subquery(callbacks.order_by().values("company").values(first=Min(WAITS_SINCE))),
        "uncertain": _counted(uncertain, "company"),
        "conflicts": _counted(conflicts, "host__account"),
    }


def _counted(rows: "QuerySet[CallbackRequest] | QuerySet[Operation] | QuerySet[Claim]", of_what: str) -> Subquery:
    return Subquery(rows.order_by().values(of_what).annotate(number=Count("pk")).values("number"))


def _callbacks(number: int, oldest: datetime | None, now: datetime) -> Card:
    words = _("No caller waits.") if oldest is None else _("The oldest waits for %s.") % lasting(now - oldest)
    address = reverse("admin:bookings_callbackrequest_changelist")
    level = "ok" if oldest is None else "critical" if now - oldest > _HOUR else "warning"
    return Card(gettext_lazy("Callbacks"), str(number), words, level, address)


def _uncertain(number: int) -> Card:
    words = _("Cal.com has not confirmed them yet.") if number else _("Everything is confirmed.")
    address = f"{reverse('admin:bookings_operation_changelist')}?open=1"
    return Card(gettext_lazy("Not certain"), str(number), words, "warning" if number else "ok", address)


def _conflicts(number: int) -> Card:
    words = _("Appointments ahead overlap.") if number else _("No appointments overlap.")
    address = f"{reverse('admin:bookings_claim_changelist')}?conflicting__exact=1"
    return Card(gettext_lazy("Conflicts"), str(number), words, "critical" if number else "ok", address)


def _calcom(company: Company, *, may_open: bool) -> Card:
    """Return how Cal.com is, the worst first."""
    address = f"{reverse('admin:calcom_ratelimit_changelist')}?account={company.account_id}" if may_open else ""
    panel = rate_limit_page.panel_of(company.account)
    if panel.key_refusals:
        return Card("Cal.com", "!", _("Refuses the API key."), "critical", address)
    if panel.budget is None:
        return Card("Cal.com", "?", _("Redis does not answer, so this is not known."), "unknown", address)
    state = panel.budget.state
    if any(guard.state.is_open for guard in panel.guards):
        return Card("Cal.com", "!", _("Does not answer. Bookings wait."), "critical", address)
    level = {"ok": "ok", "warning": "warning"}.get(panel.budget.level, "critical")
    words = _("of %s requests a minute are used.") % state.limit
    return Card("Cal.com", str(state.spent), words, level, address)


def lasting(time: timedelta) -> str:
    """Return a duration in words, in one unit."""
    minutes = max(0, int(time.total_seconds() // 60))
    if minutes < 90:
        return ngettext("%d minute", "%d minutes", minutes) % minutes
    if minutes < 36 * 60:
        return ngettext("%d hour", "%d hours", round(minutes / 60)) % round(minutes / 60)
    return ngettext("%d day", "%d days", round(minutes / 1440)) % round(minutes / 1440)
