"""A subclass of Django's backend, in the way that Django documents; it is imported by the name `DatabaseWrapper`."""

from select import POLLIN, poll

from django_prometheus.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django-prometheus has no types
    """Django's own, counted by django-prometheus, which sends no `SELECT 1` before the first query of a request."""

    def is_usable(self) -> bool:
        """
        Return whether PostgreSQL has not closed the connection.

        Between statements it sends nothing but a notice or a goodbye. So a connection on which nothing has arrived is
        usable, and only the others are asked by a statement.
        """
        if self.connection is None or self.connection.closed:
            return False
        arrived = poll()  # select() knows no file descriptor above 1023
        arrived.register(self.connection, POLLIN)
        return not arrived.poll(0) or bool(super().is_usable())
