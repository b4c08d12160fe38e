"""The staff's site: who may enter it, and how often one may try."""

from typing import Any

import structlog
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from bookings.roles import scope_of
from cachectl.infra.throttle import Throttle
from monitoring import metrics
from monitoring.middleware import address_of

log = structlog.get_logger(__name__)

# A password takes a third of a second of processor to check, and people choose guessable ones.
PER_ACCOUNT = Throttle("login-account", "5 per 15 minutes")
PER_ADDRESS = Throttle("login-address", "20 per 15 minutes")


class LoginForm(AuthenticationForm):
    """Name and password; after too many wrong ones they are not looked at for a while."""

    def clean(self) -> dict[str, Any]:
        """
        Check name and password.

        Raises:
            ValidationError: they are wrong, or there were too many wrong ones for the account or from the address.
        """
        name = self.cleaned_data.get("username", "").casefold()
        address = address_of(self.request.META) if self.request else ""
        if PER_ACCOUNT.wait(name) or PER_ADDRESS.wait(address):
            metrics.LOGINS.labels("throttled").inc()
            log.warning("admin.login_throttled")
            raise ValidationError("Too many wrong passwords. Try again in 15 minutes.", code="throttled")
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            PER_ACCOUNT.hit(name)
            PER_ADDRESS.hit(address)
            metrics.LOGINS.labels("failed").inc()
            log.warning("admin.login_failed")
            raise
        metrics.LOGINS.labels("ok").inc()
        return cleaned

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """
        Admit superusers, and people with a membership.

        Raises:
            ValidationError: the user is neither.
        """
        super().confirm_login_allowed(user)
        if not _may_enter(user):
            raise self.get_invalid_login_error()


class Site(UnfoldAdminSite):
    """The staff's site. Pages show the rows of a person's memberships: see `bookings.roles`."""

    login_form = LoginForm
    index_template = "bookings/today.html"

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the request may see any page of the site."""
        return _may_enter(request.user)


def _may_enter(user: AbstractBaseUser | AnonymousUser) -> bool:
    return scope_of(user).role is not None
