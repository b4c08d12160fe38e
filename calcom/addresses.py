"""Where a credential may be sent."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings


def objection(base_url: str) -> str:
    """Return why nothing may be sent to `base_url`, as a sentence; empty if it may."""
    try:
        parts = urlsplit(base_url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        return "The base URL must look like https://api.cal.com."
    if _is_this_machine(host):
        return ""
    if settings.CALCOM_LOOPBACK_ONLY:
        return "CALCOM_LOOPBACK_ONLY is on, and the base URL is not this machine."
    return "" if parts.scheme == "https" else "The API key would travel in the clear: use https."


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
