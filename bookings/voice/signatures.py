"""Whether a request comes from the platform: each signs the raw bytes of the body in its own way. Pure."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW_S = 300
"""How far a signature's time may be from ours, both ways, where the platform does not say otherwise."""
ELEVENLABS_WINDOW_S = 1_800
"""Its SDK accepts signatures of the last half hour (run 2026-11); it does not check the future, we do."""
_RETELL = re.compile(r"v=(\d{1,16}),d=([0-9a-f]{64})", re.ASCII)
_ELEVENLABS = re.compile(r"t=(\d{1,12}),v0=([0-9a-f]{64})", re.ASCII)
_ALGORITHMS: Mapping[str, str] = {"sha256": "sha256", "sha512": "sha512", "sha1": "sha1"}
_MILLISECONDS = 100_000_000_000
"""A timestamp above this is one of milliseconds: Vapi does not say which unit it sends."""


def is_retell(secret: str, body: bytes, header: str, *, now: float) -> bool:
    """Return whether `X-Retell-Signature` is that of the body: HMAC-SHA256 over body and milliseconds."""
    found = _RETELL.fullmatch(header)
    if found is None or abs(now * 1000 - int(found[1])) > WINDOW_S * 1000:
        return False
    return _matches(secret.encode(), body + found[1].encode(), found[2])


def is_elevenlabs(secret: str, body: bytes, header: str, *, now: float) -> bool:
    """Return whether `ElevenLabs-Signature` is that of the body: HMAC-SHA256 over seconds, a dot and the body."""
    found = _ELEVENLABS.fullmatch(header)
    if found is None or not -WINDOW_S <= now - int(found[1]) <= ELEVENLABS_WINDOW_S:
        return False
    return _matches(secret.encode(), found[1].encode() + b"." + body, found[2])


def is_bland(secret: str, body: bytes, header: str) -> bool:
    """Return whether `X-Webhook-Signature` is that of the body: HMAC-SHA256, without a time."""
    return _matches(secret.encode(), body, header)


@dataclass(frozen=True, slots=True, kw_only=True)
class VapiPlan:
    """How a Vapi account signs: its HMAC credential has all of this as settings."""

    secret: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    signature_header: str = "x-signature"
    timestamp_header: str = "x-timestamp"
    prefix: str = ""
    payload: str = "{timestamp}.{body}"
    secret_is_base64: bool = False


def is_vapi(plan: VapiPlan, body: bytes, headers: Mapping[str, str], *, method: str, url: str, now: float) -> bool:
    """Return whether the request is signed as the plan says. A plan whose payload has no timestamp has no window."""
    header, timestamp = headers.get(plan.signature_header, ""), headers.get(plan.timestamp_header, "")
    if not header.startswith(plan.prefix) or plan.algorithm not in _ALGORITHMS:
        return False
    if "{timestamp}" in plan.payload and not _is_recent(timestamp, now):
        return False
    parts = {"timestamp": timestamp.encode(), "method": method.encode(), "url": url.encode()}
    parts |= {"body": body, "svix-id": headers.get("svix-id", "").encode()}
    try:
        secret = base64.b64decode(plan.secret, validate=True) if plan.secret_is_base64 else plan.secret.encode()
    except binascii.Error:
        return False
    digest = hmac.new(secret, _filled(plan.payload, parts), _ALGORITHMS[plan.algorithm]).digest()
    expected = base64.b64encode(digest).decode() if plan.encoding == "base64" else digest.hex()
    return _equal(expected, header.removeprefix(plan.prefix)) and bool(plan.secret)


def _filled(payload: str, parts: Mapping[str, bytes]) -> bytes:
    """Return the payload with its parts put in, each once: what a body says is never taken for a part."""
    pieces = re.split(r"\{([a-z-]+)\}", payload)
    return b"".join(parts.get(piece, b"") if n % 2 else piece.encode() for n, piece in enumerate(pieces))


def _is_recent(timestamp: str, now: float) -> bool:
    if not re.fullmatch(r"\d{1,16}", timestamp, re.ASCII):
        return False
    stamp = int(timestamp)
    return abs(now - (stamp / 1000 if stamp > _MILLISECONDS else stamp)) <= WINDOW_S


def _matches(secret: bytes, signed: bytes, hexadecimal: str) -> bool:
    expected = hmac.new(secret, signed, hashlib.sha256).hexdigest()
    return _equal(expected, hexadecimal) and bool(secret)


def _equal(expected: str, given: str) -> bool:
    """Compare in constant time; what is not ASCII is no signature."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))
