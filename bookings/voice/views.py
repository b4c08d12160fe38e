"""GET /v1/tools: the definitions of the tools, as a voice platform takes them."""

from typing import ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api.problems import RequestInvalid
from bookings.api.views.base import AgentView
from bookings.models import AgentKey
from bookings.voice.formats import FORMATS, definitions
from bookings.voice.tools import PROMPTS


class ToolsView(AgentView):
    scopes: ClassVar = {"GET": AgentKey.Scope.AVAILABILITY_READ}

    @extend_schema(
        operation_id="list_tools",
        tags=["tools"],
        description="What an integrator pastes into a voice platform: the tools, and a system prompt.",
        parameters=[
            OpenApiParameter("format", str, enum=list(FORMATS), required=True, description="the platform"),
            OpenApiParameter("language", str, description="of what callers hear meanwhile: de, en"),
        ],
        responses={200: {"type": "object", "properties": {"tools": {"type": "array"}, "prompt": {"type": "string"}}}},
    )
    def get(self, request: Request) -> Response:
        """Return the tools in the format of a platform, with the addresses of this installation."""
        platform = request.query_params.get("format", "")
        if platform not in FORMATS:
            raise RequestInvalid("format", f"It must be one of {', '.join(FORMATS)}.")
        language = self.context.language
        base_url = request.build_absolute_uri("/").rstrip("/")
        tools = definitions(platform, language=language, base_url=base_url, company=self.context.key.company.slug)
        return Response({"ok": True, "format": platform, "tools": tools, "prompt": PROMPTS[language]})
