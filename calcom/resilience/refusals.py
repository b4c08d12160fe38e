"""
What Cal.com refuses, in the database: it outlives Redis and all processes.

`KeyRefusal`: the API key of an account, for reads and writes separately. A response that refuses the key stores it; a
later success of the same kind deletes it. After a refusal no request of that kind is sent for a while, which grows with
the time since the first one. A row has the hash of the key, so a new key is used at once by all processes.

`StoredPause`: all requests of a credential, after a 429. It is written when a response says so and read when Redis does
not know: see Note [Unchecked state].
"""

from datetime import timedelta
from typing import NamedTuple

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from calcom.errors import KeyRefused
from calcom.fields import credential_hash
from calcom.models import Account, KeyRefusal, RateLimitPause
from monitoring import metrics

log = structlog.get_logger(__name__)

Kind = KeyRefusal.Kind

SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
# Seconds after which background work looks for a new key, which costs no request.
_LOOK_AGAIN = 60.0
_STORE_REFUSAL = """
INSERT INTO calcom_keyrefusal AS known (account_id, kind, credential, refused_at, next_attempt_at)
VALUES (%(account)s, %(kind)s, %(credential)s, STATEMENT_TIMESTAMP(),
  STATEMENT_TIMESTAMP() + make_interval(secs => %(shortest)s))
ON CONFLICT (account_id, kind) DO UPDATE SET
  credential = EXCLUDED.credential,
  refused_at = CASE known.credential WHEN EXCLUDED.credential THEN known.refused_at ELSE EXCLUDED.refused_at END,
  next_attempt_at = CASE known.credential WHEN EXCLUDED.credential
    THEN EXCLUDED.refused_at + LEAST(
      GREATEST(EXCLUDED.refused_at - known.refused_at, make_interval(secs => %(shortest)s)),
      make_interval(secs => %(longest)s))
    ELSE EXCLUDED.next_attempt_at END
RETURNING next_attempt_at - STATEMENT_TIMESTAMP(), refused_at = STATEMENT_TIMESTAMP()
"""


class Standing(NamedTuple):
    """A refusal of the account's present key."""

    row: KeyRefusal
    left_s: float
    """Seconds for which no request of its kind is sent; 0 or less if the next one is."""


def standing(account: Account, kind: Kind) -> Standing | None:
    """
    Return the refusal of the account's key, None if there is none.

    If another key was entered since `account` was read, `account` gets it.
    """
    rows = KeyRefusal.objects.filter(account_id=account.pk, kind=kind).annotate(left=F("next_attempt_at") - Now())
    try:
        row = rows.first()
        if row is None or row.credential != credential_hash(account.api_key) or _has_new_key(account):
            return None
    except DatabaseError as exc:
        log.warning("calcom.key_refusal_not_read", error_type=type(exc).__name__)
        return None
    return Standing(row, row.left.total_seconds())


def refuse(account: Account, kind: Kind) -> Standing | None:
    """
    Return the refusal of the account's key, if there is one.

    Raises:
        KeyRefused: it is recent; Cal.com would refuse again.
    """
    found = standing(account, kind)
    if found and found.left_s > 0:
        message = f"Cal.com refuses the account's API key for {kind.value}."
        raise KeyRefused(message, retry_after=min(found.left_s, _LOOK_AGAIN))
    return found


def note(account: Account, kind: Kind) -> float | None:
    """
    Store that Cal.com refused the account's key; return the seconds after which to repeat.

    Returns None and stores nothing if the account has a new key, which `account` gets. Nothing happened at Cal.com, so
    the request may be sent again.
    """
    values: dict[str, int | float | str] = {
        "account": account.pk,
        "kind": kind.value,
        "credential": credential_hash(account.api_key),
        "shortest": SHORTEST_PAUSE.total_seconds(),
        "longest": LONGEST_PAUSE.total_seconds(),
    }
    pause, is_new = SHORTEST_PAUSE, False
    try:
        with transaction.atomic():
            if _has_new_key(account, lock=True):
                return None
            with connection.cursor() as cursor:
                cursor.execute(_STORE_REFUSAL, values)
                ((pause, is_new),) = cursor.fetchall()
    except DatabaseError as exc:
        log.warning("calcom.key_refusal_not_stored", error_type=type(exc).__name__)
    metrics.KEY_REFUSALS.labels(kind.value).inc()
    (log.error if is_new else log.warning)("calcom.key_refused", account_id=account.pk, kind=kind.value)
    return min(pause.total_seconds(), _LOOK_AGAIN)


def clear(row: KeyRefusal) -> None:
    """Delete a refusal, because Cal.com accepted its key. A refusal of another key stays."""
    try:
        cleared, _ = KeyRefusal.objects.filter(pk=row.pk, credential=row.credential).delete()
    except DatabaseError as exc:
        log.warning("calcom.key_refusal_not_stored", error_type=type(exc).__name__)
        return
    if cleared:
        log.info("calcom.key_accepted", account_id=row.account_id, kind=row.kind)


def clear_all(account: Account) -> None:
    """Delete all refusals of the account, because staff entered its key, perhaps the same one."""
    KeyRefusal.objects.filter(account=account).delete()


def current() -> list[KeyRefusal]:
    """Return the refusals of active accounts' present keys."""
    rows = KeyRefusal.objects.filter(account__active=True).select_related("account").order_by("account", "kind")
    return [row for row in rows if row.is_current]


def _has_new_key(account: Account, *, lock: bool = False) -> bool:
    """Set the stored key on `account`; return whether it is another one."""
    accounts = Account.objects.select_for_update(no_key=True) if lock else Account.objects.all()
    stored = accounts.only("api_key").get(pk=account.pk).api_key
    is_new = stored != account.api_key
    account.api_key = stored
    return is_new


# A shorter pause does not end a longer one.
_STORE_PAUSE = """
INSERT INTO calcom_ratelimitpause (credential, until) VALUES (%s, STATEMENT_TIMESTAMP() + %s * interval '1 second')
ON CONFLICT (credential) DO UPDATE SET until = GREATEST(calcom_ratelimitpause.until, EXCLUDED.until)
"""


class StoredPause:
    """The pause of one credential, stored under its hash."""

    def __init__(self, credential: str) -> None:
        self._credential = credential_hash(credential)

    def note(self, seconds: float) -> None:
        """Store that no request may be sent for so long. Never fails: the process and Redis know it, too."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(_STORE_PAUSE, [self._credential, seconds])
        except DatabaseError as exc:
            log.warning("calcom.pause_not_stored", error_type=type(exc).__name__)

    def left_s(self) -> float:
        """
        Return the seconds for which no request may be sent.

        Raises:
            DatabaseError: it is unknown.
        """
        stored = RateLimitPause.objects.filter(credential=self._credential)
        left = stored.annotate(left=F("until") - Now()).values_list("left", flat=True).first()
        return max(0.0, left.total_seconds()) if left else 0.0
