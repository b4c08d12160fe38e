"""Which request is which operation: path, method and the version header decide together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from calcom.simulator import availability, booking_list, bookings, event_types, people, subscriptions
from calcom.simulator.call import Answer, Call
from calcom.simulator.latency import Pace

Handler = Callable[[Call], Awaitable[Answer]]
Access = Literal["anybody", "key", "permission"]

NOT_FOUND = "Cannot {} {}"


@dataclass(frozen=True)
class Family:
    """
    Which `cal-api-version` a family of operations understands (matrix recorded 2026-11-21).

    `right` answers as documented, `refused` is not found. Anything else silently means 2024-04-15, the old shape;
    where there is none it is not found either.
    """

    right: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    versioned: bool = True


@dataclass(frozen=True)
class Operation:
    """One operation; `old` answers for a version header that means 2024-04-15."""

    name: str
    handler: Handler
    family: Family
    access: Access = "anybody"
    pace: Pace = "others"
    old: Handler | None = None

    def for_version(self, version: str | None) -> Handler | None:
        """Return what answers under this version header; `None` means not found."""
        if not self.family.versioned or version in self.family.right:
            return self.handler
        return None if version in self.family.refused else self.old


_ANY = Family(versioned=False)
_SLOTS = Family(right=frozenset({"2024-09-04"}))
_BOOKINGS = Family(right=frozenset({"2024-08-13"}), refused=frozenset({"2024-09-04"}))
_EVENT_TYPES = Family(right=frozenset({"2024-06-14"}), refused=frozenset({"2024-08-13", "2024-09-04"}))
_SCHEDULES = Family(right=frozenset({"2024-06-11", "2024-06-14"}), refused=frozenset({"2024-08-13", "2024-09-04"}))

_EVENT_TYPE_HOOKS = "/v2/event-types/{event_type_id}/webhooks"

OPERATIONS = (
    Operation("GET /v2/me", people.me, _ANY, "key"),
    Operation("GET /v2/schedules", people.schedules, _SCHEDULES, "key", old=people.schedules_old),
    Operation("GET /v2/schedules/default", people.default_schedule, _SCHEDULES, "key"),
    Operation("GET /v2/schedules/{schedule_id}", people.schedule, _SCHEDULES, "key"),
    Operation("GET /v2/event-types", event_types.list_all, _EVENT_TYPES, old=event_types.list_old),
    Operation("POST /v2/event-types", event_types.create, _EVENT_TYPES, "key"),
    Operation("GET /v2/event-types/{event_type_id}", event_types.get, _EVENT_TYPES, "key"),
    Operation("PATCH /v2/event-types/{event_type_id}", event_types.change, _EVENT_TYPES, "key"),
    Operation("GET /v2/slots", availability.list_slots, _SLOTS, pace="slots"),
    Operation("POST /v2/slots/reservations", availability.reserve, _SLOTS),
    Operation("GET /v2/slots/reservations/{uid}", availability.get_reservation, _SLOTS),
    Operation("PATCH /v2/slots/reservations/{uid}", availability.move_reservation, _SLOTS),
    Operation("DELETE /v2/slots/reservations/{uid}", availability.delete_reservation, _SLOTS),
    Operation("POST /v2/bookings", bookings.create, _BOOKINGS, pace="bookings", old=bookings.create_old),
    Operation("GET /v2/bookings", booking_list.list_bookings, _BOOKINGS, "permission", old=booking_list.list_old),
    Operation("GET /v2/bookings/{uid}", bookings.get, _BOOKINGS, old=bookings.get_old),
    Operation("GET /v2/bookings/by-seat/{seat_uid}", bookings.get_by_seat, _BOOKINGS),
    Operation("POST /v2/bookings/{uid}/reschedule", bookings.reschedule, _BOOKINGS, pace="bookings"),
    Operation("POST /v2/bookings/{uid}/cancel", bookings.cancel, _BOOKINGS, pace="bookings"),
    Operation("POST /v2/bookings/{uid}/confirm", bookings.confirm, _BOOKINGS, "permission", pace="bookings"),
    Operation("POST /v2/bookings/{uid}/decline", bookings.decline, _BOOKINGS, "permission", pace="bookings"),
    Operation("POST /v2/bookings/{uid}/mark-absent", bookings.mark_absent, _BOOKINGS, "permission"),
    Operation("POST /v2/webhooks", subscriptions.create, _ANY, "key"),
    Operation("GET /v2/webhooks", subscriptions.list_all, _ANY, "key"),
    Operation("GET /v2/webhooks/{webhook_id}", subscriptions.get, _ANY, "key"),
    Operation("PATCH /v2/webhooks/{webhook_id}", subscriptions.change, _ANY, "key"),
    Operation("DELETE /v2/webhooks/{webhook_id}", subscriptions.delete, _ANY, "key"),
    Operation(f"POST {_EVENT_TYPE_HOOKS}", subscriptions.create_for_event_type, _ANY, "key"),
    Operation(f"GET {_EVENT_TYPE_HOOKS}", subscriptions.list_for_event_type, _ANY, "key"),
    Operation(f"GET {_EVENT_TYPE_HOOKS}/{{webhook_id}}", subscriptions.get, _ANY, "key"),
    Operation(f"PATCH {_EVENT_TYPE_HOOKS}/{{webhook_id}}", subscriptions.change, _ANY, "key"),
    Operation(f"DELETE {_EVENT_TYPE_HOOKS}/{{webhook_id}}", subscriptions.delete, _ANY, "key"),
)


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """Find the operation and the parameters in the path; a literal segment beats a parameter."""
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
    operation, names = node[""]
    return operation, dict(zip(names, params, strict=True))


def _tree() -> dict[str, Any]:
    """Arrange the operations by method and path segment; `{}` stands for a parameter, an empty key for an end."""
    tree: dict[str, Any] = {}
    for operation in OPERATIONS:
        method, _, path = operation.name.partition(" ")
        node, names = tree.setdefault(method, {}), []
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
            node = node.setdefault("{}" if segment.startswith("{") else segment, {})
        node[""] = (operation, names)
    return tree


_TREE = _tree()
