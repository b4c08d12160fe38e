"""How often a password or a signature may be wrong before its account or address is refused unseen."""

from functools import lru_cache

from django.conf import settings
from django.utils.crypto import salted_hmac
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import RedisError

from cachectl.connections import redis_client


class FailureLimit:
    """
    A limit such as "5 per 15 minutes" on the failures of one subject: an account, an address.

    Counted in Redis by a keyed hash of the subject; while Redis is away, each process counts for itself.
    """

    def __init__(self, name: str, limit: str) -> None:
        """
        Count under `name`, which no other limit has.

        Raises:
            ValueError: `limit` is none that the library `limits` understands.
        """
        self._name = name
        self._limit: RateLimitItem = parse(limit)
        self._own = MovingWindowRateLimiter(MemoryStorage())

    def is_reached(self, subject: str) -> bool:
        """Return whether the subject has failed so often that it is to be refused unseen."""
        key = self._key(subject)
        try:
            with redis_client().rest.kept(settings.REDIS_TIMEOUT):
                return not _shared(settings.REDIS_URL).test(self._limit, key)
        except RedisError:
            return not self._own.test(self._limit, key)

    def count(self, subject: str) -> None:
        """Count a failure."""
        key = self._key(subject)
        self._own.hit(self._limit, key)
        try:
            with redis_client().rest.kept(settings.REDIS_TIMEOUT):
                _shared(settings.REDIS_URL).hit(self._limit, key)
        except RedisError:
            return

    @property
    def seconds(self) -> int:
        """Return after how many seconds a failure no longer counts."""
        return int(self._limit.get_expiry())

    def _key(self, subject: str) -> str:
        """Return what stands for the subject in Redis: neither an address nor a name can be read out of it."""
        return f"{self._name}:{salted_hmac(self._name, subject, algorithm='sha256').hexdigest()[:32]}"


@lru_cache(maxsize=4)
def _shared(url: str) -> MovingWindowRateLimiter:
    pool = redis_client().connection_pool
    return MovingWindowRateLimiter(RedisStorage(url, connection_pool=pool, key_prefix="sl1:failures"))
