"""Where a request comes from, as far as the outside lets us know."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings

IPV6_SITE = 64  # bits that one client cannot choose


def address_of(environ: Mapping[str, Any]) -> str:
    """
    Return where a request comes from: an IPv4 address, or the network of an IPv6 one; empty for a Unix socket.

    Behind a proxy that is trusted it is what that proxy added to X-Forwarded-For; what a client writes there itself
    stands before it.
    """
    nearest: str = environ.get("REMOTE_ADDR", "")
    if settings.BEHIND_TLS_PROXY:
        nearest = environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or nearest
    return _site(nearest)


@lru_cache(maxsize=1024)
def _site(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_SITE), strict=False))
