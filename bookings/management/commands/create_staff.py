"""Give a person a login and a role: at the desk of a company, or as an operator of all."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.crypto import get_random_string

from bookings.models import Branch, Company, Membership, Role, Staff

PASSWORD_LENGTH = 20


class Command(BaseCommand):
    """See `help`."""

    help = "Create a login with a role, and print its password once. For a known name it adds the membership only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the name to log in with")
        parser.add_argument("--role", choices=Role.values, default=Role.RECEPTION.value)
        parser.add_argument("--company", default="", help="its slug; none for operators")
        parser.add_argument("--branch", default="", help="its name; without one, all branches")
        parser.add_argument("--staff", default="", help="of a provider: the name that callers say")
        parser.add_argument("--full-name", default="", help="as colleagues read it: Petra Klein")

    def handle(self, *, name: str, full_name: str, **options: str | Any) -> None:
        """Create what is missing; all of it or nothing."""
        with transaction.atomic():
            user, is_new = User.objects.get_or_create(username=name, defaults={"is_staff": True})
            first, _, last = full_name.rpartition(" ")
            if full_name:
                user.first_name, user.last_name = first or last, last if first else ""
            password = get_random_string(PASSWORD_LENGTH) if is_new else ""
            if password:
                user.set_password(password)
            user.save()
            membership = _membership(user, options)
        self.stdout.write(f"{membership}.")
        if password:
            self.stdout.write(f"Password, shown this once: {password}")


def _membership(user: User, options: dict[str, Any]) -> Membership:
    company = _found(Company.objects.filter(slug=options["company"]), "company", options["company"])
    branch = _found(Branch.objects.filter(company=company, name=options["branch"]), "branch", options["branch"])
    people = Staff.objects.filter(branch__company=company, name=options["staff"])
    staff = _found(people.filter(branch=branch) if branch else people, "staff", options["staff"])
    membership = Membership(user=user, company=company, branch=branch, role=options["role"], staff=staff)
    same = Membership.objects.filter(user=user, company=company, branch=branch, role=options["role"], staff=staff)
    if (earlier := same.first()) is not None:
        return earlier
    try:
        membership.full_clean()
    except ValidationError as exc:
        raise CommandError(" ".join(exc.messages)) from exc
    membership.save()
    return membership


def _found(rows: Any, what: str, name: str) -> Any:
    """Return the row that is named, None without a name."""
    if not name:
        return None
    if (row := rows.first()) is None:
        raise CommandError(f"There is no {what} “{name}”.")
    return row
