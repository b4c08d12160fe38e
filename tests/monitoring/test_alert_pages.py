"""Staff see alerts, take them and silence them."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from monitoring.models import Alert, Notification, Silence

ALERTS = "/admin/monitoring/alert/"


@pytest.fixture
def browser(db: None) -> Client:
    """A superuser's."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("owner"))
    return browser


@pytest.fixture
def alert(db: None) -> Alert:
    """One that fires."""
    return Alert.objects.create(
        name="circuit_open", subject="account=1 kind=reads", severity="critical", message="Cal.com does not answer (1)"
    )


def act(browser: Client, action: str, *alerts: Alert) -> str:
    """Choose an action for some rows of the list, and return the page that follows."""
    form = {"action": action, "_selected_action": [each.pk for each in alerts]}
    return browser.post(ALERTS, form, follow=True).text


def test_alerts_that_fired_are_listed(browser: Client, alert: Alert) -> None:
    Alert.objects.create(name="queue_deep", severity="warning", message="not yet", fired_at=None)

    page = browser.get(ALERTS).text

    assert "Cal.com does not answer (1)" in page
    assert "not yet" not in page


def test_page_of_an_alert_says_where_to_read_on(browser: Client, alert: Alert) -> None:
    assert "docs/runbooks/circuit_open.md" in browser.get(f"{ALERTS}{alert.pk}/change/").text


def test_acknowledging_is_noted_with_its_person(browser: Client, alert: Alert) -> None:
    over = Alert.objects.create(name="drift", severity="warning", message="over", resolved_at=timezone.now())

    page = act(browser, "acknowledge", alert, over)

    alert.refresh_from_db()
    over.refresh_from_db()
    assert "1 alerts acknowledged." in page
    assert (alert.acknowledged_by, over.acknowledged_by) == ("owner", "")
    assert [(entry.object_id, entry.change_message) for entry in LogEntry.objects.all()] == [
        (str(alert.pk), "Acknowledged.")
    ]


@pytest.mark.parametrize("hours", [1, 24])
def test_silencing_keeps_messages_back_for_some_hours(browser: Client, alert: Alert, hours: int) -> None:
    act(browser, f"silence_{hours}h", alert)

    silence = Silence.objects.get()
    assert silence.covers(alert)
    assert timedelta() <= timezone.now() + timedelta(hours=hours) - silence.until < timedelta(minutes=1)
    assert silence.created_by == "owner"
    assert LogEntry.objects.get().change_message.startswith("Silenced until ")


def test_silence_that_staff_enter_is_theirs(browser: Client) -> None:
    form = {"name": "drift", "subject": "", "until_0": "2030-01-01", "until_1": "00:00", "reason": "moving house"}

    browser.post("/admin/monitoring/silence/add/", form)

    assert Silence.objects.get().created_by == "owner"


def test_messages_are_listed_and_cannot_be_changed(browser: Client) -> None:
    message = Notification.objects.create(channel="a" * 16, severity="warning", title="[WARNING] drift", body="…")

    assert "[WARNING] drift" in browser.get("/admin/monitoring/notification/").text
    assert browser.post(f"/admin/monitoring/notification/{message.pk}/change/", {}).status_code == 403
    assert browser.get("/admin/monitoring/notification/add/").status_code == 403
