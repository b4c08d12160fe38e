"""The schema and the page that shows it: public, like the sentence on a door."""

from functools import cache
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.views import View
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.permissions import AllowAny


@cache
def openapi() -> bytes:
    """Return the OpenAPI document. It does not change while the process runs."""
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)


class OpenApi(View):
    """The OpenAPI document."""

    def get(self, _request: HttpRequest) -> HttpResponse:
        """Return it."""
        return HttpResponse(openapi(), content_type="application/vnd.oai.openapi+json;version=3.1")


class Docs(SpectacularSwaggerView):
    """The page, with scripts from the package beside us."""

    url_name = "openapi"
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []
