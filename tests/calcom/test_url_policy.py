"""Where a credential may be sent."""

from ipaddress import ip_address

import pytest

from calcom.http import transport, url_policy
from tests.calcom.wire import answer, sends, serving


@pytest.fixture
def production(settings):
    """Settings that allow the internet."""
    settings.CALCOM_LOOPBACK_ONLY = False
    settings.CALCOM_ALLOWED_NETWORKS = []
    return settings


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("https://api.cal.com", "https://api.cal.com"),
        ("https://api.cal.com/", "https://api.cal.com"),
        ("https://API.cal.com/v2", "https://api.cal.com"),
        ("https://api.cal.com/v2/", "https://api.cal.com"),
        ("https://cal.example.org/api/v2", "https://cal.example.org/api"),
        ("http://127.0.0.1:4010/v2", "http://127.0.0.1:4010"),
    ],
)
def test_base_url_is_normalised(typed, stored):
    """Requests add /v2 themselves."""
    assert url_policy.normalised(typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "https://api.cal.com?x=1",
        "https://api.cal.com/?",
        "https://api.cal.com/v2#top",
        "https://key@api.cal.com",
        "https://",
        "ftp://api.cal.com",
        "https://api.cal.com:port",
        "https://[::1",
    ],
)
def test_base_url_with_more_than_an_address_is_refused(typed):
    """What is behind it would end up in the middle of every URL."""
    with pytest.raises(ValueError, match="base URL"):
        url_policy.normalised(typed)
    assert url_policy.objection(typed)


@pytest.mark.parametrize(
    "inside",
    [
        "https://127.0.0.1",
        "https://localhost",
        "https://10.0.0.5",
        "https://192.168.1.1",
        "https://172.16.9.9",
        "https://169.254.169.254",
        "https://100.64.0.1",
        "https://[::1]",
        "https://[fe80::1]",
        "https://[fd00::1]",
        "https://[::ffff:10.0.0.5]",
        "https://0.0.0.0",
    ],
)
def test_internal_addresses_are_refused_in_production(production, inside):
    """Metadata services, databases and routers answer there."""
    assert "CALCOM_ALLOWED_NETWORKS" in url_policy.objection(inside)


def test_networks_that_are_named_are_allowed(production):
    """A Cal.com of one's own may stand beside Slotline."""
    production.CALCOM_ALLOWED_NETWORKS = ["10.1.0.0/16", "fd00::/8"]

    assert url_policy.objection("https://10.1.2.3") == ""
    assert url_policy.objection("https://[fd00::7]") == ""
    assert url_policy.objection("https://10.2.2.3")


def test_name_of_an_internal_address_is_refused_when_entered(production, monkeypatch):
    """A public name may have any address."""
    monkeypatch.setattr(
        url_policy.socket, "getaddrinfo", lambda *_args, **_named: [(2, 1, 6, "", ("169.254.169.254", 0))]
    )

    assert url_policy.objection("https://innocent.example") == ""
    assert "address of the inside" in url_policy.objection_after_resolution("https://innocent.example")


def test_name_of_an_internal_address_is_refused_when_connecting(production):
    """It may have led elsewhere when it was entered: what counts is the address that the connection has."""
    production.CALCOM_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    request = {"method": "GET", "headers": {}, "params": {}, "body": None, "timeout": 5.0, "reuse_connection": False}
    with serving(sends(answer(b"ok"))) as base_url:
        assert transport.send(url=base_url, **request).status == 200
        production.CALCOM_ALLOWED_NETWORKS = []

        with pytest.raises(transport.NotSent):
            transport.send(url=base_url, **request)


@pytest.mark.parametrize("public", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_allowed(production, public):
    """However they are spelled."""
    assert url_policy.may_connect(ip_address(public))
