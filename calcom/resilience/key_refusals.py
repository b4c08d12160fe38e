"""
Whether Cal.com refuses an account's API key, for reads and for writes apart; kept in the database for all processes.

An answer that is about the key sets it, an answer to the same kind of request that needs the key clears it. While the
last refusal is recent no request of that kind is sent; the pause grows with the time since the first one. Each row
names the key of which it tells by its hash, so a new key is sent at once, by every process.
"""

from datetime import timedelta
from typing import NamedTuple

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from calcom.errors import KeyRefused
from calcom.models import Account, KeyRefusal
from calcom.resilience.keys import credential_hash
from monitoring import metrics

log = structlog.get_logger(__name__)

Kind = KeyRefusal.Kind

SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
# Seconds after which background work looks whether there is another key by now, which costs no request.
_LOOK_AGAIN = 60.0
_NOTE = """
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
    """A refusal of the key that an account has now."""

    row: KeyRefusal
    left_s: float
    """Seconds for which nothing of its kind is sent; 0 or less where what comes next is sent."""


def standing(account: Account, kind: Kind) -> Standing | None:
    """
    Return the refusal of the account's key, None if there is none.

    Where another key was entered since `account` was read, `account` has that key afterwards.
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
        KeyRefused: it is recent, so Cal.com would refuse once more.
    """
    found = standing(account, kind)
    if found and found.left_s > 0:
        message = f"Cal.com refuses the account's API key for {kind.value}."
        raise KeyRefused(message, retry_after=min(found.left_s, _LOOK_AGAIN))
    return found


def note(account: Account, kind: Kind) -> float | None:
    """
    Write down that Cal.com refused the account's key; return the seconds after which to look again.

    Returns None, and writes nothing, where the account has another key by now. `account` has it afterwards: nothing
    happened at Cal.com, so the request may be sent again.
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
                cursor.execute(_NOTE, values)
                ((pause, is_new),) = cursor.fetchall()
    except DatabaseError as exc:
        log.warning("calcom.key_refusal_not_stored", error_type=type(exc).__name__)
    metrics.KEY_REFUSALS.labels(kind.value).inc()
    (log.error if is_new else log.warning)("calcom.key_refused", account_id=account.pk, kind=kind.value)
    return min(pause.total_seconds(), _LOOK_AGAIN)


def clear(row: KeyRefusal) -> None:
    """Write down that Cal.com took the key; a refusal of another key stays."""
    try:
        cleared, _ = KeyRefusal.objects.filter(pk=row.pk, credential=row.credential).delete()
    except DatabaseError as exc:
        log.warning("calcom.key_refusal_not_stored", error_type=type(exc).__name__)
        return
    if cleared:
        log.info("calcom.key_accepted", account_id=row.account_id, kind=row.kind)


def entered(account: Account) -> None:
    """Take note that staff have entered the account's key, which may be the same one, made valid again at Cal.com."""
    KeyRefusal.objects.filter(account=account).delete()


def current() -> list[KeyRefusal]:
    """Return what is refused of accounts in use."""
    rows = KeyRefusal.objects.filter(account__active=True).select_related("account").order_by("account", "kind")
    return [row for row in rows if row.is_current]


def _has_new_key(account: Account, *, lock: bool = False) -> bool:
    """Give `account` the key that is stored; return whether it is another one."""
    accounts = Account.objects.select_for_update(no_key=True) if lock else Account.objects.all()
    stored = accounts.only("api_key").get(pk=account.pk).api_key
    is_new = stored != account.api_key
    account.api_key = stored
    return is_new
