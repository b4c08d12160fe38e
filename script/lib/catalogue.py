"""
`python -m script.lib.catalogue`: bring config/locale up to date with the code; print what lacks a translation.

Texts are found by Babel in Python and, as `makemessages` does it, in templates that Django has turned into Python; so
nothing here needs GNU gettext. Beside our own these are the texts of django-unfold, which has no German, and what the
admin shows of models.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import django
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[2]
PO = ROOT / "config" / "locale" / "de" / "LC_MESSAGES" / "django.po"
_HEADER = "# German of the admin. `python -m script.lib.catalogue` brings it up to date: see CONTRIBUTING.md."
_BORN = datetime(2026, 12, 1, tzinfo=UTC)
OURS = ("bookings", "calcom", "cachectl", "monitoring", "config")
_KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    "npgettext": ((1, "c"), 2, 3),
}
# In what Django makes of a template, everything but these is noise.
_CALL = re.compile(r"""\b(?:_|n?p?gettext)\((?:[^()'"]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")*\)""")
Text = tuple[str | tuple[str, ...], str | None]
"""One text, or one and its plural; and its context."""


def texts(*roots: Path) -> Iterator[Text]:
    """Yield the texts for people in the Python and the templates below the roots."""
    for root in roots:
        for path in [root] if root.suffix == ".py" else sorted(root.rglob("*.py")):
            if not {"migrations", "simulator", "locale"} & set(path.parts):
                yield from _in_python(path.read_text("utf-8"))
        for path in sorted(root.rglob("*.html")):
            yield from _in_template(path)


def _in_python(code: str) -> Iterator[Text]:
    for _line, message, _comments, context in extract("python", BytesIO(code.encode()), keywords=_KEYWORDS):
        yield message, context


def _in_template(path: Path) -> Iterator[Text]:
    from django.utils.translation.template import templatize  # noqa: PLC0415  after the settings

    calls = _CALL.findall(templatize(path.read_text("utf-8"), origin=str(path)))
    return _in_python("\n".join(calls))


def unfold() -> list[Path]:
    """Return where the parts of django-unfold lie that we use: of its contributions only the filters."""
    spec = find_spec("unfold")
    if spec is None or spec.origin is None:
        raise RuntimeError("django-unfold is not installed.")
    root = Path(spec.origin).parent
    return [each for each in sorted(root.iterdir()) if each.name != "contrib"] + [root / "contrib" / "filters"]


def of_models() -> Iterator[Text]:
    """Yield what the admin shows of models that others than operators see."""
    from bookings.frame import words  # noqa: PLC0415  after the settings
    from bookings.roles import RIGHTS  # noqa: PLC0415

    rights = frozenset().union(*RIGHTS.values())
    for model in words.models():
        if f"{model._meta.app_label}.view_{model._meta.model_name}" in rights:  # noqa: SLF001  documented
            yield from ((text, None) for text in words.texts_of(model))


def wanted() -> dict[Text, None]:
    """Return all texts that German needs and Django's own catalogues do not have, in a stable order."""
    found = dict.fromkeys([*texts(*(ROOT / name for name in OURS)), *of_models(), *texts(*unfold())])
    return {each: None for each in found if each[0] and not _is_djangos(each)}


def _is_djangos(text: Text) -> bool:
    """Return whether Django's own catalogues have the text in German."""
    message, context = text
    first = message if isinstance(message, str) else message[0]
    return any(_has(catalogue, first, context) for catalogue in _djangos())


def _djangos() -> list[Catalog]:
    if not _known:
        root = Path(django.__file__).parent
        for part in ("conf", "contrib/admin", "contrib/auth", "contrib/sessions", "contrib/contenttypes"):
            with (root / part / "locale" / "de" / "LC_MESSAGES" / "django.po").open("rb") as file:
                _known.append(read_po(file, locale="de"))
    return _known


_known: list[Catalog] = []


def _has(catalogue: Catalog, message: str, context: str | None) -> bool:
    entry = catalogue.get(message, context)
    return entry is not None and bool(entry.string) and not entry.fuzzy


def read() -> Catalog:
    """Return the German catalogue."""
    if not PO.exists():
        return Catalog(locale="de", domain="django")
    with PO.open("rb") as file:
        return read_po(file, locale="de", domain="django")


def untranslated() -> list[str]:
    """Return the texts without German."""
    catalogue = read()
    missing = []
    for message, context in wanted():
        first = message if isinstance(message, str) else message[0]
        entry = catalogue.get(first, context)
        strings = [] if entry is None else [entry.string] if isinstance(entry.string, str) else list(entry.string or ())
        if not strings or not all(strings):
            missing.append(first)
    return missing


def update() -> None:
    """Write the catalogue anew: kept are translations of texts that are still there."""
    before = read()
    after = Catalog(locale="de", domain="django", fuzzy=False, header_comment=_HEADER, project="Slotline", version="1")
    after.creation_date = after.revision_date = _BORN  # no line that changes with every update
    for message, context in wanted():
        first = message if isinstance(message, str) else message[0]
        entry = before.get(first, context)
        after.add(message, entry.string if entry is not None and entry.string else None, context=context)
    PO.parent.mkdir(parents=True, exist_ok=True)
    with PO.open("wb") as file:
        write_po(file, after, width=120, no_location=True, sort_output=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    update()
    for text in untranslated():
        print(text)
