"""The staff's pages among a million appointments: a day, lists, searches, the last page, and a refused deletion."""

import time
from collections.abc import Callable
from functools import partial

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from bookings.models import Appointment
from monitoring.admin_pages import MAX_COUNT, LargeTable
from script.lib.environment import Environment
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError
from tests.benchmarks.tables import Size, fill

MILLION = Size(name="desk", appointments=1_000_000, hosts=1_000, customers=100_000, branches=500, types=2_000)
REPEATS = 20


def measure(_env: Environment) -> dict[str, Measurement]:
    """Fill the tables unless an earlier group has, and open the pages."""
    if Appointment.objects.order_by()[: MILLION.appointments].count() < MILLION.appointments:
        fill(MILLION)
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(User.objects.create_superuser("bench"))
    appointments, claims, customers = (
        reverse(f"admin:bookings_{model}_changelist") for model in ("appointment", "claim", "customer")
    )
    company = Appointment.objects.order_by("-pk").values_list("company", flat=True)[0]
    delete = reverse("admin:bookings_company_delete", args=[company])
    index = reverse("admin:index")
    searched = ("Anna Ber", "kuehn", "030 4711", "customer-4711", "004711", "Gross-12")
    pages: dict[str, dict[str, Callable[[], int]]] = {
        "admin_list_ms": {
            "all": partial(_status, browser, appointments),
            "cancelled": partial(_status, browser, appointments, state__exact="cancelled"),
            "held": partial(_status, browser, appointments, state__exact="held"),
            "of a company": partial(_status, browser, appointments, company__id__exact=company),
            "claims": partial(_status, browser, claims),
            "customers": partial(_status, browser, customers),
        },
        "admin_search_ms": {text: partial(_status, browser, appointments, q=text) for text in searched},
        "admin_last_page_ms": {
            "last": partial(_status, browser, appointments, p=MAX_COUNT // LargeTable.list_per_page)
        },
        "admin_today_ms": {
            "day": partial(_status, browser, index),
            "week": partial(_status, browser, index, view="week"),
            "live part": partial(_status, browser, index, part="live"),
        },
        "admin_refused_deletion_ms": {"company": partial(_status, browser, delete)},
    }
    return {row: _slowest(opens) for row, opens in pages.items()}


def _status(browser: Client, address: str, **query: str | int) -> int:
    return browser.get(address, query).status_code


def _slowest(pages: dict[str, Callable[[], int]]) -> Measurement:
    """Return the 95th percentile of the slowest of the pages."""
    times = {name: _p95(name, open_page) for name, open_page in pages.items()}
    slowest = max(times, key=times.__getitem__)
    return Measurement(times[slowest], f"p95 of “{slowest}”, the slowest of {len(times)}")


def _p95(name: str, open_page: Callable[[], int]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        status = open_page()
        times.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise HarnessError(f"“{name}” answered {status}.")
    return percentile(times, 0.95) or 0.0
