"""The table of routes: method, path and the version header select the handler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from calcom.simulator import booking_reads, bookings, catalog, slots, webhooks
from calcom.simulator.request import Request, Response
from calcom.simulator.traffic import Pace

Handler = Callable[[Request], Awaitable[Response]]
Access = Literal["public", "key", "permission"]

NOT_FOUND = "Cannot {} {}"


@dataclass(frozen=True)
class Family:
    """
    Which `cal-api-version` a family of routes understands (matrix recorded 2026-11-21).

    `right` selects the documented shape, `refused` is not found. Any other means 2024-04-15, the old shape; without one
    it is not found either.
    """

    right: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    versioned: bool = True


@dataclass(frozen=True)
class Route:
    """One route; `old` is the handler of the shape of 2024-04-15."""

    name: str
    handler: Handler
    family: Family
    access: Access = "public"
    pace: Pace = "others"
    old: Handler | None = None

    def for_version(self, version: str | None) -> Handler | None:
        """Return the handler for a version header; `None` means not found."""
        if not self.family.versioned or version in self.family.right:
            return self.handler
        return None if version in self.family.refused else self.old


_ANY = Family(versioned=False)
_SLOTS = Family(right=frozenset({"2024-09-04"}))
_BOOKINGS = Family(right=frozenset({"2024-08-13"}), refused=frozenset({"2024-09-04"}))
_EVENT_TYPES = Family(right=frozenset({"2024-06-14"}), refused=frozenset({"2024-08-13", "2024-09-04"}))
_SCHEDULES = Family(right=frozenset({"2024-06-11", "2024-06-14"}), refused=frozenset({"2024-08-13", "2024-09-04"}))

_EVENT_TYPE_HOOKS = "/v2/event-types/{event_type_id}/webhooks"

ROUTES = (
    Route("GET /v2/me", catalog.me, _ANY, "key"),
    Route("GET /v2/schedules", catalog.schedules, _SCHEDULES, "key", old=catalog.schedules_old),
    Route("GET /v2/schedules/default", catalog.default_schedule, _SCHEDULES, "key"),
    Route("GET /v2/schedules/{schedule_id}", catalog.schedule, _SCHEDULES, "key"),
    Route("GET /v2/event-types", catalog.list_event_types, _EVENT_TYPES, old=catalog.list_event_types_old),
    Route("POST /v2/event-types", catalog.create_event_type, _EVENT_TYPES, "key"),
    Route("GET /v2/event-types/{event_type_id}", catalog.get_event_type, _EVENT_TYPES, "key"),
    Route("PATCH /v2/event-types/{event_type_id}", catalog.change_event_type, _EVENT_TYPES, "key"),
    Route("GET /v2/slots", slots.list_slots, _SLOTS, pace="slots"),
    Route("POST /v2/slots/reservations", slots.reserve, _SLOTS),
    Route("GET /v2/slots/reservations/{uid}", slots.get_reservation, _SLOTS),
    Route("PATCH /v2/slots/reservations/{uid}", slots.update_reservation, _SLOTS),
    Route("DELETE /v2/slots/reservations/{uid}", slots.delete_reservation, _SLOTS),
    Route("POST /v2/bookings", bookings.create, _BOOKINGS, pace="bookings", old=bookings.create_old),
    Route(
        "GET /v2/bookings", booking_reads.list_bookings, _BOOKINGS, "permission", old=booking_reads.list_bookings_old
    ),
    Route("GET /v2/bookings/{uid}", booking_reads.get, _BOOKINGS, old=booking_reads.get_old),
    Route("GET /v2/bookings/by-seat/{seat_uid}", booking_reads.get_by_seat, _BOOKINGS),
    Route("POST /v2/bookings/{uid}/reschedule", bookings.reschedule, _BOOKINGS, pace="bookings"),
    Route("POST /v2/bookings/{uid}/cancel", bookings.cancel, _BOOKINGS, pace="bookings"),
    Route("POST /v2/bookings/{uid}/confirm", bookings.confirm, _BOOKINGS, "permission", pace="bookings"),
    Route("POST /v2/bookings/{uid}/decline", bookings.decline, _BOOKINGS, "permission", pace="bookings"),
    Route("POST /v2/bookings/{uid}/mark-absent", bookings.mark_absent, _BOOKINGS, "permission"),
    Route("POST /v2/webhooks", webhooks.create, _ANY, "key"),
    Route("GET /v2/webhooks", webhooks.list_all, _ANY, "key"),
    Route("GET /v2/webhooks/{webhook_id}", webhooks.get, _ANY, "key"),
    Route("PATCH /v2/webhooks/{webhook_id}", webhooks.change, _ANY, "key"),
    Route("DELETE /v2/webhooks/{webhook_id}", webhooks.delete, _ANY, "key"),
    Route(f"POST {_EVENT_TYPE_HOOKS}", webhooks.create_for_event_type, _ANY, "key"),
    Route(f"GET {_EVENT_TYPE_HOOKS}", webhooks.list_for_event_type, _ANY, "key"),
    Route(f"GET {_EVENT_TYPE_HOOKS}/{{webhook_id}}", webhooks.get, _ANY, "key"),
    Route(f"PATCH {_EVENT_TYPE_HOOKS}/{{webhook_id}}", webhooks.change, _ANY, "key"),
    Route(f"DELETE {_EVENT_TYPE_HOOKS}/{{webhook_id}}", webhooks.delete, _ANY, "key"),
)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the route and the parameters in the path; a literal segment takes precedence over a parameter."""
    node: Any = _TREE.get(method, {})
    params = []
    for segment in path.split("/")[1:]:
        if segment in node:
            node = node[segment]
        elif "{}" in node:
            node = node["{}"]
            params.append(segment)
        else:
            return None
    if "" not in node:
        return None
    route, names = node[""]
    return route, dict(zip(names, params, strict=True))


def _tree() -> dict[str, Any]:
    """Arrange the routes by method and path segment; `{}` is a parameter, an empty key the end."""
    tree: dict[str, Any] = {}
    for route in ROUTES:
        method, _, path = route.name.partition(" ")
        node, names = tree.setdefault(method, {}), []
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
            node = node.setdefault("{}" if segment.startswith("{") else segment, {})
        node[""] = (route, names)
    return tree


_TREE = _tree()
