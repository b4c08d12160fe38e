"""GET /v1/tools: the definitions of the tools, as a voice platform takes them."""

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import openapi
from bookings.api.problems import RequestInvalid
from bookings.api.views.base import AgentView
from bookings.models import AgentKey
from bookings.voice.formats import FORMATS, definitions
from bookings.voice.tools import PROMPTS


class ToolsView(AgentView):
    scopes: ClassVar = {"GET": AgentKey.Scope.AVAILABILITY_READ}

    @openapi.list_tools
    def get(self, request: Request) -> Response:
        """Return the tools in the format of a platform, with the addresses of this installation."""
        platform = request.query_params.get("format", "")
        if platform not in FORMATS:
            raise RequestInvalid("format", f"It must be one of {', '.join(FORMATS)}.")
        language = self.context.language
        base_url = request.build_absolute_uri("/").rstrip("/")
        tools = definitions(platform, language=language, base_url=base_url, company=self.context.key.company.slug)
        return Response({"ok": True, "format": platform, "tools": tools, "prompt": PROMPTS[language]})
