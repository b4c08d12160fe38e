"""
`python -m tests.bookings.language.guide`: write docs/guides/phrases.md, what callers may say, from the exams.

Each exam is a list of phrases with what they are expected to mean, so the page names nothing that is not tested.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

EXAM = Path(__file__).parent / "exam"
PAGE = Path(__file__).parents[3] / "docs" / "guides" / "phrases.md"
NAMES = {"de": "German", "en": "English"}
INTRODUCTION = """# What callers may say about time

`when.phrase` takes the caller's own words. Slotline understands them, or asks one question; it never guesses. Try a
phrase with `manage.py try_phrase "Mittwoch nach der Mittagspause"`; with `--json` it reads lines
`{"lang", "now", "phrase", "zone"}`.

This page is written by `python -m tests.bookings.language.guide` from the exams in `tests/bookings/language/exam`. A
time is a start that fits; of a stretch, the end itself does not. "ask" means that the caller is asked, with the
readings that the question names, if there are any. Opening hours are eight to twenty here: of a branch, its own count.
"""


def page() -> str:
    """Return the page as it should be."""
    return "\n".join([INTRODUCTION, *(_section(path) for path in sorted(EXAM.glob("*.jsonl")))])


def _section(path: Path) -> str:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    moments = dict.fromkeys(each["now"] for each in lines)
    tables = [_table([each for each in lines if each["now"] == now]) for now in moments]
    return f"## {NAMES.get(path.stem, path.stem)}\n\n" + "\n".join(tables)


def _table(lines: list[dict[str, Any]]) -> str:
    now = datetime.fromisoformat(lines[0]["now"])
    rows = [f"| {each['lang']} | {each['phrase'] or '(nothing)'} | {_meaning(each)} |" for each in lines]
    head = ["| language | phrase | understood |", "| --- | --- | --- |"]
    return "\n".join([f"Said on {now:%A, %Y-%m-%d at %H:%M}:", "", *head, *rows, ""])


def _meaning(line: dict[str, Any]) -> str:
    said = [_window(first, last) for first, last in line["windows"] or []]
    what = ["ask"] if line["ask"] else ["soonest"] if line["earliest"] else []
    return ": ".join([*what, *([" · ".join(said)] if said else [])])


def _window(first: str, last: str | None) -> str:
    begins = datetime.fromisoformat(first)
    if last is None:
        return f"from {_at(begins)}"
    ends = datetime.fromisoformat(last)
    if ends - begins == timedelta(minutes=1):
        return _at(begins)
    if ends - begins == timedelta(days=1) and begins.hour == begins.minute == 0:
        return f"{begins:%a %Y-%m-%d}"
    return f"{_at(begins)} to {ends:%H:%M}" if begins.date() == ends.date() else f"{_at(begins)} to {_at(ends)}"


def _at(moment: datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M}" if (moment.hour or moment.minute) else f"{moment:%a %Y-%m-%d}"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), "utf-8")
