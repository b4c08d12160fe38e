"""The phone call that the demo plays: every line says how long it took, where it came from and what Cal.com saw."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from calcom.simulator import SimulatorClient
from script.lib.agent import Agent, Answer
from script.lib.processes import HarnessError

SLOTS = "GET /v2/slots"
BOOK = "POST /v2/bookings"
CANCEL = "POST /v2/bookings/{uid}/cancel"
SERVICE = "Farbe"
BERLIN = ZoneInfo("Europe/Berlin")
TUESDAY = 1
# Seconds in which a write has come to its end: its own time-out, and a look-up after it.
SETTLED_WITHIN = 40.0
# Seconds that an answer out of the cache may take, on a machine that does other things as well.
AT_ONCE = 0.25


@dataclass
class Transcript:
    """What was said, as it is printed; expectations that fail are collected, so that all of them are seen."""

    simulator: SimulatorClient
    complaints: list[str] = field(default_factory=list)

    def say(self, who: str, words: str) -> None:
        """Print what a person says."""
        print(f"\n{who:>9}: “{words}”")

    @contextmanager
    def line(self, what: str, *, calcom: tuple[str, ...] = ()) -> Iterator["Line"]:
        """Play one request, print its line, and expect exactly these requests at Cal.com because of it."""
        before = len(self.simulator.requests())
        line = Line(what)
        yield line
        polled = "afterUpdatedAt"  # beat polls beside the call
        caused = [each["route"] for each in self.simulator.requests()[before:] if polled not in each["path"]]
        print(f"  {what:<43} {line.duration * 1000:>7.1f} ms  {line.source:<32} {_spelled(caused)}")
        self.expect(sorted(caused) == sorted(calcom), f"{what}: {_spelled(calcom)}, that was expected")

    def expect(self, truth: bool, otherwise: str) -> None:
        """Complain unless it is so."""
        if not truth:
            print(f"  !!! {otherwise}")
            self.complaints.append(otherwise)

    def note(self, text: str) -> None:
        """Print what came of a request."""
        print(f"  {'':<43} → {text}")


@dataclass
class Line:
    """One request of the transcript and what came back, the last answer for those that are asked repeatedly."""

    what: str
    duration: float = 0.0
    status: int = 0
    source: str = ""
    body: Any = None

    def got(self, answer: Answer) -> Answer:
        """Write down an answer."""
        self.duration += answer.duration
        self.status, self.body = answer.status, answer.body
        self.source = answer.headers.get("Cache-Status") or str(answer.status)
        return answer


def play(*, url: str, salon_key: str, practice_key: str, simulator: SimulatorClient, tuesday: date) -> None:
    """
    Play the call.

    Raises:
        StageError: something went otherwise than promised; the message lists what.
    """
    transcript = Transcript(simulator)
    with Agent(url, salon_key) as anna, Agent(url, salon_key) as karl, Agent(url, practice_key) as stranger:
        start = _ask(transcript, anna, tuesday)
        booking_id = _book(transcript, anna, start)
        _second_caller(transcript, karl, tuesday, start)
        _stranger(transcript, stranger, booking_id)
        _cancel(transcript, anna, tuesday, booking_id, start)
    if transcript.complaints:
        raise HarnessError("The call was not as it should be:\n  " + "\n  ".join(transcript.complaints))


def next_tuesday() -> date:
    """Return the next Tuesday that is at least two days ahead in Berlin."""
    ahead = datetime.now(BERLIN).date() + timedelta(days=2)
    return ahead + timedelta(days=(TUESDAY - ahead.weekday()) % 7)


def _ask(transcript: Transcript, agent: Agent, tuesday: date) -> str:
    """Ask for the day twice, and return the start of the slot to take: ten o'clock, or the first there is."""
    transcript.say("Anna", f"Do you have something for colouring on Tuesday, {tuesday:%d %B}?")
    with transcript.line("GET availability, nothing known yet", calcom=(SLOTS,)) as line:
        line.got(_availability(agent, tuesday))
    first = _starts(line)
    transcript.note(_some(first))
    transcript.expect(line.status == 200 and bool(first), "Tuesday should have free slots")

    transcript.say("Anna", "Sorry, what did you say?")
    with transcript.line("GET availability, the same again") as line:
        line.got(_availability(agent, tuesday))
    transcript.expect(_starts(line) == first, "The same question should get the same answer")
    transcript.expect("hit" in line.source, "The second answer should come from the cache")
    transcript.expect(line.duration < AT_ONCE, "The second answer should take milliseconds")
    if not first:
        raise HarnessError("There is nothing to book on Tuesday, so the call ends here.")
    return next((start for start in first if "T10:00" in start), first[0])


def _book(transcript: Transcript, agent: Agent, start: str) -> str:
    transcript.say("Anna", f"Then I'll take {_clock(start)}.")
    wish = {"service": SERVICE, "start": start, "caller": {"name": "Anna Schmidt", "phone": "+4915112345678"}}
    with transcript.line("POST bookings", calcom=(BOOK,)) as line:
        # The agent says something after a second already, so the answer is a 202 whose end it asks for.
        answer = line.got(agent.post("/v1/bookings", wish, Idempotency_Key=str(uuid.uuid4()), Prefer="wait=1"))
        booking_id = _settled(transcript, agent, line, answer, "confirmed")
    transcript.expect(len(_remote(transcript, start)) == 1, "Cal.com should have exactly this booking")
    return booking_id


def _second_caller(transcript: Transcript, agent: Agent, tuesday: date, taken: str) -> None:
    transcript.say("Karl", "Hello, what is free on Tuesday for colouring?")
    with transcript.line("GET availability, by another caller") as line:
        line.got(_availability(agent, tuesday))
    transcript.note(_some(_starts(line)))
    transcript.expect(bool(_starts(line)), "The second caller should be offered something")
    transcript.expect(taken not in _starts(line), "The second caller should not be offered what Anna took")
    transcript.expect(line.duration < AT_ONCE, "The second caller should not wait for Cal.com because Anna booked")


def _stranger(transcript: Transcript, agent: Agent, booking_id: str) -> None:
    transcript.say("practice", "(its agent, in New York, tries the salon's booking id)")
    with transcript.line("GET bookings/…, with another company's key") as line:
        line.got(agent.get(f"/v1/bookings/{booking_id}"))
    transcript.expect(line.status == 404, "Another company should not learn that the booking exists")


def _cancel(transcript: Transcript, agent: Agent, tuesday: date, booking_id: str, start: str) -> None:
    transcript.say("Anna", "I'm so sorry, I have to cancel.")
    with transcript.line("POST bookings/…/cancel", calcom=(CANCEL,)) as line:
        answer = line.got(agent.post(f"/v1/bookings/{booking_id}/cancel", {"reason": "caller changed her mind"}))
        _settled(transcript, agent, line, answer, "cancelled")
    transcript.expect(_remote(transcript, start) == [], "Cal.com should have cancelled the booking")

    with transcript.line("GET availability, afterwards") as line:
        line.got(_availability(agent, tuesday))
    transcript.note(f"{_clock(start)} is free again" if start in _starts(line) else f"{_clock(start)} is still hidden")
    transcript.expect(start in _starts(line), "What was cancelled should be offered again")


def _settled(transcript: Transcript, agent: Agent, line: Line, answer: Answer, state: str) -> str:
    """Follow a 202 to its end, and return the id of the booking."""
    followed = 0
    until = time.monotonic() + SETTLED_WITHIN
    while line.status == 202 or (line.status == 200 and line.body["status"] == "pending"):
        if time.monotonic() > until:
            raise HarnessError(f"{line.what} has not come to an end within {SETTLED_WITHIN:.0f} s.")
        time.sleep(0.25)
        line.duration += 0.25
        line.got(agent.get(answer.headers["Location"]))
        followed += 1
    if line.status not in (200, 201):
        raise HarnessError(f"{line.what} was answered {line.status}: {line.body}")
    booking = line.body["booking"]
    if followed:
        line.source = f"202 after {answer.duration:.1f} s, then {line.status}"
    transcript.expect(booking["state"] == state, f"{line.what} should end {state}, but it is {booking['state']}")
    return str(booking["id"])


def _remote(transcript: Transcript, start: str) -> list[dict[str, Any]]:
    """Return what stands at Cal.com at that time."""
    moment = datetime.fromisoformat(start)
    found = transcript.simulator.bookings()
    standing = [each for each in found if each["status"] == "accepted"]
    return [each for each in standing if datetime.fromisoformat(each["start"]) == moment]


def _availability(agent: Agent, day: date) -> Answer:
    return agent.get("/v1/availability", service=SERVICE, date=day.isoformat())


def _starts(line: Line) -> list[str]:
    return [slot["start"] for slot in line.body.get("slots", [])] if isinstance(line.body, dict) else []


def _some(starts: list[str]) -> str:
    if not starts:
        return "nothing free"
    times = ", ".join(_clock(start) for start in starts[:4])
    return f"{len(starts)} free: {times}{', …' if len(starts) > 4 else ''}"


def _clock(start: str) -> str:
    return start[11:16]


def _spelled(caused: Sequence[str]) -> str:
    parts = [f"{number} {operation}" for operation, number in Counter(caused).items()]
    return f"Cal.com saw {', '.join(parts) or 'nothing'}"
