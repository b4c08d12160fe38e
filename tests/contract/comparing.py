"""What it means that an answer of the simulator is the recorded one."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.contract import recordings

# Differ from run to run, or name the machine that was recorded.
VOLATILE = {
    "id",
    "icsUid",
    "timestamp",
    "createdAt",
    "updatedAt",
    "reservationUntil",
    "bookingUrl",
    "bookerUrl",
    "image",
}
# Depend on everything else that was in the recorded database.
COUNTS = {"totalItems", "remainingItems", "totalPages", "hasNextPage"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_URL = re.compile(r"https?://\S+/")


def differences(recorded: Any, answered: Any, uids: Mapping[str, str], where: str = "") -> Iterator[str]:
    """Yield what distinguishes two JSON values, made-up identifiers and moments of the recording aside."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        if recorded.keys() != answered.keys():
            yield f"{where}: missing {recorded.keys() - answered.keys()}, added {answered.keys() - recorded.keys()}"
        for name in (recorded.keys() & answered.keys()) - VOLATILE - COUNTS:
            yield from differences(recorded[name], answered[name], uids, f"{where}.{name}")
    elif isinstance(recorded, list) and isinstance(answered, list):
        if len(recorded) != len(answered):
            yield f"{where}: {len(recorded)} were recorded, {len(answered)} came"
        for at, (one, other) in enumerate(zip(recorded, answered, strict=False)):
            yield from differences(one, other, uids, f"{where}[{at}]")
    elif not _same(recorded, answered, uids):
        yield f"{where}: {recorded!r} was recorded, {answered!r} came"


def shape(value: Any) -> Any:
    """Reduce a JSON value to its field names and types."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def translated(text: str, uids: Mapping[str, str]) -> str:
    """Replace the recorded uids in a text by those the simulator gave."""
    for recorded, given in uids.items():
        text = text.replace(recorded, given)
    return text


def _same(recorded: Any, answered: Any, uids: Mapping[str, str]) -> bool:
    if isinstance(recorded, str) and isinstance(answered, str):
        return _settled(translated(recorded, uids)) == _settled(answered)
    return type(recorded) is type(answered) and recorded == answered


def _settled(text: str) -> str:
    """Hide moments of the recording in sentences, and the machine in URLs."""
    return _URL.sub("<url>/", _MOMENT.sub("<moment>", text) if " " in text else text)


def complaints(method: str, path: str, status: int, body: Any) -> list[str]:
    """Validate an answer against the OpenAPI document; an operation or status it does not have is a complaint."""
    template = _template(urlsplit(path).path)
    operation = recordings.openapi()["paths"].get(template, {}).get(method.lower(), {})
    if str(status) not in operation.get("responses", {}):
        return [f"{method} {template} has no documented answer {status}"]
    pointer = "/".join(
        part.replace("/", "~1")
        for part in (
            "paths",
            template,
            method.lower(),
            "responses",
            str(status),
            "content",
            "application/json",
            "schema",
        )
    )
    validator = Draft202012Validator({"$ref": f"openapi#/{pointer}"}, registry=_registry())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


def _template(path: str) -> str:
    fitting = [
        template
        for template in recordings.openapi()["paths"]
        if re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", template), path)
    ]
    return min(fitting, key=lambda template: template.count("{"), default=path)


@cache
def _registry() -> Any:
    document = DRAFT202012.create_resource(_nullable(recordings.openapi()))
    return Registry().with_resource("openapi", document)


def _nullable(schema: Any) -> Any:
    """Write OpenAPI 3.0's `nullable` as JSON Schema does."""
    if isinstance(schema, list):
        return [_nullable(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    rewritten = {name: _nullable(inner) for name, inner in schema.items()}
    if rewritten.pop("nullable", None) is True:
        return {"anyOf": [rewritten, {"type": "null"}]}
    return rewritten
