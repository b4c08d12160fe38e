"""The connection of a thread, whose health costs nothing to know."""

import psycopg
from django_prometheus.db.backends.postgresql import base

# The first reads what was said last, the second meets the end.
READS = 2


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django-prometheus has no types
    """
    Django's own, counted by django-prometheus, but for how it looks whether a kept connection is still there.

    Django asks PostgreSQL "SELECT 1" before the first query of a request, which costs a trip. PostgreSQL says goodbye
    when it stops and when it ends a connection; on an idle connection there is nothing else to read, so to read what is
    there tells the same in a microsecond. Whoever vanishes without a word is noticed by the query itself.
    """

    def is_usable(self) -> bool:
        """Return whether PostgreSQL has not hung up."""
        if self.connection is None:
            return False
        try:
            for _ in range(READS):
                self.connection.pgconn.consume_input()  # never waits, and lets no other thread run
        except psycopg.Error:
            return False
        return True
