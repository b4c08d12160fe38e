"""Whether a webhook is genuine: Cal.com signs the exact bytes of the body with the secret of the webhook."""

import hashlib
import hmac

HEADER = "X-Cal-Signature-256"
UNSIGNED = "no-secret-provided"
"""What Cal.com sends as signature of a webhook without a secret (recorded 2026-11-21)."""


def is_genuine(*, secret: str, body: bytes, signature: str) -> bool:
    """Return whether the signature is that of the body. False without a secret."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    matches = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
    return matches and bool(secret) and signature != UNSIGNED
