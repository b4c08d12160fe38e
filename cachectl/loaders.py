"""The loader of days, registered by calcom because this app knows no Cal.com, and what a load may fail with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Protocol

# Reasons of a LoadError. No permit from the rate limiter now: nothing was sent.
THROTTLED = "throttled"
# The source refuses our credentials: only people can change that.
ACCESS_REFUSED = "unauthorized"
# The event type does not exist any more: cached days are no answer either.
GONE = "not_found"


class LoadPriority(StrEnum):
    """Whether a caller waits for a load."""

    LIVE = "live"  # a caller waits
    REFRESH = "refresh"  # the days were asked for a moment ago
    WARMING = "warming"  # the days may be asked for soon


class LoadError(Exception):
    """No days were loaded; cached entries stay. Try again after `retry_after`."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        """One word for logs and answers, such as `unavailable`."""
        self.retry_after = retry_after
        """Seconds, if known."""


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

        A date without slots is present and empty. The lower the priority, the smaller its share of the rate limit.
        `tenant` is the company of the waiting caller if several share the account; background loads have none.

        Raises:
            LoadError: nothing was loaded; all waiters get the reason.
        """
        ...


class _Registry:
    """The registered loader, and the accounts in use."""

    loader: Loader | None = None
    accounts: Callable[[], Iterable[int]] = staticmethod(tuple)


def register(loader: Loader, *, accounts: Callable[[], Iterable[int]] = tuple) -> None:
    """
    Register the loader of days; called from `AppConfig.ready()`.

    Args:
        accounts: returns the ids of the accounts in use, so that an emptied Redis is noticed before a caller asks.
    """
    _Registry.loader = loader
    _Registry.accounts = staticmethod(accounts)


def current() -> Loader:
    """Return the registered loader."""
    if _Registry.loader is None:
        raise LoadError("no_loader")
    return _Registry.loader


def accounts() -> Iterable[int]:
    """Return the ids of the accounts in use."""
    return _Registry.accounts()
