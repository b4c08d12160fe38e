"""`manage.py try_phrase`."""

import io
import json
import sys

import pytest
from django.core.management import CommandError, call_command

LINE = {"lang": "de", "now": "2026-11-24T10:00", "phrase": "morgen um zehn", "zone": "Europe/Berlin"}


def tried(*arguments: str, given: str = "", monkeypatch: pytest.MonkeyPatch) -> str:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    call_command("try_phrase", *arguments, stdout=out)
    return out.getvalue()


def test_try_phrase_answers_each_line_with_the_members_given(monkeypatch) -> None:
    lines = [LINE, LINE | {"phrase": "nächsten Mittwoch"}, LINE | {"phrase": "so bald wie möglich"}]

    written = tried("--json", given="\n".join(json.dumps(each) for each in lines), monkeypatch=monkeypatch)

    exact, asked, soonest = (json.loads(each) for each in written.splitlines())
    assert {name: exact[name] for name in LINE} == LINE
    assert (exact["ask"], exact["earliest"], exact["question"]) == (False, False, None)
    assert exact["windows"] == [["2026-11-25T10:00", "2026-11-25T10:01"]]
    assert (asked["ask"], len(asked["windows"])) == (True, 2)
    assert asked["question"].endswith("?")
    assert (soonest["earliest"], soonest["windows"]) == (True, [["2026-11-24T10:00", None]])


def test_try_phrase_shows_one_phrase_in_words(monkeypatch) -> None:
    written = tried("nächsten Mittwoch um elf", "--now", "2026-11-24T10:00", monkeypatch=monkeypatch)

    assert "2026-11-25T11:00" in written
    assert "Ask: Meinen Sie Mittwoch, fünfundzwanzigster November" in written


@pytest.mark.parametrize("line", ["{", "[]", '{"lang": "de"}', '{"phrase": "morgen", "zone": "Nowhere/Else"}'])
def test_try_phrase_says_which_line_it_cannot_read(line, monkeypatch) -> None:
    with pytest.raises(CommandError, match="This"):
        tried("--json", given=line, monkeypatch=monkeypatch)
