"""How the keys of the governor are spelled in Redis. A credential stands in none of them: only its hash."""

from hashlib import sha256


def limiter_keys(credential: str) -> list[str]:
    """Return the keys of a credential's log, of what answers told, of others' use, and of its tenants."""
    tag = f"sl1:{{{sha256(credential.encode()).hexdigest()[:16]}}}"
    return [f"{tag}:{name}" for name in ("permits", "known", "foreign", "tenants")]


def breaker_keys(account_id: int, kind: str) -> list[str]:
    """Return the keys of an account's breaker for one kind of calls, and of its history."""
    return [f"sl1:{{{account_id}}}:breaker:{kind}{part}" for part in ("", ":history")]
