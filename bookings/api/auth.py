"""Authentication by agent key, with a limit on unknown keys, and scopes per method."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from bookings.api.directory import TTLCache
from bookings.api.problems import ScopeMissing
from bookings.caller_input import phone_number
from bookings.errors import PhoneAmbiguous
from bookings.models import AgentKey, digest_of
from cachectl.infra.throttle import throttle
from monitoring import metrics
from monitoring.middleware import address_of

if TYPE_CHECKING:  # DRF imports this module while it makes its views
    from rest_framework.views import APIView

_KEY = re.compile(r"sl_[A-Za-z0-9_-]{20,100}")


def _look_up(key: str) -> AgentKey | None:
    return AgentKey.objects.valid(key).select_related("company__account", "branch").first()


# Seconds for which all processes know that a key was valid: longer than any time between two starts of a process.
MARK_S = 30 * 86_400

key_named = TTLCache(_look_up)
"""The valid key with this text, or None. The texts are held in memory and must never be logged."""


def _valid_key(text: str, environ: Mapping[str, Any]) -> AgentKey | None:
    """
    Return the key with this text, or None. A key that was valid before is looked up even from a limited address.

    Raises:
        Throttled: too many unknown keys came from this address; this one was not looked up.
    """
    if key_named.has_seen(text) and (key := key_named(text)):
        return key
    address, unknown = address_of(environ), throttle("unknown-key", settings.BOOKINGS_GUESS_RATE)
    mark = f"valid-key:{digest_of(text)}"
    if (wait := unknown.wait(address)) and not cache.get(mark):
        metrics.UNKNOWN_KEYS.labels("not_looked_up").inc()
        raise Throttled(wait, "Too many unknown keys came from this address.")
    key = key_named(text)
    if key is None:
        metrics.UNKNOWN_KEYS.labels("looked_up").inc()
        unknown.hit(address)
        cache.delete(mark)
    else:
        cache.set(mark, True, MARK_S)
    return key


AUTHENTICATED_KEY = "slotline.agent_key"
"""In the environment of a request that a voice platform's adapter makes: its key. No header can have this name."""


def key_of(environ: Mapping[str, Any]) -> AgentKey | None:
    """
    Return the key that a request shows as `Authorization: Bearer sl_…`; None where it shows none.

    Raises:
        AuthenticationFailed: it is unknown or was revoked.
        Throttled: too many unknown ones came from its address.
    """
    header = environ.get("HTTP_AUTHORIZATION", "")
    if not header:
        return None
    scheme, _, text = header.partition(" ")
    text = text.strip()
    key = _valid_key(text, environ) if scheme.lower() == "bearer" and _KEY.fullmatch(text) else None
    if key is None:
        raise AuthenticationFailed("The key is unknown or was revoked.")
    return key


class AgentKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer sl_…`. Only the key decides the company."""

    def authenticate(self, request: Request) -> tuple[None, AgentKey] | None:
        """Return the key, or None where none was shown."""
        key = request.META.get(AUTHENTICATED_KEY) or key_of(request.META)
        return (None, key) if key else None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  the signature is DRF's
        """Return the challenge that a 401 carries."""
        return 'Bearer realm="Slotline"'


def trusted_number(key: AgentKey, text: str | None, region: str | None) -> str | None:
    """Return the caller's number as E.164, if the key may vouch for it; one that cannot be read is left out."""
    if AgentKey.Scope.CALLERS_IDENTIFY not in key.scopes:
        return None
    with suppress(ValueError, PhoneAmbiguous):
        return phone_number(text, region)
    return None


HANDLERS = ("get", "post", "put", "patch", "delete")


class HasScope(BasePermission):
    """Requires the scope that the view names for the method in `scopes`. A method without one is closed."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Return whether there is a key; raises ScopeMissing with the scope that it lacks."""
        key = request.auth
        if not isinstance(key, AgentKey):
            return False
        method = "GET" if request.method == "HEAD" else str(request.method)
        needed = getattr(view, "scopes", {}).get(method)
        if needed is None and method in methods_without_scope(type(view)):
            raise ScopeMissing("No scope opens this method.")
        if needed is not None and needed not in key.scopes:
            raise ScopeMissing(f"This key lacks the scope {needed}.")
        return True  # a method without a handler is refused by the view


def methods_without_scope(view: type["APIView"]) -> list[str]:
    """Return the methods that a view handles and that no scope opens."""
    handled = (name.upper() for name in HANDLERS if hasattr(view, name))
    return [method for method in handled if method not in getattr(view, "scopes", {})]
