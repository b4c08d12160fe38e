"""GET /v1/services."""

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import openapi, presenters
from bookings.api.directory import ranked, services_of
from bookings.api.problems import RequestInvalid
from bookings.api.views.base import AgentView
from bookings.models import AgentKey


class ServicesView(AgentView):
    scopes: ClassVar = {"GET": AgentKey.Scope.AVAILABILITY_READ}

    @openapi.list_services
    def get(self, request: Request) -> Response:
        """List the services; with q, those whose name or alias resembles it, the best match first."""
        words = request.query_params.get("q", "").strip()
        if len(words) > 200:
            raise RequestInvalid("q", "It may have at most 200 characters.")
        services = services_of(self.context.key)
        found = ranked(services, words) if words else [(service, None) for service in services]
        return Response({"ok": True, "services": [presenters.listed_service(*pair) for pair in found]})
