"""The list of callbacks that staff work through: who waits, and what can be done with one click."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from bookings import collectors
from bookings.models import CallbackRequest
from bookings.scheduling import callbacks

LIST = reverse("admin:bookings_callbackrequest_changelist")


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


def waiting(salon, minutes=10, **fields):
    """Write a request that was made so many minutes ago."""
    return CallbackRequest.objects.create(
        company=salon.company,
        branch=salon.branch,
        requested_at=timezone.now() - timedelta(minutes=minutes),
        **{"name": "Anna Schmidt", "phone": "+493090182003", "topic": "A perm", **fields},
    )


def act(desk, callback, verb, **fields):
    """Press a button; return the page that follows."""
    address = reverse("admin:bookings_callbackrequest_act", args=[callback.pk])
    answer = desk.post(address, {"verb": verb, **fields}, follow=True)
    callback.refresh_from_db()
    return answer.text


def test_list_shows_who_waits_and_for_how_long(desk, salon):
    """With a number to dial; the oldest first."""
    waiting(salon, 5, name="Newer")
    waiting(salon, 200, name="Older")

    page = desk.get(LIST).text

    assert page.index("Older") < page.index("Newer")
    assert "waits for 3 hours" in page
    assert '<a class="desk-dial" href="tel:+493090182003">030 90182003</a>' in page


def test_callback_is_done_with_one_button_and_a_note(desk, salon):
    """It says by whom, there and in its history."""
    callback = waiting(salon)

    page = act(desk, callback, "done", note="Comes on Friday")

    assert (callback.state, callback.done_by, callback.note) == ("done", "owner", "Comes on Friday")
    assert "by owner: Comes on Friday" in page
    entry = LogEntry.objects.get(object_id=str(callback.pk))
    assert (entry.user.username, entry.change_message) == ("owner", "Done.")


def test_undo_makes_a_finished_callback_wait_again(desk, salon):
    callback = waiting(salon)
    act(desk, callback, "done")

    act(desk, callback, "undo")

    assert (callback.state, callback.done_by, callback.done_at) == ("open", "", None)


def test_undo_is_refused_where_the_caller_asked_again(desk, salon):
    """One open request for the same is enough."""
    callback = waiting(salon, deduplication_key="same")
    act(desk, callback, "done")
    waiting(salon, deduplication_key="same")

    page = act(desk, callback, "undo")

    assert callback.state == "done"
    assert "Someone else was faster" in page


def test_callback_is_taken_by_one_person(desk, salon, client):
    """The second one is told, and the first one may give it back."""
    callback = waiting(salon)
    assert callbacks.take(callback, by="clerk")

    refused = act(desk, callback, "take")
    assert "clerk has taken it." in refused
    assert callback.taken_by == "clerk"

    assert callbacks.release(callback, by="clerk")
    assert "You have taken it." in act(desk, callback, "take")
    act(desk, callback, "release")
    assert callback.taken_by == ""


def test_caller_who_was_not_reached_is_called_again_later(desk, salon):
    """Until then they do not count as waiting: neither in the list nor for the alert."""
    callback = waiting(salon, 120)

    page = act(desk, callback, "not_reached", hours="4")

    assert (callback.state, callback.attempts) == ("open", 1)
    assert callback.again_at - timezone.now() > timedelta(hours=3)
    assert page.index("Called again later") < page.index("Anna Schmidt", page.index("Called again later"))
    assert "not reached once" in page
    assert not CallbackRequest.objects.due(timezone.now()).exists()
    assert list(collectors.callbacks()) == []


def test_caller_who_is_due_again_waits_from_then_on(salon):
    waiting(salon, 600, again_at=timezone.now() - timedelta(minutes=1))

    assert CallbackRequest.objects.due(timezone.now()).get().waits_since > timezone.now() - timedelta(minutes=2)


@pytest.mark.parametrize("typed", ["030 90182003", "030/901 82 003", "+49 (0)30 90182003", "Schmidt", "perm"])
def test_callback_is_found_as_people_write(desk, salon, typed):
    """By its number, whatever stands between the digits, its name, or a word of what it is about."""
    waiting(salon)
    waiting(salon, name="Karl Weber", phone="+4915187654321", topic="A beard trim")

    page = desk.get(LIST, {"q": typed}).text

    assert "Anna Schmidt" in page
    assert "Karl Weber" not in page


def test_buttons_answer_to_nothing_but_what_they_say(desk, salon):
    """Another verb, or a look, changes nothing."""
    callback = waiting(salon)

    act(desk, callback, "delete")

    assert callback.state == "open"
    assert desk.get(reverse("admin:bookings_callbackrequest_act", args=[callback.pk])).status_code == 405
    assert desk.post(reverse("admin:bookings_callbackrequest_act", args=[0]), {"verb": "done"}).status_code == 404


def test_viewer_sees_no_buttons_and_cannot_act(client, salon, staff_admitted):
    """The right to look is not the right to finish."""
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_callbackrequest"))
    client.force_login(viewer)
    callback = waiting(salon)

    assert 'name="verb"' not in client.get(LIST).text
    address = reverse("admin:bookings_callbackrequest_act", args=[callback.pk])
    assert client.post(address, {"verb": "done"}).status_code == 403
