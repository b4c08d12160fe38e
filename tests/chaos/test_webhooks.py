"""Webhooks ten times, reversed, replayed after a week, forged, truncated, huge; a fifth of them lost."""

import os
import random
from datetime import timedelta

import pytest

from bookings.models import Appointment, Claim
from cachectl.infra import outbox
from calcom import tasks
from calcom.models import Cursor, WebhookDelivery
from calcom.webhooks import polling
from tests.bookings.helpers import book, cancel, intent
from tests.bookings.test_apply import as_here, as_there
from tests.calcom.webhooks import SECRET, handed_out, post, sign, subscribe
from tests.chaos.clock import Clock, shared_clock
from tests.factories import TUESDAY, Caller, at

FULL = bool(os.environ.get("FAULTS_FULL"))
STEPS = 300 if FULL else 60
DAYS = [day for number in range(60) if (day := TUESDAY + timedelta(days=number)).weekday() < 6]
SEED = int(os.environ.get("FAULTS_SEED", "22"))
BEAT = 5.0  # seconds between two looks at what is due
LATEST = 600.0  # seconds after which our rows must be what Cal.com has
A_WEEK = 7 * 86_400.0


class Line:
    """Cal.com, its messages to our own server, and what our workers do as time goes by."""

    def __init__(self, clock: Clock, simulator, salon) -> None:
        self.clock, self.simulator, self.salon = clock, simulator, salon

    def pass_by(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.clock.advance(seconds)
        self.simulator.set_now(self.clock.now())

    def beat(self) -> None:
        """Do what beat and the workers do: process the inbox, and poll where that is due."""
        outbox.relay()
        for _ in handed_out():
            tasks.process()
        for account_id in polling.due_accounts():
            tasks.poll_account(account_id=account_id)

    def await_truth(self) -> float | None:
        """Return the seconds until our rows were what Cal.com has; None if they were not in time."""
        waited = 0.0
        while as_here() != as_there(self.simulator) or pending():
            if waited >= LATEST:
                return None
            self.pass_by(BEAT)
            self.beat()
            waited += BEAT
        return waited


def pending() -> int:
    return WebhookDelivery.objects.filter(state__in=["received", "failed"]).count()


@pytest.fixture
def line(_jobs, salon, simulator, live_server, monkeypatch):
    """Cal.com sends to our own server, inside each booking request, and loses a fifth on the way."""
    handed_out()
    subscribe(simulator, salon.account, f"{live_server.url}/webhooks/calcom/{salon.account.pk}")
    salon.account.requests_per_minute = 100_000  # what happens here in a minute takes hours elsewhere
    salon.account.save()
    simulator.configure(webhook_loss=0.2, limit=100_000)
    with shared_clock(monkeypatch) as clock:
        Cursor.objects.create(account=salon.account, read_until=clock.now())
        yield Line(clock, simulator, salon)


def live(number: int, dice: random.Random, simulator, salon, calcom) -> None:
    """Let something happen, here or there."""
    start = at(9 + number % 8, on=DAYS[number // 8])
    standing = [each["uid"] for each in simulator.bookings() if each["status"] == "accepted"]
    ours = list(Appointment.objects.filter(state="confirmed", origin="agent"))
    what = dice.choice(["book", "book there", "move there", "cancel there", "cancel"])
    if what == "book" or not standing:
        book(intent(salon.cut, start, Caller("Anna", email=f"anna-{number}@example.com")), calcom)
    elif what == "book there":
        simulator.book_elsewhere(dice.choice([1, 2, 3]), start, email=f"karl-{number}@example.com")
    elif what == "move there":
        simulator.reschedule_elsewhere(dice.choice(standing), start)
    elif what == "cancel there":
        simulator.cancel_elsewhere(dice.choice(standing))
    elif ours:
        cancel(dice.choice(ours), calcom)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_whatever_becomes_of_webhooks_the_end_is_what_cal_com_says(line, salon, calcom, simulator, settings):
    """FM-72, FM-73, FM-76: within ten minutes our rows equal Cal.com's, and a week later nothing old comes back."""
    settings.BOOKINGS_WRITE_WAIT = 5
    dice = random.Random(SEED)
    for number in range(STEPS):
        live(number, dice, simulator, salon, calcom)
        line.pass_by(dice.random() * 90)
        if dice.random() < 0.5:
            line.beat()
    drifted = set(as_here()) ^ set(as_there(simulator))
    duration = line.await_truth()

    sent = simulator.deliveries()
    again = repeat(salon.account.pk, sent, dice)
    forged = attack(salon.account.pk, sent[0]["body"].encode())
    line.pass_by(A_WEEK)
    old = repeat(salon.account.pk, sent, dice, lost_ones=True)
    took_old = line.await_truth()

    lost = sum(message["outcome"] == "lost" for message in sent)
    print(
        f"seed {SEED}: {len(sent)} sent, {lost} lost; {len(drifted)} differed, for {duration} s; repeated {again}, "
        f"a week later {old}, settled in {took_old} s; {forged} forged ones accepted"
    )
    assert None not in {duration, took_old}
    assert [message for message in sent if message["outcome"] not in {202, "lost"}] == []
    assert again["new"] == 0
    assert old["new"] == lost
    assert forged == 0
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) <= {"done", "ignored"}
    assert Claim.objects.exclude(appointment__state="confirmed").count() == 0


def repeat(account_id: int, sent, dice: random.Random, *, lost_ones: bool = False) -> dict[str, int]:
    """Bring every message ten times more, the last ones first; return how many were known, and how many were not."""
    repeats = [message for message in sent if lost_ones or message["outcome"] == 202] * 10
    dice.shuffle(repeats)
    repeats.sort(key=lambda message: -message["id"] // 20)  # backwards, and not quite
    answers = [post(account_id, message["body"].encode()).json() for message in repeats]
    known = sum(answer["received_before"] for answer in answers)
    return {"known": known, "new": len(answers) - known}


def attack(account_id: int, body: bytes) -> int:
    """Send what must not come in; return how much of it did."""
    before = WebhookDelivery.objects.count()
    other = body.replace(b"BOOKING", b"BOOK1NG")
    answers = [
        *(post(account_id, other, signature) for signature in ("", "no-secret-provided", sign(body), "0" * 64)),
        post(account_id, other, sign(other, f"{SECRET} ")),
        post(account_id, other, sign(other, "")),
        post(account_id, body[: len(body) // 2]),
        post(account_id, b'{"triggerEvent": "' + b"x" * 1_100_000 + b'"}'),
        post(account_id + 1, other),
    ]
    assert [answer.status_code for answer in answers] == [401] * 6 + [400, 413, 401]
    return WebhookDelivery.objects.count() - before


@pytest.mark.django_db(transaction=True)
def test_without_a_secret_nothing_comes_in(line, salon, simulator):
    """FM-76: a webhook that was set up without secret is signed `no-secret-provided`, and refused from any sender."""
    state = simulator.app.state
    for webhook in state.webhooks.values():
        webhook.secret = None
    salon.account.webhook_secret = ""
    salon.account.save()
    simulator.configure(webhook_loss=0.0)

    simulator.book_elsewhere(2, at(14))

    assert [message["outcome"] for message in simulator.deliveries()] == [401]
    assert not WebhookDelivery.objects.exists()
