"""What the outside may know about us. Nothing changes here, so a wrong method is 405 and not what a form is told."""

import ipaddress
import secrets
from collections.abc import Sequence
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from monitoring import collectors, exporter, performance
from monitoring.collectors import Answer


@csrf_exempt
@never_cache
@require_safe
def health(_request: HttpRequest) -> JsonResponse:
    """Say how everything is: `ok`, `degraded` (answers still come), or `down` with status 503."""
    answers = collectors.PROBES.answers()
    probes = {
        answer.name: {
            "ok": not answer.problem,
            "vital": answer.name in collectors.VITAL,
            "took_ms": answer.duration_ms,
            "detail": answer.problem,
        }
        for answer in answers
    }
    down = _missing(answers)
    status = "down" if down else "degraded" if any(answer.problem for answer in answers) else "ok"
    missing = [f"{answer.name}: {answer.problem}" for answer in answers if answer.problem and _sells(answer.name)]
    body = {
        "status": status,
        "version": settings.RELEASE,
        "ready_to_sell": {"ok": not missing, "reason": "; ".join(missing)},
        "probes": probes,
    }
    return JsonResponse(body, status=HTTPStatus.SERVICE_UNAVAILABLE if down else HTTPStatus.OK)


@csrf_exempt
@never_cache
@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    """Say that this process answers. It depends on nothing else, so that no outage elsewhere restarts it."""
    return JsonResponse({"status": "ok", "version": settings.RELEASE})


@csrf_exempt
@never_cache
@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Say whether callers may be sent here: 503 while something vital is missing."""
    missing = _missing(collectors.PROBES.answers())
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    return JsonResponse({"ready": not missing, "missing": missing, "version": settings.RELEASE}, status=status)


def _sells(probe: str) -> bool:
    """Return whether no booking can be confirmed without this part: a vital one, and Cal.com with our key."""
    return probe in collectors.VITAL or probe in {"calcom", "calcom_keys"}


def _missing(answers: Sequence[Answer[object]]) -> list[str]:
    """Return the names of the vital probes that failed."""
    return [answer.name for answer in answers if answer.problem and answer.name in collectors.VITAL]


@csrf_exempt
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Export the metrics of all processes that count together, in Prometheus' format."""
    if not _may_see(request):
        return HttpResponseForbidden("Forbidden\n")
    return HttpResponse(exporter.text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@csrf_exempt
@never_cache
@require_safe
def performance_metrics(request: HttpRequest) -> HttpResponse:
    """Say how we are doing, for people and scripts."""
    if not _may_see(request):
        return HttpResponseForbidden("Forbidden\n")
    return JsonResponse(performance.report(), json_dumps_params={"indent": 1})


def _may_see(request: HttpRequest) -> bool:
    """
    Return whether the figures are this client's business.

    With MONITORING_TOKEN set, that token decides. Without one it must be a direct client from a private network: behind
    a proxy everybody seems to be one, so a forwarded request needs the token.
    """
    if settings.MONITORING_TOKEN:
        expected = f"Bearer {settings.MONITORING_TOKEN}"
        return secrets.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode())
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return not forwarded and _is_private(request.META.get("REMOTE_ADDR", ""))


def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return not address  # a Unix socket has no address
