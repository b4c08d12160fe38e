"""How soon a webhook is acknowledged: Cal.com's own booking call waits for that."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus

from calcom.models import Account, WebhookDelivery
from calcom.simulator import sign
from script.lib.agent import request
from script.lib.environment import Environment, midnight
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError

A_SECOND, SECONDS = 50, 21
# Three messages about each: it is made, rescheduled and cancelled there.
BOOKINGS = A_SECOND * SECONDS // 3
SLOT = timedelta(minutes=30)


def measure(env: Environment) -> dict[str, Measurement]:
    """Send what Cal.com says about some hundred bookings at a steady pace, while the workers process it."""
    env.subscribe_webhooks()
    account = Account.objects.get(pk=env.tenant().account_id)
    try:
        bodies = _bodies(env)
        began, sent = time.monotonic() + 0.1, []
        with ThreadPoolExecutor(32) as pool:
            for number, body in enumerate(bodies):
                due = began + number / A_SECOND
                time.sleep(max(0.0, due - time.monotonic()))
                sent.append(pool.submit(_deliver, env.url, account, body, due))
        waits = [each.result() for each in sent]
    finally:
        env.simulator.configure(webhooks="hold")  # the groups that follow are not about them
    env.supervisor.wait_until(
        lambda: not WebhookDelivery.objects.pending().exists(), what="Not every webhook was processed", within=120.0
    )
    done = WebhookDelivery.objects.filter(state=WebhookDelivery.State.DONE).count()
    if done != len(bodies):
        raise HarnessError(f"Of {len(bodies)} webhooks {done} are done.")
    remark = f"{len(bodies)} about {BOOKINGS} bookings, {A_SECOND} a second; {percentile(waits, 0.5):.1f} at the median"
    return {"webhook_ack_p95_ms": Measurement(percentile(waits, 0.95), remark)}


def _bodies(env: Environment) -> list[bytes]:
    """Make, reschedule and cancel bookings at Cal.com, and return its webhooks in order."""
    simulator = env.simulator
    simulator.configure(webhooks="hold")
    first = midnight(2)
    for number in range(BOOKINGS):
        made = simulator.book_elsewhere("told", first + 2 * number * SLOT, name="Ada Byron", email="ada@example.com")
        moved = simulator.reschedule_elsewhere(made["uid"], first + (2 * number + 1) * SLOT)
        simulator.cancel_elsewhere(moved["uid"])
    return [each["body"].encode() for each in simulator.deliveries()]


def _deliver(url: str, account: Account, body: bytes, due: float) -> float:
    """Send one as Cal.com does, on a connection of its own; return the milliseconds since it was due."""
    headers = {"Content-Type": "application/json", "X-Cal-Signature-256": sign(account.webhook_secret, body)}
    status, _, _ = request(url, "POST", f"/webhooks/calcom/{account.pk}", body, headers, timeout=30)
    if status != HTTPStatus.ACCEPTED:
        raise HarnessError(f"A webhook was answered {status}.")
    return (time.monotonic() - due) * 1000
