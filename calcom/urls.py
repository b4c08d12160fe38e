"""Where Cal.com reaches us."""

from django.urls import path

from calcom.webhooks import views

urlpatterns = [
    path("calcom/<int:account_id>", views.receive, name="calcom-webhook"),
]
