"""The staff's pages among a million appointments: the list, a search, the last page, and the no to a deletion."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from bookings.models import Appointment
from monitoring.admin_pages import MAX_COUNT, LargeTable
from script.lib.measurements import Found, Promise, percentile
from script.lib.processes import StageError
from tests.benchmarks.environment import Ground
from tests.benchmarks.tables import Size, fill

LIMIT_MS = 200
PROMISES = {
    name: Promise("ms", LIMIT_MS)
    for name in ("admin_list_ms", "admin_search_ms", "admin_last_page_ms", "admin_refused_deletion_ms")
}
MILLION = Size(name="desk", appointments=1_000_000, hosts=1_000, customers=100_000, branches=500, types=2_000)
REPEATS = 20
PER_PAGE = LargeTable.list_per_page


def measure(_ground: Ground) -> dict[str, Found]:
    """Fill the tables, where that has not been done, and open the pages."""
    if Appointment.objects.order_by()[: MILLION.appointments].count() < MILLION.appointments:
        fill(MILLION)
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(User.objects.create_superuser("bench"))
    listed = reverse("admin:bookings_appointment_changelist")
    company = Appointment.objects.order_by("-pk").values_list("company", flat=True)[0]
    delete = reverse("admin:bookings_company_delete", args=[company])
    searched = ("Anna Ber", "kuehn", "030 4711", "customer-4711", "004711", "Gross-12")
    pages: Mapping[str, Mapping[str, Callable[[], int]]] = {
        "admin_list_ms": {
            "all": partial(_status, browser, listed),
            "cancelled": partial(_status, browser, listed, state__exact="cancelled"),
            "held": partial(_status, browser, listed, state__exact="held"),
            "of a company": partial(_status, browser, listed, company__id__exact=company),
            "claims": partial(_status, browser, reverse("admin:bookings_claim_changelist")),
            "customers": partial(_status, browser, reverse("admin:bookings_customer_changelist")),
        },
        "admin_search_ms": {text: partial(_status, browser, listed, q=text) for text in searched},
        "admin_last_page_ms": {"last": partial(_status, browser, listed, p=MAX_COUNT // PER_PAGE)},
        "admin_refused_deletion_ms": {"company": partial(_status, browser, delete)},
    }
    return {row: _slowest(asked) for row, asked in pages.items()}


def _status(browser: Client, address: str, **query: str | int) -> int:
    return browser.get(address, query).status_code


def _slowest(asked: Mapping[str, Callable[[], int]]) -> Found:
    """Return the 95th percentile of the slowest of the pages."""
    times = {name: _p95(name, ask) for name, ask in asked.items()}
    slowest = max(times, key=lambda name: times[name])
    return Found(times[slowest], f"p95 of “{slowest}”, the slowest of {len(times)}")


def _p95(name: str, ask: Callable[[], int]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        status = ask()
        times.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise StageError(f"“{name}” answered {status}.")
    return percentile(times, 0.95) or 0.0
