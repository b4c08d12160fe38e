"""A login with a role, by one command."""

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from bookings.models import Membership, Role


def create(capsys, *arguments: str) -> str:
    """Return what the command prints."""
    call_command("create_staff", *arguments)
    return capsys.readouterr().out


def test_login_is_created_with_a_password_shown_once(salon, capsys):
    printed = create(capsys, "petra", "--company", "salon", "--full-name", "Petra von Klein")

    membership = Membership.objects.get(user__username="petra")
    assert (membership.company, membership.role) == (salon.company, Role.RECEPTION)
    assert membership.user.get_full_name() == "Petra von Klein"
    assert authenticate(username="petra", password=printed.split()[-1]) == membership.user


def test_repeat_changes_nothing(salon, capsys):
    create(capsys, "petra", "--company", "salon")

    printed = create(capsys, "petra", "--company", "salon")

    assert "Password" not in printed
    assert Membership.objects.count() == 1


def test_provider_gets_the_own_calendar(salon, capsys):
    create(capsys, "ben", "--company", "salon", "--role", "provider", "--staff", "Ben")

    assert Membership.objects.get().staff == salon.ben


def test_operator_belongs_to_no_company(db, capsys):
    create(capsys, "root", "--role", "operator")

    assert Membership.objects.get().company is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--company", "unknown"], "There is no company “unknown”."),
        (["--company", "salon", "--branch", "Kreuzberg"], "There is no branch “Kreuzberg”."),
        (["--company", "salon", "--role", "provider"], "needs their own calendar"),
        (["--role", "owner"], "belongs to no company"),
        (["--company", "salon", "--role", "owner", "--branch", "Mitte"], "all branches"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_login(salon, options, sentence):
    """A login without a role would only puzzle the person who tries it."""
    with pytest.raises(CommandError, match=sentence):
        call_command("create_staff", "petra", *options)

    assert not User.objects.exists()


def test_second_role_is_refused(salon, capsys):
    create(capsys, "petra", "--company", "salon")

    with pytest.raises(CommandError, match="two logins"):
        call_command("create_staff", "petra", "--role", "operator")
