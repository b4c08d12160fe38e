"""Collectors and probes of Cal.com: rate limits, circuit breakers, API keys and outboxes."""

from collections.abc import Iterator
from datetime import datetime

from django.core.exceptions import ImproperlyConfigured
from django.db.models.functions import Coalesce, Now

from cachectl.infra.outbox import DEAD_LETTER
from calcom.models import Account, DeferredBooking, WebhookDelivery
from calcom.resilience import circuit_breaker, refusals
from calcom.resilience.circuit_breaker import CircuitState, Kind
from calcom.resilience.rate_limiter import LimiterState, limiter_for
from calcom.webhooks import polling as poller
from monitoring import heartbeats, metrics, probes
from monitoring.collectors import Reading, Unhealthy, register_collector, register_probe


def rate_limit() -> Iterator[Reading]:
    """Read the rate limit and the circuit breakers of each active account."""
    for account in Account.objects.filter(active=True).order_by("pk"):
        state = limiter_for(account.api_key, account.requests_per_minute).state()
        if state is None:
            raise Unhealthy("Redis does not answer")
        yield from _budget(account.pk, state)
        for kind in Kind:
            yield _breaker(account, kind)


def open_circuits() -> None:
    """Raise Unhealthy while Cal.com does not answer for an account; says since when."""
    found = []
    for account in Account.objects.filter(active=True).order_by("pk"):
        for kind in Kind:
            state = circuit_breaker.state(account.api_key, account.pk, kind)
            if state is not None and state.is_open:
                found.append(f"account {account.pk} ({kind}{_since(state)})")
    if found:
        raise Unhealthy(f"Cal.com does not answer for {', '.join(found)}")


def _since(state: CircuitState) -> str:
    """Return since when the circuit is open: it opened once more after each probe that failed."""
    opened = [at for at, step in state.history if step == "open"][: max(state.opened, 1)]
    return f" since {opened[-1]:%H:%M} UTC" if opened else ""


def api_keys() -> Iterator[Reading]:
    """Read which API keys Cal.com refuses, and for what."""
    refused = {(row.account_id, row.kind) for row in refusals.current()}
    for account_id in Account.objects.filter(active=True).order_by("pk").values_list("pk", flat=True):
        for kind in refusals.Kind.values:
            yield metrics.KEY_REFUSED.at((account_id, kind) in refused, account_id, kind)


def refused_api_keys() -> None:
    """Raise Unhealthy while Cal.com refuses the API key of an active account."""
    kinds: dict[int, list[str]] = {}
    for row in refusals.current():
        kinds.setdefault(row.account_id, []).append(row.kind)
    if kinds:
        accounts = ", ".join(f"account {pk} ({' and '.join(of)})" for pk, of in kinds.items())
        raise Unhealthy(f"Cal.com refuses the API key of {accounts}")


def field_keys() -> None:
    """Raise Unhealthy if a stored secret cannot be decrypted: no caller could be served."""
    try:
        Account.objects.order_by("-active", "pk").only("api_key").first()
    except ImproperlyConfigured as exc:
        raise Unhealthy("FIELD_KEYS do not fit the stored secrets") from exc


def webhooks() -> Iterator[Reading]:
    """Read the number of pending webhooks."""
    return probes.outbox("webhooks", WebhookDelivery.objects.pending())


def deferred_bookings() -> Iterator[Reading]:
    """Read the numbers of pending deferred bookings and of dead letters."""
    yield from probes.outbox("deferred_bookings", DeferredBooking.objects.pending())
    given_up = DeferredBooking.objects.filter(state=DeferredBooking.State.DEAD_LETTER).count()
    yield metrics.DEFERRED_GIVEN_UP.at(given_up)


def dead_letters() -> Iterator[Reading]:
    """Read how many rows of each outbox were given up."""
    for name, rows in (("webhooks", WebhookDelivery.objects), ("deferred_bookings", DeferredBooking.objects)):
        given_up = rows.filter(state=DEAD_LETTER)[: probes.MOST_COUNTED]
        yield metrics.DEAD_LETTERS.at(given_up.count(), name)


def polling() -> Iterator[Reading]:
    """Read when each account's changes were last read at Cal.com. One that never was is due since it was entered."""
    rows = Account.objects.filter(active=True).annotate(polled=Now() - Coalesce("cursor__polled_at", "created_at"))
    for account_id, age in rows.order_by("pk").values_list("pk", "polled"):
        yield metrics.POLLED_AGE_SECONDS.at(max(age.total_seconds(), 0), account_id)


def silent_webhooks() -> None:
    """Raise Unhealthy while polling finds changes at Cal.com of which no webhook tells; says since when."""
    found = [
        f"account {each.pk} since {each.untold_since:%H:%M} UTC, {each.untold_changes} changes"
        for each in poller.silent_webhooks()
    ]
    if found:
        raise Unhealthy(f"silent while polling finds changes: {', '.join(found)}")


def jobs() -> Iterator[Reading]:
    """Read how sync and reconciliation of each active account ran last."""
    return heartbeats.jobs(list(Account.objects.filter(active=True).order_by("pk").values_list("pk", flat=True)))


def _budget(account_id: int, state: LimiterState) -> Iterator[Reading]:
    yield metrics.RATE_LIMIT.at(state.limit, account_id)
    yield metrics.RATE_SPENT.at(state.spent, account_id)
    yield metrics.RATE_EXTERNAL.at(state.external, account_id)
    yield metrics.RATE_IN_FLIGHT.at(state.in_flight, account_id)
    if state.remaining is not None:
        yield metrics.RATE_REPORTED_REMAINING.at(state.remaining, account_id)
    for priority, priority_cap in state.priority_caps.items():
        yield metrics.RATE_USED.at(state.used[priority], account_id, priority)
        yield metrics.RATE_PRIORITY_CAP.at(priority_cap, account_id, priority)
        yield metrics.RATE_FREE.at(max(0, priority_cap - state.spent), account_id, priority)
    yield metrics.PAUSE_SECONDS.at(_left(state.paused_until, state), account_id)
    yield metrics.BACKGROUND_PAUSED_SECONDS.at(_left(state.background_paused_until, state), account_id)
    yield metrics.RECOVERING_SECONDS.at(_left(state.recovering_until, state), account_id)


def _left(until: datetime | None, state: LimiterState) -> float:
    return (until - state.at).total_seconds() if until else 0.0


def _breaker(account: Account, kind: Kind) -> Reading:
    state = circuit_breaker.state(account.api_key, account.pk, kind)
    if state is None:
        raise Unhealthy("Redis does not answer")
    return metrics.BREAKER_STATE.at(state.is_open, account.pk, kind)


def register() -> None:
    register_collector("rate_limiter", rate_limit)
    register_collector("api_keys", api_keys)
    register_probe("field_keys", field_keys, vital=True)
    register_probe("calcom_keys", refused_api_keys)
    register_probe("calcom", open_circuits)
    register_probe("webhooks", silent_webhooks)
    register_collector("webhooks", webhooks)
    register_collector("deferred_bookings", deferred_bookings)
    register_collector("dead_letters", dead_letters)
    register_collector("polling", polling)
    register_collector("jobs", jobs)
