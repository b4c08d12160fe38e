"""Where a credential may be sent, by the text of a base URL and by the address to which its name resolves."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit, urlunsplit

from django.conf import settings

_EXAMPLE = "The base URL must look like https://api.cal.com."
_INSIDE = (
    "The base URL leads to an address of the inside. CALCOM_ALLOWED_NETWORKS must name its network, if it is right."
)


def normalised(base_url: str) -> str:
    """
    Return the base URL as it is stored: without `/v2`, which requests add, and without a slash at its end.

    Raises:
        ValueError: it is no base URL; the message is for staff.
    """
    parts = _parts(base_url)
    if parts.query or parts.fragment or "?" in base_url or "#" in base_url:
        raise ValueError("The base URL has no question mark and no fragment.")
    path = parts.path.rstrip("/").removesuffix("/v2").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc.lower(), path, "", ""))


def objection(base_url: str) -> str:
    """Return why no credential may be sent to `base_url`, in a sentence; empty if its text is allowed."""
    try:
        parts = _parts(normalised(base_url))
    except ValueError as exc:
        return str(exc)
    host = parts.hostname or ""
    if settings.CALCOM_LOOPBACK_ONLY and not _is_this_machine(host):
        return "CALCOM_LOOPBACK_ONLY is on, and the base URL is not this machine."
    if parts.scheme != "https" and not _is_this_machine(host):
        return "The API key would travel in the clear: use https."
    literal = _literal("127.0.0.1" if host == "localhost" else host)
    return _INSIDE if literal is not None and not may_connect(literal) else ""


def objection_after_resolution(base_url: str) -> str:
    """Return the same, and check where the name resolves to now; one that does not resolve is allowed."""
    if complaint := objection(base_url):
        return complaint
    host = urlsplit(base_url).hostname or ""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return ""
    return "" if all(may_connect(ip_address(str(each).partition("%")[0])) for each in found) else _INSIDE


def may_connect(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the address is on the internet, or in an allowed network."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if settings.CALCOM_LOOPBACK_ONLY:
        return address.is_loopback
    allowed = (ip_network(each) for each in settings.CALCOM_ALLOWED_NETWORKS)
    return (address.is_global and not address.is_multicast) or any(address in network for network in allowed)


def _parts(base_url: str) -> SplitResult:
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError(_EXAMPLE) from exc
    if not host or parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise ValueError(_EXAMPLE)
    return parts


def _is_this_machine(host: str) -> bool:
    literal = _literal(host)
    return literal.is_loopback if literal is not None else host == "localhost"


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
