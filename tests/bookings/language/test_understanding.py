"""What callers say about time: the exam of each language, and what holds for every phrase."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.availability.search import Status
from bookings.language import sentences
from bookings.language.resolver import Resolver
from bookings.language.sentences import SearchResult, Time
from bookings.language.tokens import LONGEST_PHRASE
from bookings.language.understanding import Understanding, understand

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 24, 10)  # noqa: DTZ001  what clocks show
EXAM = Path(__file__).parent / "exam"
EXAMS = sorted(path.stem for path in EXAM.glob("*.jsonl"))


def questions(language: str) -> list[dict[str, Any]]:
    """The lines of an exam."""
    return [json.loads(line) for line in (EXAM / f"{language}.jsonl").read_text("utf-8").splitlines()]


def answer(question: dict[str, Any], **changes: Any) -> Understanding:
    """What is understood of a line of an exam."""
    said = question | changes
    return understand(
        said["phrase"],
        language=said["lang"],
        now=datetime.fromisoformat(said["now"]),
        zone=ZoneInfo(said["zone"]),
    )


def heard(phrase: str, language: str = "de", now: datetime = NOW, **options: Any) -> Understanding:
    return understand(phrase, language=language, now=now, zone=BERLIN, **options)


def spelt(found: Understanding) -> list[list[str | None]]:
    return [
        [first.isoformat(timespec="minutes"), last and last.isoformat(timespec="minutes")]
        for first, last in found.windows
    ]


def is_right(question: dict[str, Any], found: Understanding) -> bool:
    """A question back is right where one was expected, a reading where it is the expected one."""
    if found.ask or question["ask"]:
        named = question["windows"] is None or spelt(found) == question["windows"]
        return found.ask and question["ask"] and named
    return spelt(found) == question["windows"] and found.earliest == question["earliest"]


@pytest.mark.parametrize("language", EXAMS)
def test_exam_has_no_silent_mistake_and_is_passed(language: str) -> None:
    """FM-55: what is not understood is asked; 97 of 100 phrases are understood as they were meant."""
    results = [(each, answer(each)) for each in questions(language)]

    wrong = [(question["phrase"], spelt(found)) for question, found in results if not is_right(question, found)]
    silent = [question["phrase"] for question, found in results if not is_right(question, found) and not found.ask]
    assert not silent
    assert len(wrong) <= len(results) * 0.03, wrong


@pytest.mark.parametrize("language", EXAMS)
def test_exam_is_long_enough_and_asks_nothing_twice(language: str) -> None:
    said = [(each["lang"], each["now"], each["phrase"]) for each in questions(language)]

    assert len(said) >= 400
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("language", EXAMS)
def test_question_can_be_spoken_whatever_was_said(language: str) -> None:
    """FM-55: one line, at most 250 characters, no figures, a question at its end."""
    asked = [found.question for each in questions(language) if (found := answer(each)).ask]

    for question in asked:
        assert 0 < len(question) <= sentences.LONGEST
        assert re.fullmatch(r"[^\W\d_][\w ,.'\u2019-]*[.?]( [\w ,.'\u2019-]+\?)?", question), question
        assert question.endswith("?"), question


@pytest.mark.parametrize("language", EXAMS)
def test_no_window_lies_in_the_past_or_touches_another(language: str) -> None:
    for question in questions(language):
        windows = answer(question).windows

        assert all(first >= datetime.fromisoformat(question["now"]) for first, _ in windows), question["phrase"]
        assert all(last is None or last > first for first, last in windows), question["phrase"]
        assert all(one[1] and one[1] <= two[0] for one, two in pairwise(windows))


@pytest.mark.parametrize("language", EXAMS)
def test_unknown_word_becomes_a_question(language: str) -> None:
    """FM-55: the word is named, wherever in the phrase it stands."""
    for question in questions(language)[::7]:
        for phrase in (f"Xylophon {question['phrase']}", f"{question['phrase']} xylophon"):
            found = answer(question, phrase=phrase)

            assert found.ask, phrase
            assert "xylophon" in found.unknown, phrase
            assert "xylophon" in found.question, phrase


FILLERS = {"de": ("äh", "also", "bitte", "ja", "gern", "hallo"), "en": ("um", "well", "please", "uh", "yes")}


@pytest.mark.parametrize("language", EXAMS)
def test_fillers_around_a_phrase_change_nothing(language: str) -> None:
    for place, question in enumerate(questions(language)):
        fillers = FILLERS[language]
        before, after = fillers[place % len(fillers)], fillers[(place + 1) % len(fillers)]

        plain, filled = answer(question), answer(question, phrase=f"{before} {question['phrase']} {after}")
        assert (filled.windows, filled.ask, filled.earliest) == (plain.windows, plain.ask, plain.earliest), question


@pytest.mark.parametrize(
    "phrase",
    [
        "morgen um zehn", "übermorgen nachmittag", "kommenden Freitag ab drei", "nächste Woche", "am Wochenende",
        "Mittwoch oder Donnerstag vormittags", "nächste Woche, aber nicht am Montag", "Mittwoch in einer Woche",
        "von Mittwoch bis Freitag", "in drei Tagen", "so bald wie möglich", "diesen Freitag zwischen zehn und zwölf",
    ],
)  # fmt: skip
@given(weeks=st.integers(1, 50))
def test_relative_reading_moves_along_with_now(phrase: str, weeks: int) -> None:
    shift = timedelta(weeks=weeks)
    base, moved = heard(phrase), heard(phrase, now=NOW + shift)

    assert not base.ask
    assert moved.windows == tuple((first + shift, last and last + shift) for first, last in base.windows)


CLOCKS = st.builds(time, st.integers(8, 19), st.sampled_from([0, 5, 10, 15, 20, 30, 45]))


@pytest.mark.parametrize("language", EXAMS)
@given(days=st.integers(0, 300), at=CLOCKS)
def test_time_that_is_spoken_is_understood_back(language: str, days: int, at: time) -> None:
    """FM-55: a caller may repeat what they heard."""
    start = datetime.combine(NOW.date() + timedelta(days=days), at)
    if start < NOW:
        start += timedelta(days=1)

    found = heard(sentences.one_time(start.replace(tzinfo=BERLIN), NOW.date(), language), language)

    assert not found.ask, found.question
    assert found.windows == ((start, start + timedelta(minutes=1)),)


@given(
    times=st.lists(st.tuples(st.integers(1, 40), CLOCKS), min_size=1, max_size=3, unique=True),
    status=st.sampled_from([Status.AVAILABLE, Status.ALTERNATIVES, Status.DEGRADED]),
)
def test_sentence_of_a_search_is_understood_back(times: list[tuple[int, time]], status: Status) -> None:
    """FM-55: agents may hand on what was offered, word for word."""
    starts = sorted(datetime.combine(NOW.date() + timedelta(days=days), at) for days, at in times)
    free = [Time(start.replace(tzinfo=BERLIN)) for start in starts]
    result = SearchResult(status, free, NOW.date(), NOW.date() + timedelta(days=60), exact=len(free) == 1)

    found = heard(sentences.search_result(result, "de"))

    assert not found.ask, found.question
    assert found.windows
    assert [first for first, _ in found.windows] == starts[: len(found.windows)]  # a long sentence names fewer


def test_what_was_understood_can_be_said_back() -> None:
    """FM-55: the sentence for the agent means the same; ends that include their minute and gaps are left out."""
    tried = 0
    for question in questions("de"):
        found = answer(question)
        if found.ask or len(found.windows) != 1:
            continue
        first, last = found.windows[0]
        if last and last.minute % 5 == 1 and last - first > timedelta(minutes=1):
            continue
        if any(at and 0 < at.hour < 8 for at in (first, last)):
            continue  # three o'clock is in the afternoon, where nothing else is said
        tried += 1
        back = answer(question, phrase=found.spoken, lang="de")
        assert back.windows == found.windows or back.ask, (question["phrase"], found.spoken, back.windows)
    assert tried > 200


@pytest.mark.parametrize("language", EXAMS)
@given(text=st.text(max_size=LONGEST_PHRASE + 20))
def test_any_text_is_answered(language: str, text: str) -> None:
    found = heard(text, language)

    assert found.ask or found.windows
    assert bool(found.question) == found.ask


def words_of(language: str) -> list[str]:
    return sorted({word for each in questions(language) for word in each["phrase"].split()})


@pytest.mark.parametrize("language", EXAMS)
@given(data=st.data())
def test_any_order_of_known_words_is_answered_in_bounded_steps(language: str, data: Any) -> None:
    """The windows looked at, not the wall clock: a phrase of any words lists a few hundred days at most."""
    phrase = " ".join(data.draw(st.lists(st.sampled_from(words_of(language)), max_size=60)))
    calls: list[int] = []
    keep = Resolver._keep

    def counting(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        keep(*args, **kwargs)

    with patch.object(Resolver, "_keep", counting):
        found = heard(phrase, language)

    assert found.ask or found.windows
    assert len(calls) <= 3000


def offers(*hours: int) -> Iterator[datetime]:
    return (datetime(2026, 11, 25, hour) for hour in hours)  # noqa: DTZ001  what clocks show


@pytest.mark.parametrize(
    ("phrase", "hour"),
    [("das zweite", 11), ("den ersten Termin bitte", 9), ("das letzte", 16), ("lieber der frühere", 9)],
)
def test_reference_to_an_offer_is_resolved(phrase: str, hour: int) -> None:
    found = heard(phrase, offered=tuple(offers(9, 11, 16)))

    assert not found.ask
    assert [first.hour for first, _ in found.windows] == [hour]


def test_later_than_one_offer_is_resolved_and_than_several_is_asked() -> None:
    (one,), several = offers(11), tuple(offers(9, 11, 16))

    assert heard("lieber eine Stunde später", offered=[one]).windows[0][0] == one + timedelta(hours=1)
    assert heard("lieber eine Stunde später", offered=several).ask
    assert heard("lieber eine Stunde später").ask


def test_clock_hour_follows_the_opening_hours() -> None:
    """FM-55: where both halves of the day fit, both are named."""
    late = [[(7 * 60, 22 * 60)]] * 7

    assert heard("morgen um acht").windows[0][0].hour == 8
    found = heard("morgen um acht", hours=late)
    assert found.ask
    assert [first.hour for first, _ in found.windows] == [8, 20]
    assert "acht Uhr" in found.question
    assert "zwanzig Uhr" in found.question


@pytest.mark.parametrize(
    ("now", "phrase", "code"),
    [
        (datetime(2027, 3, 25, 10), "am Sonntag um halb drei nachts", "time_nonexistent"),  # noqa: DTZ001
        (datetime(2026, 10, 22, 10), "am Sonntag um halb drei nachts", "time_ambiguous"),  # noqa: DTZ001
        (NOW, "gestern um zehn", "date_in_past"),
        (NOW, "Mittwoch, den dritten Dezember", "time_ambiguous"),
        (NOW, "Mittwoch bei Vollmond", "time_not_understood"),
    ],
)
def test_question_carries_its_problem_code(now: datetime, phrase: str, code: str) -> None:
    found = heard(phrase, now=now)

    assert (found.ask, found.code) == (True, code)


def test_unknown_language_is_asked() -> None:
    assert heard("demain à dix heures", "fr").ask


@pytest.mark.parametrize(
    ("phrase", "language", "other"),
    [
        ("morgen um zehn", "en", "de"),
        ("tomorrow at ten", "de", "en"),
        ("tomorrow at ten", "en", ""),
        ("demain at ten", "en", ""),
    ],
)
def test_phrase_of_the_other_language_is_asked_with_a_hint(phrase: str, language: str, other: str) -> None:
    """The conversation keeps its language, and the agent learns which one it was."""
    found = heard(phrase, language)

    assert found.other_language == other
    assert found.ask == (bool(other) or "demain" in phrase)
