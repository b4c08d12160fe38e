"""Sentences about operations can be spoken, in every language, and promise nothing that is not known."""

import re
from itertools import product

import pytest

from bookings.language import booking_sentences as sentences

OPERATIONS = ("create", "reschedule", "cancel")
UNCERTAIN = ("pending", "waiting", "awaiting_confirmation")
STATUSES = (*UNCERTAIN, "confirmed", "cancelled", "rejected", "expired", "completed", "no_show")


def _all(language):
    told = {sentences.operation_outcome(*each, language) for each in product(OPERATIONS, STATUSES)}
    told |= {
        sentences.callback_noted(done=done, own_number=own, language=language)
        for done, own in product((False, True), repeat=2)
    }
    return sorted(told | {sentences.appointments_found(number, language) for number in range(4)})


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_sentence_can_be_spoken(language):
    """FM-55: one line of plain words: no figures, no colons, no markup, not too long; it ends like a sentence."""
    for sentence in _all(language):
        assert 0 < len(sentence) <= 250
        assert re.fullmatch(r"[A-ZÄÖÜ][\w ,.?'äöüßÄÖÜ]*[.?]", sentence)
        assert not re.search(r"\d|_", sentence)


@pytest.mark.parametrize("language", ["de", "en"])
def test_what_is_pending_is_not_promised(language):
    """FM-07: "moved" is said only after Cal.com said so."""
    known = {sentences.operation_outcome(operation, "confirmed", language) for operation in OPERATIONS}

    for status in UNCERTAIN:
        assert not known & {sentences.operation_outcome(operation, status, language) for operation in OPERATIONS}


def test_golden():
    """The sentences themselves, so that a change of one is seen."""
    assert sentences.operation_outcome("reschedule", "confirmed", "de") == "Ihr Termin ist verlegt."
    assert sentences.operation_outcome("reschedule", "confirmed", "en") == "Your appointment has been moved."
    assert sentences.operation_outcome("reschedule", "cancelled", "de") == "Ihr Termin ist abgesagt."
    assert sentences.operation_outcome("cancel", "completed", "en") == "That appointment is already over."
    assert sentences.operation_outcome("create", "awaiting_confirmation", "de").endswith(
        "erst sicher, wenn er bestätigt ist."
    )
    assert sentences.operation_outcome("create", "rejected", "en") == "I'm sorry, that appointment was not confirmed."
    assert sentences.operation_outcome("create", "waiting", "de").endswith("Sicher ist der Termin noch nicht.")
    assert sentences.appointments_found(1, "de") == "Ich habe Ihren Termin gefunden."
    assert sentences.appointments_found(2, "en") == "I have found several appointments of yours. Which one is it about?"
