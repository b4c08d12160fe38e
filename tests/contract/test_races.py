"""What Cal.com does with requests that arrive together, as two probes and one lost race recorded it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract import recordings
from tests.contract.comparing import complaints, differences
from tests.contract.simulator import Stage, stage

pytestmark = recordings.needs_recordings

DAY = "2026-12-10"


@pytest.fixture
def on_stage():
    with stage() as staged:
        staged.replay("me")
        yield staged


def together(stage: Stage, path: str, bodies: list[dict]) -> list:
    """Send requests so that each has been checked before the first takes effect."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        with stage.simulator.holding(f"POST {path}"):
            answers = [threads.submit(stage.send, "POST", path, body) for body in bodies]
            stage.simulator.await_in_flight(len(bodies), f"POST {path}")
        return [answer.result() for answer in answers]


def booking(clock: str, email: str) -> dict:
    attendee = {"name": "A Caller", "email": email, "timeZone": "UTC"}
    return {"start": f"{DAY}T{clock}:00Z", "eventTypeId": 1, "attendee": attendee}


def outcomes(probe: list) -> list[tuple[int, str]]:
    """Reduce what a probe saw to status and, for a refusal, its message."""
    return sorted((status, text if status != 201 else "") for status, text in probe)


def answered(answers: list) -> list[tuple[int, str]]:
    return sorted((answer.status, answer.body.get("message", "")) for answer in answers)


def test_one_of_many_identical_bookings_wins(on_stage):
    probe = recordings.read("_concurrency_probe")["same_slot_different_attendees"]
    bodies = [booking("15:00", f"caller{number}@example.com") for number in range(len(probe))]

    answers = together(on_stage, "/v2/bookings", bodies)

    assert answered(answers) == outcomes(probe)


def test_parallel_repeats_of_one_attendee_have_one_winner(on_stage):
    probe = recordings.read("_concurrency_probe")["same_slot_same_attendee"]

    answers = together(on_stage, "/v2/bookings", [booking("15:00", "caller@example.com")] * len(probe))

    assert answered(answers) == outcomes(probe)


def test_overlapping_bookings_are_both_accepted(on_stage):
    probe = recordings.read("_concurrency_probe")["overlapping"]
    clocks = ["16:00", "16:15"] * (len(probe) // 2)
    bodies = [booking(clock, f"caller{number}@example.com") for number, clock in enumerate(clocks)]

    answers = together(on_stage, "/v2/bookings", bodies)

    assert answered(answers) == outcomes(probe)
    assert len(on_stage.simulator.overlaps()) == 1


def test_pairs_of_the_second_probe_end_the_same_way(on_stage):
    log = recordings.read("_concurrency_probe_repeat")["log"]
    booked = [entry for entry in log if entry[0] != "res"]
    reserved = [entry[1] for entry in log if entry[0] == "res"]
    hold = {"eventTypeId": 1, "slotStart": f"{DAY}T20:00:00Z"}

    bookings = together(
        on_stage, "/v2/bookings", [booking("16:00", "a@example.com"), booking("16:15", "b@example.com")]
    )
    holds = together(on_stage, "/v2/slots/reservations", [hold, hold])

    assert [answer.status for answer in bookings] == max(booked, key=booked.count)
    assert [answer.status for answer in holds] == max(reserved, key=reserved.count)


def test_loser_of_a_race_gets_the_bare_409(on_stage):
    recording = recordings.read("booking_create_race_lost_409")
    body = recording["request"]["body"]

    answers = together(on_stage, "/v2/bookings", [body, body])

    [lost] = [answer for answer in answers if answer.status == recording["response"]["status"]]
    assert list(differences(recording["response"]["body"], lost.body, {})) == []
    assert complaints("POST", "/v2/bookings", lost.status, lost.body) == []
