"""What every answer of ours carries, and how health is asked."""

import re

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/admin/login/", "/v1/docs"])
def test_pages_carry_a_content_security_policy(client, path):
    """They load nothing from elsewhere and run no script that stands in the page."""
    page = client.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in page["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == "'self'"
    assert "unsafe-inline" not in policy["script-src"]
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script(?![^>]*src=)[^>]*>", page.text)


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics", "/performance-metrics"])
@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_health_refuses_other_methods_as_such(path, method):
    """And not with a page about a missing token."""
    assert getattr(Client(enforce_csrf_checks=True), method)(path).status_code == 405


def test_requests_without_tls_are_sent_to_https_but_for_health(client, settings):
    """A proxy that speaks TLS stands before web; health is asked past it."""
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    assert client.get("/v1/docs")["Location"].startswith("https://")
    assert client.get("/v1/docs", HTTP_X_FORWARDED_PROTO="https").status_code == 200
    assert client.get("/health/live").status_code == 200
