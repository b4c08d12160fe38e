"""History that can be looked at and not changed."""

from datetime import timedelta

import pytest
from django.test import Client

from cachectl.models import CacheInvalidation, Warming


@pytest.mark.django_db
def test_invalidations_are_listed_filtered_and_searched(admin_client: Client) -> None:
    """Staff see which days were invalidated, why, and what is pending."""
    row = {
        "account_id": 7,
        "event_type_ids": list(range(8)),
        "first": "2026-11-23",
        "last": "2026-11-24",
        "cause": "own",
    }
    CacheInvalidation.objects.create(**row)
    CacheInvalidation.objects.create(
        **row | {"account_id": 8}, duration=timedelta(milliseconds=1.25), done_at="2026-11-23T10:00Z"
    )

    page = admin_client.get("/admin/cachectl/cacheinvalidation/")
    assert "0, 1, 2, 3, 4 and 3 more" in page.text
    assert "1.2" in page.text

    for query, found in (("pending=1", 1), ("pending=0", 1), ("", 2), ("q=7", 1), ("cause=own", 2)):
        page = admin_client.get(f"/admin/cachectl/cacheinvalidation/?{query}")
        assert page.context["cl"].result_count == found, query


@pytest.mark.django_db
def test_history_cannot_be_changed(admin_client: Client) -> None:
    """Not added, not edited, not deleted."""
    cache_invalidation = CacheInvalidation.objects.create(
        account_id=7, event_type_ids=[1], first="2026-11-23", last="2026-11-24", cause="own"
    )
    Warming.objects.create(account_id=7)

    assert admin_client.get("/admin/cachectl/cacheinvalidation/add/").status_code == 403
    assert (
        admin_client.post(
            f"/admin/cachectl/cacheinvalidation/{cache_invalidation.id}/change/", {"cause": "command"}
        ).status_code
        == 403
    )
    assert (
        admin_client.post(
            f"/admin/cachectl/cacheinvalidation/{cache_invalidation.id}/delete/", {"post": "yes"}
        ).status_code
        == 403
    )
    assert admin_client.get("/admin/cachectl/warming/").status_code == 200
    assert admin_client.get(f"/admin/cachectl/cacheinvalidation/{cache_invalidation.id}/change/").status_code == 200
