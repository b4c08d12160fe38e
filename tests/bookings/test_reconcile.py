"""Everything in a window is compared with Cal.com, both ways, and put right; a dry run only says what differs."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from bookings.models import Appointment, Claim
from bookings.sync.reconcile import is_suspicious
from calcom.errors import OtherOwner
from calcom.models import Account, Cursor
from calcom.sync import sync
from calcom.webhooks import polling
from tests import factories
from tests.bookings.helpers import book, claims_of, intent
from tests.bookings.test_apply import as_here, as_there
from tests.factories import KARL, TUESDAY, WEDNESDAY, at


def run(*arguments: str) -> str:
    """Run the command; return what it printed."""
    printed = StringIO()
    call_command("reconcile_bookings", *arguments, stdout=printed)
    return printed.getvalue()


@pytest.fixture
def drifted(salon, calcom, simulator):
    """Four appointments, of which three were changed at Cal.com without a word, and one more there."""
    mine = [book(intent(salon.colour, at(hour), KARL), calcom).appointment for hour in (9, 11, 13, 15)]
    simulator.reschedule_elsewhere(mine[0].remote_uid, at(10, on=WEDNESDAY), webhook=False)
    simulator.cancel_elsewhere(mine[1].remote_uid, webhook=False)
    simulator.book_elsewhere(3, at(10), webhook=False)
    return mine


def test_drift_is_put_right(drifted, simulator):
    """FM-73: afterwards here and there are the same."""
    said = run()

    assert as_here() == as_there(simulator)
    assert "6 bookings compared" in run()
    for what in ("moved there: put right", "cancelled there: put right", "made there: put right"):
        assert what in said
    assert "3 differ, 3 put right; 0 overlap" in said


def test_afterwards_nothing_differs(drifted, simulator):
    """Safe to run twice."""
    run()

    assert "0 differ" in run()


def test_a_dry_run_changes_nothing(drifted, simulator):
    """It says the same, and neither here nor there anything happens."""
    before = as_here(), as_there(simulator)

    said = run("--dry-run")

    assert (as_here(), as_there(simulator)) == before
    assert "moved there\n" in said
    assert "3 differ, 0 put right" in said


def test_what_was_moved_out_of_the_window_is_followed(salon, calcom, simulator):
    """The list does not show it any more; it is looked up by its uid."""
    mine = book(intent(salon.colour, at(9)), calcom).appointment
    moved = simulator.reschedule_elsewhere(mine.remote_uid, at(9, on=TUESDAY + timedelta(days=7)), webhook=False)

    run("--first", str(TUESDAY), "--last", str(TUESDAY))

    mine.refresh_from_db()
    assert (mine.remote_uid, mine.start) == (moved["uid"], at(9, on=TUESDAY + timedelta(days=7)))


def test_what_is_nowhere_at_cal_com_is_cancelled_here(salon, calcom, simulator):
    mine = book(intent(salon.colour, at(9)), calcom).appointment
    Appointment.objects.update(remote_uid="no-such-booking")

    said = run("--dry-run")
    assert f"{mine.reference}  not to be found there" in said
    run()

    mine.refresh_from_db()
    assert (mine.state, claims_of(mine)) == ("cancelled", {})


def test_overlaps_are_counted(salon, calcom, simulator):
    """Two of one host at one time: stored, and said."""
    simulator.book_elsewhere(2, at(14), webhook=False)
    simulator.book_elsewhere(2, at(14, 30), webhook=False)

    assert "1 overlap others of the same host" in run()
    assert Claim.objects.filter(conflicting=True).count() == 1


def test_one_account_that_fails_does_not_keep_the_others(salon, calcom, simulator):
    """The exit code says so, and which."""
    Account.objects.create(name="Dark", base_url=factories.NOWHERE, api_key="x")

    with pytest.raises(CommandError, match="Dark was compared in part only, 0 bookings"):
        run()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--account", "999"], "no account 999"), (["--first", "2027-01-02", "--last", "2027-01-01"], "comes before")],
)
def test_wrong_arguments_are_told(db, arguments, complaint):
    """In a sentence."""
    with pytest.raises(CommandError, match=complaint):
        run(*arguments)


def test_polling_puts_the_same_right(drifted, salon, simulator):
    """FM-73: the same judgement, from the list of what changed lately."""
    Cursor.objects.create(account=salon.account, read_until=drifted[0].created_at)

    polling.poll(salon.account)

    assert as_here() == as_there(simulator)


def test_many_cancelled_and_one_announced(salon, calcom, simulator):
    """FM-73: cancelling three announces one; polling finds the others."""
    mine = [book(intent(salon.colour, at(hour), KARL), calcom).appointment for hour in (9, 11, 13)]
    Cursor.objects.create(account=salon.account, read_until=mine[0].created_at)
    for each in mine:
        simulator.cancel_elsewhere(each.remote_uid, webhook=False)

    polling.poll(salon.account)

    assert as_here() == as_there(simulator) == []


# --- another account's key, and too many differences ----------------------------------------------------------------


@pytest.fixture
def many(salon, calcom, simulator):
    """Eleven appointments of the salon."""
    hours = [(salon.colour, day, hour) for day in (TUESDAY, WEDNESDAY) for hour in (9, 11, 13, 15)]
    hours += [(salon.beard, TUESDAY, hour) for hour in (9, 10, 11)]
    return [book(intent(service, at(hour, on=day)), calcom).appointment for service, day, hour in hours]


def states() -> set[str]:
    """Return the states of all appointments."""
    return set(Appointment.objects.values_list("state", flat=True))


@pytest.mark.parametrize("is_synced", [True, False], ids=["owner known", "owner unknown"])
@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_key_of_another_account_cancels_nothing(many, salon, simulator, is_synced, arguments):
    """It is valid, and knows none of the bookings."""
    if is_synced:
        sync(account=salon.account, now=timezone.now())
    Account.objects.update(api_key=factories.PRACTICE_CREDENTIAL)

    with pytest.raises(CommandError, match=r"its API key is that of Practice New York \(user 201 at Cal.com\)"):
        run(*arguments)

    assert states() == {"confirmed"}
    assert simulator.count("GET /v2/bookings") == 0


def test_new_key_of_the_same_owner_is_taken(many, salon, simulator):
    """Keys are replaced; whose they are stays."""
    run()
    simulator.issue_key("salon", "cal_new")
    simulator.revoke_key(factories.SALON_CREDENTIAL)
    Account.objects.update(api_key="cal_new")

    assert "11 bookings compared, 0 differ" in run()


def test_key_of_a_host_is_not_that_of_the_account(many, salon, simulator):
    """An employee's key lists the employee's bookings only."""
    simulator.issue_key("ben", factories.BENS_CREDENTIAL)
    Account.objects.update(api_key=factories.BENS_CREDENTIAL)

    with pytest.raises(CommandError, match="that of Ben"):
        run()

    assert states() == {"confirmed"}


def test_sync_and_polling_refuse_the_key_of_another_account(salon, calcom, simulator):
    """Event types stay on offer, and no booking of the other account is imported."""
    sync(account=salon.account, now=timezone.now())
    simulator.book_elsewhere(11, at(10), webhook=False)
    Account.objects.update(api_key=factories.PRACTICE_CREDENTIAL)
    account = Account.objects.get()

    for ask in (lambda: sync(account=account, now=timezone.now()), lambda: polling.poll(account)):
        with pytest.raises(OtherOwner):
            ask()

    assert account.event_types.filter(active=True).exists()
    assert not Appointment.objects.exists()


def test_other_owner_can_be_accepted(salon, calcom, simulator):
    """The company has moved to another user of Cal.com: staff say so once."""
    sync(account=salon.account, now=timezone.now())
    Account.objects.update(api_key=factories.PRACTICE_CREDENTIAL)
    with pytest.raises(CommandError, match="--accept"):
        call_command("sync_calcom", stdout=StringIO())

    call_command("sync_calcom", "--accept", stdout=StringIO())

    assert Account.objects.get().owner_calcom_id == 201
    assert "0 differ" in run()


def test_too_many_differences_are_left_to_a_person(many, simulator):
    """More than ten, and more than a twentieth: nothing is put right before a person has looked."""
    for each in many:
        simulator.cancel_elsewhere(each.remote_uid, webhook=False)

    with pytest.raises(CommandError, match="11 of 11 bookings differ"):
        run()
    assert states() == {"confirmed"}
    assert "11 differ, 0 put right" in run("--dry-run")

    assert "11 differ, 11 put right" in run("--accept")
    assert states() == {"cancelled"}


def test_ten_differences_are_put_right(many, simulator):
    """As in any night."""
    for each in many[1:]:
        simulator.cancel_elsewhere(each.remote_uid, webhook=False)

    assert "10 differ, 10 put right" in run()


@pytest.mark.parametrize(
    ("differences", "compared", "expected"),
    [(10, 10, False), (11, 11, True), (11, 219, True), (11, 220, False), (50, 1000, False), (51, 1000, True)],
)
def test_suspicion_grows_with_what_was_compared(differences, compared, expected):
    """The larger of ten and five per cent."""
    assert is_suspicious(differences, compared) is expected


def test_first_comparison_of_an_account_imports_all(salon, calcom, simulator):
    """It is how an account gets the bookings it has: nothing can be lost."""
    for hour in (9, 10, 11, 12, 13, 14):
        for day in (TUESDAY, WEDNESDAY):
            simulator.book_elsewhere(3, at(hour, on=day), webhook=False)

    assert "12 differ, 12 put right" in run()
