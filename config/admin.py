"""The staff's site: who may enter it, and how often one may try."""

import time
from typing import Any

import structlog
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from bookings.frame import sidebar
from bookings.roles import scope_of
from cachectl.infra.throttle import Throttle
from config import second_factor
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
            raise ValidationError(_("Too many wrong passwords. Try again in 15 minutes."), code="throttled")
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
        if not _may_enter(user):  # not `is_staff`, which Django asks for: a membership says it, and nothing else
            raise self.get_invalid_login_error()


class Site(UnfoldAdminSite):
    """The staff's site. Pages show the rows of a person's memberships: see `bookings.roles`."""

    login_form = LoginForm
    index_template = "bookings/today.html"

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the request may see any page of the site."""
        return _may_enter(request.user) and not second_factor.is_missing(request)

    def get_urls(self) -> list[Any]:
        """Add the page of the second factor, which is there for people who may see no other page yet."""
        return [path("second-factor/", self.second_factor, name="second_factor"), *super().get_urls()]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Ask for name and password; who has given them is asked for the second factor next."""
        if request.method == "GET" and _may_enter(request.user) and second_factor.is_missing(request):
            return HttpResponseRedirect(second_factor.address_of_page(request.GET.get(REDIRECT_FIELD_NAME, "")))
        named = {"site_title": sidebar.site_name(), **(extra_context or {})}
        answer: HttpResponse = super().login(request, named)
        return answer

    def search(
        self,
        request: HttpRequest,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002  as the overridden
    ) -> TemplateResponse | HttpResponse:
        """
        Answer the search of the sidebar and the command palette.

        django-unfold's own keeps what it finds in the cache: callers' names, also after a role has changed.
        """
        text = request.GET.get("s", "").strip()
        if not text:
            return HttpResponse()
        began = time.perf_counter()
        results = Paginator(sidebar.search(request, text), 100)
        kind = "command" if "extended" in request.GET else "search"
        context = {
            "page_obj": results,
            "results": results.page(1),
            "page_counter": 0,
            "execution_time": time.perf_counter() - began,
            "command_show_history": False,
        }
        return TemplateResponse(
            request, f"unfold/helpers/{kind}_results.html", context, headers={"HX-Trigger": "search"}
        )

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Ask a person who has given a password for their second factor."""
        if not _may_enter(request.user):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return second_factor.page(request, self.each_context(request))


def _may_enter(user: AbstractBaseUser | AnonymousUser) -> bool:
    return scope_of(user).role is not None
