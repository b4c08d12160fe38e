"""
The second factor of the staff's site: a one-time code of an app (TOTP), or a recovery code that is good once.

Operators and owners need one. The library django-otp keeps the devices and makes wrong codes wait.
"""

from base64 import b32encode
from typing import Any, cast

import segno
import structlog
from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django_otp import login as note_verified
from django_otp import match_token, user_has_device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import UnfoldAdminTextInputWidget

from bookings.models import Role
from bookings.roles import scope_of

log = structlog.get_logger(__name__)

RECOVERY_CODES = 10
_CODE_LENGTH = 10
_CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is read as another


class CodeForm(forms.Form):
    """A one-time code, or a recovery code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            {"autocomplete": "one-time-code", "autofocus": True, "inputmode": "text", "spellcheck": "false"}
        ),
    )

    def clean_code(self) -> str:
        """Return it as it is stored, whatever blanks were typed."""
        return "".join(self.cleaned_data["code"].split()).casefold()


def is_missing(request: HttpRequest) -> bool:
    """Return whether the person's role needs a second factor that this session has not shown yet."""
    user: Any = request.user
    if not settings.SECOND_FACTOR or user.is_anonymous:
        return False
    return scope_of(user).role in {Role.OWNER, Role.OPERATOR} and not user.is_verified()


def address_of_page(following: str) -> str:
    """Return the address of the page, which leads on to `following`."""
    return f"{reverse('admin:second_factor')}?{urlencode({'next': following})}"


@never_cache
def page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Ask for a code; without a device, set one up first. Its recovery codes are shown once."""
    user = cast("User", request.user)
    if not is_missing(request):
        return HttpResponseRedirect(_following(request))
    device = None if user_has_device(user) else _new_device(user)
    form = CodeForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        if device is not None and device.verify_token(form.cleaned_data["code"]):
            codes = _confirm(request, device)
            shown = {**context, "title": _("Recovery codes"), "codes": codes, "following": _following(request)}
            return TemplateResponse(request, "config/recovery_codes.html", shown)
        used = match_token(user, form.cleaned_data["code"]) if device is None else None
        if used is not None:
            note_verified(request, used)
            return HttpResponseRedirect(_following(request))
        log.warning("admin.second_factor_failed")
        form.add_error("code", _("That code is wrong or used up. After several wrong ones, wait a moment."))
    shown = {**context, "title": _("Second factor"), "form": form, **({} if device is None else _drawn(device))}
    return TemplateResponse(request, "config/second_factor.html", shown)


def _following(request: HttpRequest) -> str:
    """Return where the person wanted to go, if that is one of our pages."""
    asked = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(asked, {request.get_host()}, require_https=request.is_secure())
    return asked if is_ours else resolve_url(settings.LOGIN_REDIRECT_URL)


def _new_device(user: User) -> TOTPDevice:
    """Return the device that is being set up: the same one until a code of it was right."""
    device, _is_new = TOTPDevice.objects.get_or_create(user=user, confirmed=False, defaults={"name": "app"})
    return cast("TOTPDevice", device)


def _confirm(request: HttpRequest, device: TOTPDevice) -> list[str]:
    """Count the device from now on; return new recovery codes."""
    codes = [get_random_string(_CODE_LENGTH, _CODE_LETTERS) for _ in range(RECOVERY_CODES)]
    with transaction.atomic():
        device.confirmed = True
        device.save()
        recovery, _is_new = StaticDevice.objects.get_or_create(user=device.user, defaults={"name": "recovery codes"})
        recovery.token_set.all().delete()
        StaticToken.objects.bulk_create([StaticToken(device=recovery, token=code) for code in codes])
    note_verified(request, device)
    log.info("admin.second_factor_set_up")
    return codes


def _drawn(device: TOTPDevice) -> dict[str, str]:
    """Return the secret as an app reads it, and as a person types it."""
    code = segno.make(device.config_url, error="m")
    secret = b32encode(device.bin_key).decode()
    return {
        "drawing": mark_safe(code.svg_inline(scale=5, border=2, light="#fff")),  # noqa: S308  made here, of no input
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
    }
