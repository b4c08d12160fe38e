"""What an error response must contain."""

from collections.abc import Mapping
from typing import Any

import orjson

EXPECTED = frozenset({"upstream_unavailable", "deadline_exceeded", "temporarily_unavailable"})
"""Codes of 500 and more that are no failure: trying again makes sense."""
_MEMBERS = ("type", "title", "detail", "code")
_MEMBERS_FOR_AGENTS = ("spoken", "agent_hint", "request_id")


def parse(content: bytes) -> Any:
    """Return the body, None where it is no JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def is_failure(status: int, body: Any) -> bool:
    """Return whether it is a response of 500 or more that is not expected."""
    return status >= 500 and not (isinstance(body, Mapping) and body.get("code") in EXPECTED)


def violation(status: int, headers: Mapping[str, str], body: Any, *, to_agents: bool = True) -> str:
    """
    Return in words what an error response lacks; empty where nothing does, or it is a success.

    Args:
        headers: by lower-case names.
        to_agents: whether it is for voice agents, who are told what to say.
    """
    if status < 400:
        return ""
    if headers.get("content-type") != "application/problem+json" or not isinstance(body, Mapping):
        return "no problem+json"
    missing = [name for name in (*_MEMBERS, *(_MEMBERS_FOR_AGENTS if to_agents else ())) if not body.get(name)]
    if missing:
        return f"a problem without {', '.join(missing)}"
    if body.get("status") != status:
        return "a problem with another status"
    if status in {429, 503} and "retry-after" not in headers:
        return "no Retry-After"
    return ""
