"""Which service is meant: never a default."""

import pytest

from bookings.api.matching import named, ranked
from bookings.models import Service

CUT = Service(name="Herrenhaarschnitt", aliases=["Haarschnitt Herren", "Herrenschnitt"])
COLOUR = Service(name="Färben", aliases=["Haare färben", "Colour"])
CHECK_UP = Service(name="Check-up", aliases=[])
OFFERED = [CUT, COLOUR, CHECK_UP]


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
def test_words_find_their_service_first(words: str, meant: Service) -> None:
    """Case, accents, umlauts spelled out, slips and parts of a name do not matter."""
    assert ranked(OFFERED, words)[0][0] is meant


@pytest.mark.parametrize("words", ["Zahnreinigung", "?!", "", "x", "\u202e", "1234"])
def test_words_that_mean_nothing_here_find_nothing(words: str) -> None:
    """FM-17: an unknown service is unknown."""
    assert ranked(OFFERED, words) == []
    assert named(OFFERED, words) == []


def test_a_score_of_one_is_the_name_itself() -> None:
    """Only then is a name as good as an id."""
    assert ranked(OFFERED, "Färben")[0][1] == 1.0
    assert named(OFFERED, "färben") == [COLOUR]
    assert named(OFFERED, "Haarschnitt") == []
