"""The endpoint of Cal.com's webhooks: verify, store and respond. `inbox` processes them later."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from cachectl.infra import executors, outbox
from cachectl.infra.throttle import Throttle
from calcom import tasks
from calcom.models import Account
from calcom.webhooks import inbox, messages, signature
from monitoring import metrics
from monitoring.middleware import address_of

log = structlog.get_logger(__name__)

# Each wrong one costs a query. After its secret was changed here, an account is polled until Cal.com has the new one.
BAD_SIGNATURES = Throttle("webhook-signature", "60 per minute")


@csrf_exempt
def receive(request: HttpRequest, account_id: int) -> HttpResponse:
    """Store a webhook of the account and respond 202; the signature of the raw body authenticates it."""
    if request.method != "POST":
        return _problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "Webhooks are sent by POST.", Allow="POST")
    try:
        return _stored(account_id, request.body, request.headers.get(signature.HEADER, ""), request.META)
    except RequestDataTooBig:
        return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request_too_large", "No webhook is that large.")
    except (UnreadablePostError, ValueError):
        return _problem(
            HTTPStatus.BAD_REQUEST, "request_malformed", "The body must be a JSON object with a triggerEvent."
        )
    except (OperationalError, InterfaceError) as exc:
        log.warning("webhook.not_stored", account_id=account_id, error_type=type(exc).__name__)
        return _problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "It was not stored. Send it again after Retry-After.",
            **{"Retry-After": "60"},
        )


def _stored(account_id: int, body: bytes, signed: str, environ: Mapping[str, Any]) -> HttpResponse:
    address = address_of(environ)
    if wait := BAD_SIGNATURES.wait(address):
        metrics.BAD_SIGNATURES.labels("throttled").inc()
        return _problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many webhooks with a wrong signature came from this address.",
            **{"Retry-After": str(math.ceil(wait))},
        )
    account = Account.objects.only("webhook_secret").filter(pk=account_id, active=True).first()
    # An unknown account costs as much as a wrong signature and gets the same response: it does not reveal which exist.
    secret = account.webhook_secret if account else ""
    if not signature.is_genuine(secret=secret, body=body, signature=signed) or account is None:
        BAD_SIGNATURES.hit(address)
        metrics.BAD_SIGNATURES.labels("refused").inc()
        return _problem(
            HTTPStatus.UNAUTHORIZED,
            "signature_invalid",
            f"{signature.HEADER} must be made of exactly this body, with the account's webhook secret.",
        )
    delivery_id = inbox.receive(account_id=account.pk, body=messages.read(body))
    if delivery_id is not None:
        # In the background: an unreachable broker would delay the response by 0.3 s. The relay finds the row anyway.
        executors.submit_background(outbox.publish, tasks.process)
    return JsonResponse({"ok": True, "received_before": delivery_id is None}, status=HTTPStatus.ACCEPTED)


def _problem(status: HTTPStatus, code: str, detail: str, **headers: str) -> HttpResponse:
    body = {
        "type": f"urn:slotline:problem:{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    return JsonResponse(body, status=status, headers=headers, content_type="application/problem+json")
