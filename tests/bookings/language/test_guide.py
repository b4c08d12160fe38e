"""The page of what callers may say."""

from tests.bookings.language.guide import PAGE, page


def test_page_of_phrases_is_current() -> None:
    """If this fails: python -m tests.bookings.language.guide."""
    assert PAGE.read_text("utf-8") == page()
