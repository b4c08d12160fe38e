"""How the keys of the governor are spelled in Redis. A credential stands in none of them: only its hash."""

from hashlib import sha256


def limiter_keys(credential: str) -> list[str]:
    """Return the keys of a credential's log, of what answers told, of others' use, of its tenants, and of its polls."""
    return [f"{_tag(credential)}:{name}" for name in ("permits", "known", "external", "tenants", "polls")]


def breaker_keys(credential: str, account_id: int, kind: str) -> list[str]:
    """
    Return the keys of an account's breaker for one kind of calls, and of its history.

    They stand on the node of the account's credential, so that one script asks breaker and limiter.
    """
    return [f"{_tag(credential)}:breaker:{account_id}:{kind}{part}" for part in ("", ":history")]


def credential_hash(credential: str) -> str:
    """Return what stands for a credential where it must not stand itself."""
    return sha256(credential.encode()).hexdigest()[:16]


def _tag(credential: str) -> str:
    return f"sl2:{{{credential_hash(credential)}}}"
