"""The addresses that voice platforms call."""

from django.urls import path

from bookings.voice import bland, elevenlabs, mcp, retell, vapi
from bookings.voice.views import ToolsView

urlpatterns = [
    path("v1/tools", ToolsView.as_view(), name="tools"),
    path("adapters/retell/<slug:company>/fn", retell.function, name="retell-function"),
    path("adapters/retell/<slug:company>/inbound", retell.inbound, name="retell-inbound"),
    path("adapters/retell/<slug:company>/events", retell.events, name="retell-events"),
    path("adapters/vapi/<slug:company>", vapi.message, name="vapi"),
    path("adapters/elevenlabs/<slug:company>/initiation", elevenlabs.initiation, name="elevenlabs-initiation"),
    path("adapters/elevenlabs/<slug:company>/events", elevenlabs.events, name="elevenlabs-events"),
    path("adapters/elevenlabs/<slug:company>/<slug:tool>", elevenlabs.tool, name="elevenlabs-tool"),
    path("adapters/bland/<slug:company>/events", bland.events, name="bland-events"),
    path("adapters/bland/<slug:company>/<slug:tool>", bland.tool, name="bland-tool"),
    # Clients take this name for the protocol's stream, and repeat no POST after a redirect.
    path("mcp", mcp.receive, name="mcp"),
    path("mcp/", mcp.receive),
]
