"""Monitoring's own addresses."""

from django.urls import path

from monitoring import views

urlpatterns = [
    path("health", views.health),
    path("health/live", views.live),
    path("health/ready", views.ready),
    path("metrics", views.metrics),
    path("performance-metrics", views.performance_metrics),
]
