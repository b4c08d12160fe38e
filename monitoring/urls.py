"""Monitoring's own addresses."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from monitoring import views

urlpatterns = [
    # They only tell, to programs without a session: another method is refused as such, and not for want of a token.
    path("health", csrf_exempt(views.health)),
    path("health/live", csrf_exempt(views.live)),
    path("health/ready", csrf_exempt(views.ready)),
    path("metrics", csrf_exempt(views.metrics)),
    path("performance-metrics", csrf_exempt(views.performance_metrics)),
]
