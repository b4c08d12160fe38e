"""A crash at each step of an operation: it takes effect once, and a repeat returns its outcome."""

from random import Random

import pytest

from tests.chaos.sequences import invariants
from tests.chaos.sequences.run import Reply, Request, Run
from tests.chaos.sequences.sandbox import Sandbox

MOST_STEPS = 200
CALLER = {"name": "Anna Schmidt", "phone": "+4915112345678", "email": None}


def search_and_hold(run: Run) -> str:
    """Return the confirm_token of a cut at ten."""
    tenant = run.sandbox.tenants[0]
    start = tenant.starts["cut"][0]
    when = {"windows": [{"from": start.isoformat()}]}
    body = {"service": f"sv_{tenant.services['cut'].pk}", "when": when, "hold": "exact_match"}
    return str(tenant.agent.post("availability/search", body).json()["hold"]["confirm_token"])


def book(run: Run, name: str = "cut", key: str = "key") -> Request:
    tenant = run.sandbox.tenants[0]
    body = {"service": f"sv_{tenant.services[name].pk}", "start": tenant.starts[name][0].isoformat(), "caller": CALLER}
    return Request(tenant, "book", "bookings", body, {"idempotency_key": key})


def book_hold(run: Run) -> Request:
    return Request(
        run.sandbox.tenants[0], "book", "bookings", {"confirm_token": search_and_hold(run), "caller": CALLER}
    )


def reschedule(run: Run) -> Request:
    tenant, booking = run.sandbox.tenants[0], booked(run)
    body = {"start": tenant.starts["cut"][1].isoformat()}
    return Request(tenant, "reschedule", f"bookings/{booking}/reschedule", body, {"idempotency_key": "another"})


def cancel(run: Run) -> Request:
    return Request(
        run.sandbox.tenants[0], "cancel", f"bookings/{booked(run)}/cancel", {}, {"idempotency_key": "another"}
    )


def booked(run: Run) -> str:
    _, answered = run.send(book(run))
    return str(answered["booking"]["id"])


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [book, book_hold, reschedule, cancel])
def test_crash_at_any_step_has_one_effect(sandbox, wanted):
    """A repeat under the same key returns the outcome of the first request, and adds nothing."""
    for steps in range(1, MOST_STEPS):
        run, crashed = crash_and_repeat(sandbox, wanted, steps)
        assert not run.problems, "\n".join(run.log_lines)
        if not crashed:
            break

    assert steps > 10, "a booking has more steps"
    print(f"{wanted.__name__}: crashed at each of {steps - 1} steps")
    assert steps < MOST_STEPS - 1


def crash_and_repeat(sandbox: Sandbox, wanted, steps: int) -> tuple[Run, bool]:
    """Crash before this step of a request, and repeat it at once and when everything has settled."""
    sandbox.begin()
    run = Run(sandbox)
    request = wanted(run)
    sandbox.process.kill_after(steps)
    first, _ = run.send(request)
    sandbox.process.kill_after(None)
    at_once, _ = run.send(request)
    invariants.settle(run, Random(steps))
    later, answered = run.send(request)
    invariants.check(run, Random(steps))
    if later is not Reply.DONE or not answered["replayed"]:
        run.fail(f"told {first}, then {at_once}, and in the end {later}, replayed: {answered.get('replayed')}")
    return run, first is Reply.NONE
