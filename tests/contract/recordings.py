"""The exchanges recorded from the real Cal.com, and the document that describes it; read, never copied."""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("CALCOM_RECORDINGS") or Path(__file__).parents[2] / "../shared/calcom").resolve()

needs_recordings = pytest.mark.skipif(
    not (FOLDER / "examples").is_dir(),
    reason="no recordings: CALCOM_RECORDINGS names no folder with them and ../shared/calcom is absent",
)


def names(kind: str = "recorded") -> list[str]:
    """List the recordings of a kind; those of the probes begin with an underscore."""
    return sorted(path.stem for path in (FOLDER / "examples" / kind).glob("*.json"))


@cache
def read(name: str, kind: str = "recorded") -> Any:
    """Return a recording."""
    return json.loads((FOLDER / "examples" / kind / f"{name}.json").read_text())


@cache
def openapi() -> Any:
    """Return the corrected OpenAPI document."""
    return json.loads((FOLDER / "openapi.json").read_text())


@cache
def bookings() -> dict[str, Any]:
    """Return every booking that any answer shows, by uid."""
    shown = (thing for name in names() for thing in objects(read(name)) if "uid" in thing and "eventTypeId" in thing)
    return {booking["uid"]: booking for booking in shown}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object inside a value, itself included."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)
