"""What every test may ask for."""

from collections.abc import Iterator

import pytest

from cachectl.connections import redis_client


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    """Begin each test with an empty Redis."""
    redis_client().flushdb()
    yield
