"""How soon Cal.com is told that we heard it: its own booking call waits for that."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from urllib.parse import urlsplit

from calcom.models import Account, WebhookDelivery
from calcom.simulator import sign
from script.lib import webhooks
from script.lib.measurements import Found, Promise, percentile
from script.lib.processes import StageError
from tests.benchmarks.environment import Ground

PROMISES = {"webhook_ack_p95_ms": Promise("ms", 50)}
A_SECOND, SECONDS = 50, 21
SLUG = "told"
# Three messages about each: it was made, moved and cancelled there.
BOOKINGS = A_SECOND * SECONDS // 3
# Seconds in which the workers have understood all of them.
UNDERSTOOD_WITHIN = 120.0
SLOT = timedelta(minutes=30)


def measure(ground: Ground) -> dict[str, Found]:
    """Send what Cal.com says about some hundred bookings, as evenly as it may come, while the workers listen to it."""
    webhooks.subscribe(ground.simulator.base_url, ground.below.url, ground.below.tenants.values())
    try:
        bodies = _bodies(ground)
        with ThreadPoolExecutor(32) as pool:
            waits = [future.result() for future in _send(ground, pool, bodies)]
    finally:
        ground.simulator.configure(webhooks="hold")  # what is measured afterwards is not about them
    ground.stage.wait_until(_all_understood, what="The webhooks were not understood", within=UNDERSTOOD_WITHIN)
    kept = WebhookDelivery.objects.filter(state=WebhookDelivery.State.DONE).count()
    if kept != len(bodies):
        raise StageError(f"Of {len(bodies)} webhooks {kept} came to their end.")
    remark = f"{len(bodies)} about {BOOKINGS} bookings, {A_SECOND} a second; {percentile(waits, 0.5):.1f} at the median"
    return {"webhook_ack_p95_ms": Found(percentile(waits, 0.95), remark)}


def _bodies(ground: Ground) -> list[bytes]:
    """Have bookings made, moved and cancelled at Cal.com, and return what it would say about that, in order."""
    simulator = ground.simulator
    simulator.configure(webhooks="hold")
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    for number in range(BOOKINGS):
        made = simulator.book_elsewhere(SLUG, first + 2 * number * SLOT, name="Ada Byron", email="ada@example.com")
        moved = simulator.reschedule_elsewhere(made["uid"], first + (2 * number + 1) * SLOT)
        simulator.cancel_elsewhere(moved["uid"])
    return [each["body"].encode() for each in simulator.deliveries()]


def _send(ground: Ground, pool: ThreadPoolExecutor, bodies: list[bytes]) -> "list[Future[float]]":
    """Send each when its time has come, however long the others take; each gives the milliseconds since that time."""
    account = Account.objects.get(pk=ground.below.tenant().account_id)
    began, sent = time.monotonic() + 0.1, []
    for number, body in enumerate(bodies):
        due = began + number / A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        sent.append(pool.submit(_tell, ground.below.url, account, body, due))
    return sent


def _tell(url: str, account: Account, body: bytes, due: float) -> float:
    """Send one as Cal.com does, on a connection of its own."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {"Content-Type": "application/json", "X-Cal-Signature-256": sign(account.webhook_secret, body)}
    try:
        connection.request("POST", f"/webhooks/calcom/{account.pk}", body, headers)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    if response.status != HTTPStatus.ACCEPTED:
        raise StageError(f"A webhook was answered {response.status}.")
    return (time.monotonic() - due) * 1000


def _all_understood() -> bool:
    return not WebhookDelivery.objects.pending().exists()
