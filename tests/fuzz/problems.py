"""What an answer that is no success must say."""

from collections.abc import Mapping
from typing import Any

import orjson

HONEST = frozenset({"upstream_unavailable", "deadline_exceeded", "temporarily_unavailable"})
"""What may be said with 500 and more: nothing broke, and trying again makes sense."""
_TOLD = ("type", "title", "detail", "code")
_TOLD_TO_AGENTS = ("spoken", "agent_hint", "request_id")


def read(content: bytes) -> Any:
    """Return what an answer says, None where it is no JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def is_failure(status: int, told: Any) -> bool:
    """Return whether something broke: 500 or more, and none of the honest ones."""
    return status >= 500 and not (isinstance(told, Mapping) and told.get("code") in HONEST)


def lacks(status: int, headers: Mapping[str, str], told: Any, *, to_agents: bool = True) -> str:
    """
    Return in words what an answer lacks that is no success; empty where nothing does, or it is one.

    Args:
        headers: by their names in small letters.
        to_agents: whether a voice agent hears it, who wants to know what to say.
    """
    if status < 400:
        return ""
    if headers.get("content-type") != "application/problem+json" or not isinstance(told, Mapping):
        return "no problem+json"
    missing = [name for name in (*_TOLD, *(_TOLD_TO_AGENTS if to_agents else ())) if not told.get(name)]
    if missing:
        return f"a problem without {', '.join(missing)}"
    if told.get("status") != status:
        return "a problem with another status"
    if status in {429, 503} and "retry-after" not in headers:
        return "no Retry-After"
    return ""
