"""Who loads days. Registered from above, because this app knows no Cal.com."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Protocol

# The reason of a load for which the budget of requests has no room now. Nothing was sent.
THROTTLED = "throttled"
# The reason of a load that the source refuses us: only people can change that.
ACCESS_REFUSED = "unauthorized"
# The reason of a load of an event type that does not exist any more. What was known of its days is no answer either.
GONE = "not_found"


class LoadPriority(StrEnum):
    """Who waits for a load."""

    LIVE = "live"  # a caller waits
    REFRESH = "refresh"  # the days were asked for a moment ago
    WARMING = "warming"  # the days may be asked for soon


class LoadError(Exception):
    """No days could be loaded; what was known before stays all that is known. Try again after `retry_after`."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        """One word for logs and answers, such as `unavailable`."""
        self.retry_after = retry_after
        """Seconds, where somebody said so."""


class Loader(Protocol):
    """Loads free slots from where they are true."""

    def load(
        self,
        *,
        account_id: int,
        event_type_id: int,
        first: date,
        last: date,
        priority: LoadPriority,
        tenant: int | None,
    ) -> Mapping[date, Sequence[int]]:
        """
        Return the slot starts of every UTC date from `first` to `last` (inclusive), in epoch minutes.

        A date without slots is there, with nothing in it. The less urgent, the less of the budget may it use. `tenant`
        says whose caller waits, where several share the account; what goes on in the background is nobody's.

        Raises:
            LoadError: nothing was loaded; the reason is shared with everybody who waits.
        """
        ...


class _Registry:
    """The one source, and which accounts are in use."""

    loader: Loader | None = None
    accounts: Callable[[], Iterable[int]] = staticmethod(tuple)


def register(loader: Loader, *, accounts: Callable[[], Iterable[int]] = tuple) -> None:
    """
    Make `source` the one that loads days; called from `AppConfig.ready()`.

    Args:
        accounts: returns the ids of the accounts in use, so that an emptied Redis is noticed before a caller asks.
    """
    _Registry.loader = loader
    _Registry.accounts = staticmethod(accounts)


def current() -> Loader:
    """Return the registered source."""
    if _Registry.loader is None:
        raise LoadError("no_source")
    return _Registry.loader


def accounts() -> Iterable[int]:
    """Return the ids of the accounts in use."""
    return _Registry.accounts()
