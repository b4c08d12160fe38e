"""
Until when Cal.com refuses a credential, in the database: Redis may be emptied, and every process killed, meanwhile.

It is written where an answer says so, which is rare, and read where Redis cannot tell: see Note [Unchecked memory].
"""

import structlog
from django.db import DatabaseError, connection
from django.db.models import F
from django.db.models.functions import Now

from calcom.models import RateLimitPause
from calcom.resilience.keys import credential_hash

log = structlog.get_logger(__name__)

# A later and shorter one does not end an earlier one.
_NOTE = """
INSERT INTO calcom_ratelimitpause (credential, until) VALUES (%s, STATEMENT_TIMESTAMP() + %s * interval '1 second')
ON CONFLICT (credential) DO UPDATE SET until = GREATEST(calcom_ratelimitpause.until, EXCLUDED.until)
"""


class StoredPause:
    """The pause of one credential. Only the hash of that is kept."""

    def __init__(self, credential: str) -> None:
        self._credential = credential_hash(credential)

    def note(self, seconds: float) -> None:
        """Write down that nothing may be sent for so long. Never fails: the process and Redis know it, too."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(_NOTE, [self._credential, seconds])
        except DatabaseError as exc:
            log.warning("calcom.pause_not_stored", error_type=type(exc).__name__)

    def left_s(self) -> float:
        """
        Return the seconds for which nothing may be sent.

        Raises:
            DatabaseError: it is not known.
        """
        stored = RateLimitPause.objects.filter(credential=self._credential)
        left = stored.annotate(left=F("until") - Now()).values_list("left", flat=True).first()
        return max(0.0, left.total_seconds()) if left else 0.0
