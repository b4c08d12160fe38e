"""Services by id, and by words that match a name or an alias."""

import pytest

from bookings.api import directory
from bookings.api.directory import named, ranked
from bookings.api.problems import ServiceNotOffered
from bookings.models import Service

CUT = Service(name="Herrenhaarschnitt", aliases=["Haarschnitt Herren", "Herrenschnitt"])
COLOUR = Service(name="Färben", aliases=["Haare färben", "Colour"])
CHECK_UP = Service(name="Check-up", aliases=[])
OFFERED = [CUT, COLOUR, CHECK_UP]


def test_service_by_id_reads_one_row(salon, django_assert_num_queries):
    """A company may have ten thousand services; a look-up by id must not load them all."""
    directory.clear()

    with django_assert_num_queries(1) as asked:
        assert directory.service_of(salon.agent_key, f"sv_{salon.cut.pk}") == salon.cut
        assert directory.service_of(salon.agent_key, str(salon.cut.pk)) == salon.cut

    assert f'"bookings_service"."id" = {salon.cut.pk}' in asked.captured_queries[0]["sql"]


def test_service_id_of_another_company_is_unknown(salon, practice):
    """FM-26: in either spelling, and although the other company has just cached it."""
    assert directory.service_of(practice.agent_key, f"sv_{practice.check_up.pk}") == practice.check_up

    with pytest.raises(ServiceNotOffered):
        directory.service_of(salon.agent_key, f"sv_{practice.check_up.pk}")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("Herrenhaarschnitt", CUT),
        ("herren haarschnitt", CUT),
        ("haarschnitt", CUT),
        ("Herrenhaarschnit", CUT),
        ("faerben", COLOUR),
        ("FÄRBEN", COLOUR),
        ("Farben", COLOUR),
        ("check up", CHECK_UP),
    ],
)
def test_words_rank_their_service_first(words: str, meant: Service) -> None:
    """Case, accents, umlauts spelled out, slips and parts of a name do not matter."""
    assert ranked(OFFERED, words)[0][0] is meant


@pytest.mark.parametrize("words", ["Zahnreinigung", "?!", "", "x", "\u202e", "1234"])
def test_unrelated_words_find_nothing(words: str) -> None:
    """FM-17: an unknown service is unknown."""
    assert ranked(OFFERED, words) == []
    assert named(OFFERED, words) == []


def test_exact_name_has_score_one() -> None:
    assert ranked(OFFERED, "Färben")[0][1] == 1.0
    assert named(OFFERED, "färben") == [COLOUR]
    assert named(OFFERED, "Haarschnitt") == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("einen Herrenhaarschnitt bitte", CUT),
        ("ich hätte gern einen Herrenhaarschnitt", CUT),
        ("I'd like a colour please", COLOUR),
        ("für einen Check-up", CHECK_UP),
        ("a check up, please", CHECK_UP),
    ],
)
def test_words_around_a_name_change_nothing(words: str, meant: Service) -> None:
    assert named(OFFERED, words) == [meant]
    assert ranked(OFFERED, words)[0] == (meant, 1.0)


@pytest.mark.parametrize("words", ["bitte", "einen Termin", "a colour and a check up", "no colour"])
def test_words_that_name_no_single_service_are_no_name(words: str) -> None:
    assert named(OFFERED, words) == []


def test_name_made_of_such_words_is_found() -> None:
    assert named([Service(name="Die Eins", aliases=["Am"])], "am")
