"""The staff's pages, one module per group. What happened can be looked at, and not edited."""

from bookings.admin import appointments, callbacks, catalog, conversations, people, tenants

__all__ = ["appointments", "callbacks", "catalog", "conversations", "people", "tenants"]
