"""Who loads days. Registered from above, because this app knows no Cal.com."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Protocol


class LoadFailed(Exception):
    """No days could be loaded; what was known before stays all that is known. Try again after `retry_after`."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        """One word for logs and answers, such as `unavailable`."""
        self.retry_after = retry_after
        """Seconds, where somebody said so."""


class Source(Protocol):
    """Loads free slots from where they are true."""

    def load(
        self, *, account_id: int, event_type_id: int, first: date, last: date, urgent: bool, tenant: int | None
    ) -> Mapping[date, Sequence[int]]:
        """
        Return the slot starts of every UTC date from `first` to `last` (inclusive), in epoch minutes.

        A date without slots is there, with nothing in it. `urgent` says that a caller waits, `tenant` whose caller it
        is where several share the account; what goes on in the background is nobody's.

        Raises:
            LoadFailed: nothing was loaded; the reason is shared with everybody who waits.
        """
        ...


class _Registry:
    """The one source, and which accounts are in use."""

    source: Source | None = None
    accounts: Callable[[], Iterable[int]] = staticmethod(tuple)


def register(source: Source, *, accounts: Callable[[], Iterable[int]] = tuple) -> None:
    """
    Make `source` the one that loads days; called from `AppConfig.ready()`.

    Args:
        accounts: returns the ids of the accounts in use, so that an emptied Redis is noticed before a caller asks.
    """
    _Registry.source = source
    _Registry.accounts = staticmethod(accounts)


def current() -> Source:
    """Return the registered source."""
    if _Registry.source is None:
        raise LoadFailed("no_source")
    return _Registry.source


def accounts() -> Iterable[int]:
    """Return the ids of the accounts in use."""
    return _Registry.accounts()
