"""Numbers and codes as callers spell them."""

import pytest

from bookings.caller_input import phone_number
from bookings.scheduling.identity import letters
from bookings.spelling import characters, phone_digits


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("null eins fünf eins zwo drei vier fünf sechs sieben acht", "01512345678"),
        ("null dreißig doppel vier doppel fünf doppelsechs", "030445566"),
        ("plus neunundvierzig eins sieben null, dreimal die sieben, und dann acht neun", "+4917077789"),
        ("meine Nummer ist null eins sieben eins zweiundzwanzig dreiunddreißig vierundvierzig", "0171223344"),
        ("null eins fünf eins 234 doppel 5", "015123455"),
        ("oh seven double seven triple four one two three", "0777444123"),
        ("plus four four seven seven oh oh, nine hundred, one two three", "+447700900123"),
        ("my number is zero two zero seven nine four six oh nine five eight", "02079460958"),
        ("five five five, twenty-two thirty one", "5552231"),
        ("it's plus one, two one two, five five five, and then oh one double nine", "+12125550199"),
    ],
)
def test_spoken_phone_number_is_digits(said: str, digits: str) -> None:
    assert phone_digits(said) == digits


@pytest.mark.parametrize(
    "said", ["call me maybe", "null eins banane fünf sechs sieben", "double", "drei", "eins plus zwei", ""]
)
def test_words_that_are_no_number_are_none(said: str) -> None:
    """Nothing is left out: a number with a word missing is another number."""
    assert phone_digits(said) is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("K wie Kaufmann, sieben, M wie Martha, P, vier, Q", "K7MP4Q"),
        ("Kaufmann sieben Martha Paula vier Quelle", "K7MP4Q"),
        ("Köln sieben München Potsdam vier Quickborn", "K7MP4Q"),
        ("kilo seven mike papa four quebec", "K7MP4Q"),
        ("K as in king, seven, M for mother, P, four, Q like queen", "K7MP4Q"),
        ("k 7 m p 4 q", "K7MP4Q"),
        ("double A, triple 7, B", "AA777B"),
        ("Doppel-A zwo X-Ray", "AA2X"),
        ("kay seven em pee four cue", "K7MP4Q"),
    ],
)
def test_spelled_reference_is_characters(said: str, code: str) -> None:
    assert characters(said) == code


@pytest.mark.parametrize("said", ["K wie Martha", "sieben Bananen", "", "my booking"])
def test_spelling_that_contradicts_itself_is_none(said: str) -> None:
    assert characters(said) is None


def test_spoken_phone_number_is_read_like_a_written_one() -> None:
    assert phone_number("null dreißig, eins zwei drei vier fünf sechs", "DE") == "+4930123456"
    assert phone_number("oh two oh, seven nine four six, oh nine five eight", "GB") == "+442079460958"
    with pytest.raises(ValueError, match="not a phone number"):
        phone_number("null dreißig Banane", "DE")


@pytest.mark.parametrize(
    ("said", "stored"),
    [("K7-MP 4q", "K7MP4Q"), ("quelle", "QUELLE"), ("kilo 7 mike papa 4 quebec", "K7MP4Q"), ("?", "")],
)
def test_reference_is_read_written_or_spelled(said: str, stored: str) -> None:
    assert letters(said) == stored
