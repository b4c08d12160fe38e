"""The simulator listens on this machine and speaks to this machine only."""

import ipaddress
from urllib.parse import urlsplit


def require_loopback(host: str) -> str:
    """Return `host` if it is this machine; raise `ValueError` if anybody else could reach it or be reached."""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError(f"The simulator uses loopback addresses only, not {host!r}.")
    return host


def require_loopback_url(url: str) -> str:
    """Return `url` if it leads to this machine; raise `ValueError` otherwise."""
    require_loopback(urlsplit(url).hostname or "")
    return url
