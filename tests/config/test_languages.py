"""The admin speaks German and English, with a clock of 24 hours; programs are answered in one language."""

import gettext
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation

from bookings.frame import words
from bookings.models import Claim, Customer, Membership, Role
from monitoring.admin_pages import local_time
from script.lib import catalogue
from tests.factories import ANNA, BERLIN, at

ROOT = Path(settings.BASE_DIR)
GERMAN = {"headers": {"Accept-Language": "de-DE,de;q=0.9"}}


@pytest.fixture
def desk(client, salon) -> Client:
    """The salon's reception."""
    user = User.objects.create_user("petra")
    Membership.objects.create(user=user, company=salon.company, role=Role.RECEPTION)
    client.force_login(user)
    return client


def test_no_text_lacks_german():
    """`python -m script.lib.catalogue` adds it to the catalogue; there it wants a translation."""
    assert catalogue.untranslated() == []


def test_catalogue_has_no_text_that_is_gone():
    texts = {message if isinstance(message, str) else message[0] for message, _ in catalogue.wanted()}

    assert [entry.id for entry in catalogue.read() if entry.id and _first(entry) not in texts] == []


def test_finder_sees_python_templates_and_models():
    """Else the test before would pass for want of texts."""
    found = {message if isinstance(message, str) else message[0] for message, _ in catalogue.wanted()}

    assert {"Rescheduled to %s.", "Second factor", "reserved time", "attempts", "%(number)s caller waits"} <= found


def test_placeholders_are_those_of_the_text():
    """A wrong one would break a page in one language only."""
    wrong = [entry.id for entry in catalogue.read() if entry.id and not all(map(_same_places, _pairs(entry)))]

    assert wrong == []


def _first(entry) -> str:
    return entry.id if isinstance(entry.id, str) else entry.id[0]


def _pairs(entry) -> list[tuple[str, str]]:
    if isinstance(entry.id, str):
        return [(entry.id, entry.string)]
    return [(entry.id[1], string) for string in entry.string[1:]]


def _same_places(pair: tuple[str, str]) -> bool:
    places = [sorted(re.findall(r"%\(\w+\)[sd]|%[sd]|\{\w*\}", text)) for text in pair]
    return places[0] == places[1]


def test_page_is_german_for_a_german_browser(desk):
    shown = desk.get("/admin/bookings/callbackrequest/", **GERMAN)

    assert shown["Content-Language"] == "de"
    assert "Rückrufe" in shown.text
    assert "Niemand wartet auf einen Rückruf." in shown.text
    assert "Callbacks" not in re.sub(r"<[^>]*>", "", shown.text)


def test_list_has_german_columns(desk, salon):
    """They are names of fields, which no one marked."""
    Customer.objects.create(company=salon.company, name=ANNA.name)
    shown = desk.get("/admin/bookings/customer/", **GERMAN).text

    assert "Kunden" in shown
    assert "angelegt" in shown.casefold()


def test_login_is_german_and_of_unfold_nothing_is_left(client, db):
    shown = client.get("/admin/login/", **GERMAN).text

    assert "Willkommen bei" in shown
    assert "Welcome" not in shown


def test_language_can_be_chosen(desk):
    desk.post("/i18n/setlang/", {"language": "de", "next": "/admin/"})

    assert 'lang="de"' in desk.get("/admin/bookings/customer/").text


def test_programs_are_answered_in_english(client, salon):
    """An agent reads fields and codes; a text that changes with a header would be a puzzle."""
    heard = [
        client.post(
            "/v1/bookings",
            {},
            "application/json",
            headers={"Accept-Language": language, "Authorization": f"Bearer {salon.key}"},
        ).json()["errors"]
        for language in ("de", "en")
    ]

    assert heard[0] == heard[1]


@pytest.mark.parametrize(
    ("language", "shown"), [("en", "Tue 24 Nov 2026, 15:05 CET"), ("de", "Di, 24. Nov 2026, 15:05 CET")]
)
def test_times_are_of_24_hours_in_both_languages(language, shown):
    with translation.override(language):
        assert local_time(at(15, 5, on=at(12).date().replace(2026, 11, 24), zone=BERLIN), "Europe/Berlin") == shown


def test_people_read_their_own_words(db):
    """The code's word stays in the code."""
    assert str(Claim._meta.verbose_name) == "reserved time"
    assert str(Claim._meta.get_field("conflicting").verbose_name) == "conflict"
    assert Claim._meta.get_field("conflicting").deconstruct()[3].get("verbose_name") is None
    assert len(words.WORDS) + len(words.FIELDS) > 20


def test_fresh_clone_speaks_german(tmp_path):
    """`script/setup` compiles what is committed; no compiled catalogue is."""
    committed = subprocess.run(["git", "ls-files", "*.mo"], cwd=ROOT, capture_output=True, text=True, check=True)
    (tmp_path / "script").mkdir()
    shutil.copy(ROOT / "script" / "setup", tmp_path / "script")
    shutil.copy(ROOT / "requirements-dev.lock", tmp_path)
    shutil.copytree(ROOT / "config" / "locale", tmp_path / "config" / "locale", ignore=shutil.ignore_patterns("*.mo"))
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")

    subprocess.run(["sh", "script/setup"], cwd=tmp_path, check=True)

    german = gettext.translation("django", tmp_path / "config" / "locale", languages=["de"])
    assert german.gettext("Callbacks") == "Rückrufe"
    assert committed.stdout == ""


def test_language_of_a_page_does_not_stay_for_the_next_request(desk, client):
    """A thread serves many, and keeps the language that was active last."""
    desk.get("/admin/bookings/customer/", **GERMAN)

    assert translation.get_language() == settings.LANGUAGE_CODE
