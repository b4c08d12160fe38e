"""Invented callers: no name and no number of these belongs to anybody."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

_FIRST = (
    "Ada", "Anton", "Bela", "Clara", "Dario", "Edda", "Emil", "Fatma", "Gesa", "Hanno", "Ida", "Ivo", "Jonas", "Katja",
    "Leni", "Malik", "Nora", "Olga", "Pina", "Rosa", "Selma", "Timur", "Ute", "Viktor", "Wanda", "Yara", "Zeno",
)  # fmt: skip
_LAST = (
    "Ahrens", "Brandt", "Cordes", "Demir", "Evers", "Falk", "Grote", "Heller", "Ibsen", "Jansen", "Kern", "Lorenz",
    "Mohn", "Nowak", "Otto", "Peters", "Quandt", "Reimer", "Sauer", "Thiel", "Uhl", "Vogt", "Winter", "Yilmaz", "Zorn",
)  # fmt: skip
# Numbers that Germany's regulator keeps free for films, a thousand behind each.
_FOR_FILMS = ("+493023125", "+494066969", "+492214710", "+496990009", "+498999998")
_WITHHELD = 0.1


@dataclass(frozen=True)
class Person:
    """Somebody who calls."""

    name: str = field(repr=False)
    phone: str | None = field(repr=False)
    """E.164; None where the number is withheld."""


def people(chance: Random) -> Iterator[Person]:
    """Yield people, each with a number of their own; after 5,000 the numbers come again."""
    numbers = [f"{prefix}{extension:03}" for prefix in _FOR_FILMS for extension in range(1000)]
    while True:
        chance.shuffle(numbers)
        for number in numbers:
            name = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
            yield Person(name, None if chance.random() < _WITHHELD else number)
