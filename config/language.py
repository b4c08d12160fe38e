"""Which language a page has: the browser's, or the person's choice. Programs are answered in one language."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

_PAGES = ("/admin/", "/i18n/")


class PagesLocaleMiddleware(LocaleMiddleware):
    """Django's, for pages that people read."""

    def process_request(self, request: HttpRequest) -> None:
        """Activate the reader's language; for programs that of the settings, as a thread keeps the last one."""
        if request.path_info.startswith(_PAGES):
            super().process_request(request)
        else:
            translation.deactivate()

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Name the language in the answer."""
        if request.path_info.startswith(_PAGES) and isinstance(response, HttpResponse):
            response = super().process_response(request, response)
        translation.deactivate()
        return response
