"""What is shown outside of the pages themselves: the address without a path, what is not there, what broke."""

import pytest
from django.test import Client
from django.urls import reverse

from config import urls


def test_address_without_a_path_leads_to_the_admin(client):
    """That is what people type."""
    assert client.get("/")["Location"] == reverse("admin:index")


def test_page_that_is_not_there_says_so_in_the_readers_language(client, db):
    shown = client.get("/i18n/nothing", headers={"Accept-Language": "de"})

    assert shown.status_code == 404
    assert "Diese Seite gibt es nicht" in shown.text
    assert reverse("admin:index") in shown.text


def test_program_gets_a_problem_and_no_page(client, db):
    assert client.get("/v1/nothing")["Content-Type"] == "application/problem+json"


def test_broken_page_says_so_without_details(db, monkeypatch):
    """It is in the log; a page with it would show what is secret."""

    def broken(_request):
        raise RuntimeError("a secret")

    monkeypatch.setattr(urls.admin.site, "each_context", broken)
    shown = Client(raise_request_exception=False).get("/admin/login/")

    assert shown.status_code == 500
    assert "Something went wrong" in shown.text
    assert "secret" not in shown.text


@pytest.mark.parametrize("template", ["404.html", "500.html"])
def test_pages_load_nothing_from_elsewhere(template, settings):
    text = (settings.BASE_DIR / "config" / "templates" / template).read_text("utf-8")

    assert "http" not in text
    assert "<script" not in text
