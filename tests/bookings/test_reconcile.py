"""Everything in a window is compared with Cal.com, both ways, and put right; a dry run only says what differs."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from bookings.models import Appointment, Claim
from calcom import polling
from calcom.models import Account, Cursor
from tests import cast
from tests.bookings.stage import book, claims_of, wish
from tests.bookings.test_mirroring import as_here, as_there
from tests.cast import KARL, TUESDAY, WEDNESDAY, at


def run(*arguments: str) -> str:
    """Run the command; return what it printed."""
    printed = StringIO()
    call_command("reconcile_bookings", *arguments, stdout=printed)
    return printed.getvalue()


@pytest.fixture
def drifted(salon, calcom, simulator):
    """Four appointments, of which three were changed at Cal.com without a word, and one more there."""
    mine = [book(wish(salon.colour, at(hour), KARL), calcom).appointment for hour in (9, 11, 13, 15)]
    simulator.move_elsewhere(mine[0].remote_uid, at(10, on=WEDNESDAY), webhook=False)
    simulator.cancel_elsewhere(mine[1].remote_uid, webhook=False)
    simulator.book_elsewhere(3, at(10), webhook=False)
    return mine


def test_drift_is_put_right(drifted, simulator):
    """L-73: afterwards here and there are the same."""
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
    mine = book(wish(salon.colour, at(9)), calcom).appointment
    moved = simulator.move_elsewhere(mine.remote_uid, at(9, on=TUESDAY + timedelta(days=7)), webhook=False)

    run("--first", str(TUESDAY), "--last", str(TUESDAY))

    mine.refresh_from_db()
    assert (mine.remote_uid, mine.start) == (moved["uid"], at(9, on=TUESDAY + timedelta(days=7)))


def test_what_is_nowhere_at_cal_com_is_cancelled_here(salon, calcom, simulator):
    """Cal.com knows no such booking: it takes nobody's time."""
    mine = book(wish(salon.colour, at(9)), calcom).appointment
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
    Account.objects.create(name="Dark", base_url=cast.NOWHERE, api_key="x")

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
    """L-73: the same judgement, from the list of what changed lately."""
    Cursor.objects.create(account=salon.account, read_until=drifted[0].created_at)

    polling.poll(salon.account)

    assert as_here() == as_there(simulator)


def test_many_cancelled_and_one_announced(salon, calcom, simulator):
    """L-73: cancelling three announces one; polling finds the others."""
    mine = [book(wish(salon.colour, at(hour), KARL), calcom).appointment for hour in (9, 11, 13)]
    Cursor.objects.create(account=salon.account, read_until=mine[0].created_at)
    for each in mine:
        simulator.cancel_elsewhere(each.remote_uid, webhook=False)

    polling.poll(salon.account)

    assert as_here() == as_there(simulator) == []
