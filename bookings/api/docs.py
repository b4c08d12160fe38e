"""The schema and the page that shows it: public, like the sentence on a door."""

from functools import cache
from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bookings.api.wire import Renderer


@cache
def openapi() -> bytes:
    """Return the OpenAPI document. It does not change while the process runs."""
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)


class OpenApi(APIView):
    """The OpenAPI document."""

    schema = None
    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    def get(self, _request: Request) -> HttpResponse:
        """Return it."""
        return HttpResponse(openapi(), content_type="application/vnd.oai.openapi+json;version=3.1")


class Docs(SpectacularSwaggerSplitView):
    """The page, with scripts from the package beside us, and its own as a file: inline ones are not allowed."""

    url_name = "openapi"
    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    def handle_exception(self, exc: Exception) -> Response:
        """Tell what went wrong as everywhere, and not as a page."""
        self.request.accepted_renderer = Renderer()
        return super().handle_exception(exc)
