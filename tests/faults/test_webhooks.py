"""Experiment 22: webhooks ten times, reversed, forged, truncated, huge, and a fifth of them lost."""

import os
import random
from datetime import timedelta

import pytest
from django.db.models import F

from bookings.models import Appointment, Claim
from calcom import polling, tasks
from calcom.models import Cursor, WebhookDelivery
from tests.bookings.stage import book, cancel, wish
from tests.bookings.test_mirroring import as_here, as_there
from tests.calcom.hooks import SECRET, handed_out, post, sign, subscribe
from tests.cast import TUESDAY, Caller, at

FULL = bool(os.environ.get("FAULTS_FULL"))
STEPS = 300 if FULL else 60
DAYS = [day for number in range(60) if (day := TUESDAY + timedelta(days=number)).weekday() < 6]
SEED = int(os.environ.get("FAULTS_SEED", "22"))


@pytest.fixture
def told(salon, calcom, simulator, live_server) -> None:
    """Cal.com sends to our own server, inside each booking request, and loses a fifth on the way."""
    handed_out()
    subscribe(simulator, salon.account, f"{live_server.url}/webhooks/calcom/{salon.account.pk}")
    salon.account.requests_per_minute = 100_000  # what happens here in a minute takes hours elsewhere
    salon.account.save()
    simulator.configure(webhook_loss=0.2, limit=100_000)


def work_off() -> None:
    """Do what the workers would: every delivery that is owed, whatever waits for another attempt too."""
    for _ in range(10):
        WebhookDelivery.objects.update(next_attempt_at=F("next_attempt_at") - timedelta(minutes=10))
        for delivery_id in WebhookDelivery.objects.filter(state__in=["received", "failed"]).values_list(
            "pk", flat=True
        ):
            tasks.process(delivery_id=delivery_id)


def live(number: int, dice: random.Random, simulator, salon, calcom) -> None:
    """Let something happen, here or there."""
    start = at(9 + number % 8, on=DAYS[number // 8])
    standing = [each["uid"] for each in simulator.bookings() if each["status"] == "accepted"]
    ours = list(Appointment.objects.filter(state="confirmed", origin="agent"))
    what = dice.choice(["book", "book there", "move there", "cancel there", "cancel"])
    if what == "book" or not standing:
        book(wish(salon.cut, start, Caller("Anna", email=f"anna-{number}@example.com")), calcom)
    elif what == "book there":
        simulator.book_elsewhere(dice.choice([1, 2, 3]), start, email=f"karl-{number}@example.com")
    elif what == "move there":
        simulator.move_elsewhere(dice.choice(standing), start)
    elif what == "cancel there":
        simulator.cancel_elsewhere(dice.choice(standing))
    elif ours:
        cancel(dice.choice(ours), calcom)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_whatever_becomes_of_webhooks_the_end_is_what_cal_com_says(told, salon, calcom, simulator, settings):
    """Experiment 22, L-72, L-73, L-76: after one poll our rows equal Cal.com's; nothing forged came in."""
    settings.BOOKINGS_WRITE_WAIT = 5
    dice = random.Random(SEED)
    Cursor.objects.create(account=salon.account, read_until=salon.account.created_at)
    for number in range(STEPS):
        live(number, dice, simulator, salon, calcom)
        if dice.random() < 0.5:
            work_off()
    work_off()

    sent = simulator.deliveries()
    lost = sum(message["outcome"] == "lost" for message in sent)
    refused = [message for message in sent if message["outcome"] not in {202, "lost"}]
    repeats = [message for message in sent if message["outcome"] == 202] * 10
    dice.shuffle(repeats)
    for message in reversed(repeats):
        assert post(salon.account.pk, message["body"].encode()).json()["received_before"]
    forged = attack(salon.account.pk, sent[0]["body"].encode())
    drifted = set(as_here()) ^ set(as_there(simulator))
    polling.poll(salon.account)

    print(
        f"seed {SEED}: {len(sent)} sent, {lost} lost, {len(repeats)} repeated; {len(drifted)} differed before the poll"
    )
    assert as_here() == as_there(simulator)
    assert (refused, forged) == ([], 0)
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) <= {"done", "useless"}
    assert Claim.objects.exclude(appointment__state="confirmed").count() == 0


def attack(account_id: int, body: bytes) -> int:
    """Send what must not come in; return how much of it did."""
    before = WebhookDelivery.objects.count()
    other = body.replace(b"BOOKING", b"BOOK1NG")
    answers = [
        *(post(account_id, other, signature) for signature in ("", "no-secret-provided", sign(body), "0" * 64)),
        post(account_id, other, sign(other, f"{SECRET} ")),
        post(account_id, body[: len(body) // 2]),
        post(account_id, b'{"triggerEvent": "' + b"x" * 1_100_000 + b'"}'),
        post(account_id + 1, other),
    ]
    assert [answer.status_code for answer in answers] == [401] * 5 + [400, 413, 401]
    return WebhookDelivery.objects.count() - before
