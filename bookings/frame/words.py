"""
The words of people at a desk, and their translation: for models, fields, help texts and choices of the admin.

Models keep the words of the code (docs/glossary.md). What people read is set here once, before the first page, and
looked up in the catalogue of the reader's language: config/locale. Migrations see none of it.
"""

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Field, Model
from django.utils.translation import gettext_lazy, override

APPS = ("bookings", "calcom", "cachectl", "monitoring")
WORDS = {
    "agent key": ("voice agent's key", "voice agents' keys"),
    "callback request": ("callback", "callbacks"),
    "claim": ("reserved time", "reserved times"),
    "conversation": ("call", "calls"),
    "tool call": ("question and answer", "questions and answers"),
    "slot token": ("offer", "offers"),
    "operation": ("change at Cal.com", "changes at Cal.com"),
    "membership": ("role", "roles"),
    "staff service": ("own calendar for a service", "own calendars for services"),
    "shared booking": ("booking of another account", "bookings of other accounts"),
    "account": ("Cal.com account", "Cal.com accounts"),
    "host": ("person at Cal.com", "people at Cal.com"),
    "webhook delivery": ("message from Cal.com", "messages from Cal.com"),
    "cursor": ("reading of changes", "readings of changes"),
    "deferred booking": ("booking to be read again", "bookings to be read again"),
    "cache invalidation": ("refresh of free times", "refreshes of free times"),
    "warming": ("loading of free times ahead", "loadings of free times ahead"),
}
"""By the model's own word: what people read, one and several."""
FIELDS = {
    "host": "with",
    "attendee name": "name",
    "attendee phone": "phone",
    "attendee email": "e-mail",
    "origin": "made",
    "event type": "event type at Cal.com",
    "idempotency key": "key of the request",
    "tool calls": "questions and answers",
    "last seen at": "last heard",
    "cache status": "where the answer came from",
    "endpoint": "question",
    "conflicting": "conflict",
    "conversation": "call",
    "kind": "what",
    "person": "by whom",
    "requested by": "by which agent",
    "failed proofs": "wrong answers to questions about the caller",
}
"""By a field's own word: what people read."""


def apply() -> None:
    """Have the admin show the words, in the language of the reader. Called once, before the first page."""
    for model in models():
        options = model._meta  # noqa: SLF001  documented
        one, several = WORDS.get(
            str(options.verbose_name), (str(options.verbose_name), str(options.verbose_name_plural))
        )
        options.verbose_name, options.verbose_name_plural = gettext_lazy(one), gettext_lazy(several)
        for field in _fields(model):
            _word(field)


def models() -> Iterator[type[Model]]:
    """Yield the models of our apps."""
    for label in APPS:
        yield from apps.get_app_config(label).get_models()


def texts_of(model: type[Model]) -> Iterator[str]:
    """Yield what the admin shows of a model beside its rows, as it stands in the catalogue."""
    options = model._meta  # noqa: SLF001  documented
    yield from map(_source, (options.verbose_name, options.verbose_name_plural))
    for field in _fields(model):
        yield _source(field.verbose_name)
        if field.help_text:
            yield _source(field.help_text)
        for _value, label in field.flatchoices:
            yield _source(label)


def _fields(model: type[Model]) -> "Iterator[Field[object, object]]":
    return (field for field in model._meta.get_fields() if isinstance(field, Field))  # noqa: SLF001  documented


def _word(field: "Field[object, object]") -> None:
    name = _source(field.verbose_name)
    field.verbose_name = gettext_lazy(FIELDS.get(name, name))
    if field.help_text:
        field.help_text = gettext_lazy(_source(field.help_text))
    if field.choices:
        field.choices = [(value, gettext_lazy(_source(label))) for value, label in field.flatchoices]


def _source(text: object) -> str:
    """Return a text as it stands in the code: at start, and in tests, no language is active."""
    with override(None):
        return str(text)
