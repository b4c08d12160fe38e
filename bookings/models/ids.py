"""Public ids, references and tokens: random, readable aloud where callers say them."""

import secrets

ID_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base32: no I, L, O, U


REFERENCE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # what can be said on a phone: no 0, O, 1, I
REFERENCE_LENGTH = 6


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def appointment_id() -> str:
    """Return a new public id of an appointment, such as bk_7K3QX9M2TA4PWJ5R."""
    return f"bk_{_random(ID_ALPHABET, 16)}"


def conversation_id() -> str:
    """Return a new public id of a conversation."""
    return f"cv_{_random(ID_ALPHABET, 16)}"


def operation_id() -> str:
    """Return a new public id of an operation, by which clients ask for its outcome."""
    return f"op_{_random(ID_ALPHABET, 16)}"


def callback_id() -> str:
    """Return a new public id of a callback."""
    return f"cb_{_random(ID_ALPHABET, 16)}"


def token() -> str:
    """Return a new unguessable token, by which an agent names an offer or a hold."""
    return _random(ID_ALPHABET, 10)


def reference() -> str:
    """Return a new reference that a caller can say and an agent can hear."""
    return _random(REFERENCE_ALPHABET, REFERENCE_LENGTH)
