"""Which service is meant, without reading all of them."""

import pytest

from bookings.api import directory
from bookings.api.problem_catalog import ServiceNotOffered


def test_a_service_named_by_its_id_costs_one_row(salon, django_assert_num_queries):
    """A company may have ten thousand services; a cached answer must not grow with them."""
    directory.forget()

    with django_assert_num_queries(1) as asked:
        assert directory.service_of(salon.agent_key, f"sv_{salon.cut.pk}") == salon.cut
        assert directory.service_of(salon.agent_key, str(salon.cut.pk)) == salon.cut

    assert f'"bookings_service"."id" = {salon.cut.pk}' in asked.captured_queries[0]["sql"]


def test_another_companys_id_is_no_service(salon, practice):
    """FM-26: however it is spelled, and whoever asked for it a moment before."""
    assert directory.service_of(practice.agent_key, f"sv_{practice.check_up.pk}") == practice.check_up

    with pytest.raises(ServiceNotOffered):
        directory.service_of(salon.agent_key, f"sv_{practice.check_up.pk}")
