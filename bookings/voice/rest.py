"""A request to the agents' API in the same process: the very answer of REST, without a trip over the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.urls import resolve, reverse

from bookings.api.auth import AUTHENTICATED_KEY
from bookings.models import AgentKey


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API answered."""

    body: Mapping[str, Any]
    language: str
    """Of what may be spoken."""


def post(
    name: str,
    body: Mapping[str, object],
    *,
    key: AgentKey,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    wait_s: float,
    environ: Mapping[str, Any],
) -> Reply:
    """
    Ask the endpoint with this name in bookings/api/urls.py, with a key that was authenticated before.

    Args:
        path: the parts of its address that vary.
        query: conversation_id and language, where there are any.
        wait_s: how long the answer may take.
        environ: of the request that came in; its client address goes into the new one.
    """
    written, address = orjson.dumps(body), reverse(f"v1:{name}", kwargs=dict(path or {}))
    request = WSGIRequest(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": address,
            "SCRIPT_NAME": "",
            "QUERY_STRING": urlencode(query or {}),
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(written)),
            "HTTP_PREFER": f"wait={wait_s:.2f}",
            "REMOTE_ADDR": environ.get("REMOTE_ADDR", ""),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(written),
            AUTHENTICATED_KEY: key,
        }
    )
    request.resolver_match = match = resolve(address)
    response = match.func(request, *match.args, **match.kwargs)
    return Reply(response.data, response.headers["Content-Language"])
