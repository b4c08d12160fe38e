"""The simulator's own routes: read the request log, add faults, change settings, act as a human at Cal.com."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from calcom.simulator import bookings, payloads, times
from calcom.simulator.app import App
from calcom.simulator.dataset import EventType, Json, User
from calcom.simulator.request import RefusedError
from calcom.simulator.state import Attendee, Booking
from calcom.simulator.traffic import Fault, Kind

PREFIX = "/_simulator/"

Action = Callable[[Json], Awaitable[Any]]


class Control:
    """
    The routes below `/_simulator/`, which are neither limited nor logged.

    An action takes the members of the JSON body, or of the query if there is no body.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._actions: dict[str, Action] = {
            "GET requests": self._requests,
            "GET faults": self._list_faults,
            "POST faults": self._add_fault,
            "DELETE faults": self._clear_faults,
            "POST reset": self._reset,
            "GET settings": self._settings,
            "POST settings": self._configure,
            "POST busy": self._block,
            "DELETE busy": self._unblock,
            "GET bookings": self._bookings,
            "POST bookings": self._book,
            "POST bookings/reschedule": self._reschedule,
            "POST bookings/cancel": self._cancel,
            "POST bookings/decide": self._decide,
            "POST event-types": self._change_event_type,
            "DELETE event-types": self._delete_event_type,
            "POST keys": self._issue_key,
            "POST keys/expire": self._expire_key,
            "DELETE keys": self._revoke_key,
            "GET deliveries": self._deliveries,
            "POST deliveries": self._deliver,
            "POST meetings": self._announce_meeting,
            "GET dataset": self._dataset,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Perform an action; an unknown one gets 404, wrong fields get 400 with the reason."""
        action = self._actions.get(f"{request.method} {request.path.removeprefix(PREFIX)}")
        if action is None:
            return _json({"error": "no such action", "actions": list(self._actions)}, 404)
        raw = await request.read()
        try:
            return _json(await action(orjson.loads(raw) if raw else dict(request.rel_url.query)))
        except (KeyError, TypeError, ValueError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)
        except RefusedError as refusal:
            return _json(refusal.body(path=request.path, timestamp=""), refusal.status)

    # Traffic

    async def _requests(self, fields: Json) -> Json:
        log, route = self._app.request_log, fields.get("route")
        entries = [entry for entry in log.entries if route in {None, entry.route}]
        shown = {} if fields.get("entries") == "0" else {"requests": [entry.to_json() for entry in entries]}
        return {**log.summary(), "breaches": self._app.throttle.breaches, **shown}

    async def _reset(self, fields: Json) -> Json:
        if fields.get("log_only"):
            self._app.reset_traffic()
        else:
            self._app.reset()
        return {}

    # Faults

    async def _list_faults(self, _: Json) -> Json:
        return {"faults": [fault.to_json() for fault in self._app.faults.waiting]}

    async def _add_fault(self, fields: Json) -> Json:
        return self._app.faults.add(Fault(**{**fields, "kind": Kind(fields["kind"])})).to_json()

    async def _clear_faults(self, fields: Json) -> Json:
        self._app.faults.clear(int(fields["id"]) if "id" in fields else None)
        return {}

    # Settings

    async def _settings(self, _: Json) -> Json:
        app = self._app
        return {
            "latency": app.latency.scale,
            "limit": app.throttle.limit,
            "window_s": app.throttle.window_s,
            "keep_alive_s": app.keep_alive_s,
            "slots_cache_s": app.state.slots_cache.lifetime_s,
            "webhooks": app.messenger.mode,
            "webhook_loss": app.messenger.loss,
            "unreachable_calendars": sorted(app.state.unreachable_calendars),
            "cancels_rescheduled": app.state.cancels_rescheduled,
            "now": app.now().isoformat(),
        }

    async def _configure(self, fields: Json) -> Json:
        app = self._app
        changes: dict[str, Callable[[Any], None]] = {
            "latency": partial(setattr, app.latency, "scale"),
            "limit": partial(setattr, app.throttle, "limit"),
            "window_s": partial(setattr, app.throttle, "window_s"),
            "keep_alive_s": partial(setattr, app, "keep_alive_s"),
            "slots_cache_s": partial(setattr, app.state.slots_cache, "lifetime_s"),
            "webhooks": partial(setattr, app.messenger, "mode"),
            "webhook_loss": partial(setattr, app.messenger, "loss"),
            "unreachable_calendars": lambda names: setattr(app.state, "unreachable_calendars", set(names)),
            "cancels_rescheduled": partial(setattr, app.state, "cancels_rescheduled"),
            "now": lambda moment: app.set_now(times.moment(moment)),
        }
        for name, value in fields.items():
            changes[name](value)
        return await self._settings({})

    async def _dataset(self, _: Json) -> Json:
        return self._app.dataset.to_json()

    # What a human does at Cal.com

    async def _block(self, fields: Json) -> Json:
        host = self._user(fields["host"])
        return {"uid": self._app.state.block(host, _instant(fields["start"]), _instant(fields["end"]))}

    async def _unblock(self, fields: Json) -> Json:
        self._app.state.unblock(fields["uid"])
        return {}

    async def _bookings(self, _: Json) -> Json:
        stored = list(self._app.state.bookings.values())
        return {
            "bookings": [_booking_json(booking) for booking in stored],
            "overlaps": [[first.uid, second.uid] for first, second in _overlaps(stored)],
        }

    async def _book(self, fields: Json) -> Json:
        """Book whether or not the time is free."""
        state = self._app.state
        event_type = self._event_type(fields["event_type"])
        start = _instant(fields["start"])
        attendee = Attendee(
            name=fields.get("name", "Walk-in"),
            email=fields.get("email", "walk-in@example.com"),
            time_zone=fields.get("time_zone", "UTC"),
            phone=fields.get("phone"),
        )
        booking = Booking(
            event_type=event_type,
            owner=state.owner(event_type),
            host=self._user(fields["host"]) if fields.get("host") else state.hosts(event_type)[0],
            start=start,
            end=start + 60 * (fields.get("minutes") or event_type.minutes),
            status=fields.get("status", "accepted"),
            attendees=[attendee],
            location=fields.get("location", "integrations:daily"),
            description=fields.get("description", ""),
            metadata=fields.get("metadata") or {},
            responses={
                "email": attendee.email,
                **({"attendeePhoneNumber": attendee.phone} if attendee.phone else {}),
                "name": attendee.name,
                "displayEmail": attendee.email,
            },
            external=True,
        )
        state.add(booking, even_if_taken=True)
        if fields.get("webhook", True):
            await payloads.announce_creation(self._app.messenger.announce, booking)
        return _booking_json(booking)

    async def _reschedule(self, fields: Json) -> Json:
        before = self._app.state.bookings[fields["uid"]]
        booking = bookings.replace_booking(
            self._app.state,
            before,
            start=_instant(fields["start"]),
            host=before.host,
            fields={"reschedulingReason": fields.get("reason"), "rescheduledBy": before.owner.address},
            even_if_taken=True,
        )
        if fields.get("webhook", True):
            await payloads.announce_reschedule(self._app.messenger.announce, booking)
        return _booking_json(booking)

    async def _cancel(self, fields: Json) -> Json:
        booking = self._app.state.bookings[fields["uid"]]
        booking.cancellation_reason = fields.get("reason") or ""
        self._app.state.set_status(booking, "cancelled")
        if fields.get("webhook", True):
            await payloads.announce_cancellation(self._app.messenger.announce, booking)
        return _booking_json(booking)

    async def _decide(self, fields: Json) -> Json:
        booking = self._app.state.bookings[fields["uid"]]
        self._app.state.set_status(booking, "accepted" if fields["confirm"] else "rejected")
        if fields.get("webhook", True):
            await payloads.announce_decision(self._app.messenger.announce, booking)
        return _booking_json(booking)

    async def _change_event_type(self, fields: Json) -> Json:
        """Change an event type, by the names of `dataset.EventType`; its bookings stay as they are."""
        before = self._event_type(fields["event_type"])
        changes: Json = fields["fields"]
        changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
        self._app.state.put_event_type(replace(before, **changes))
        return {}

    async def _delete_event_type(self, fields: Json) -> Json:
        self._app.state.delete_event_type(self._event_type(fields["event_type"]))
        return {}

    # Keys and webhooks

    async def _issue_key(self, fields: Json) -> Json:
        self._app.state.keys[fields["key"]] = self._user(fields["owner"])
        return {}

    async def _expire_key(self, fields: Json) -> Json:
        self._app.state.expired_keys.add(fields["key"])
        return {}

    async def _revoke_key(self, fields: Json) -> Json:
        del self._app.state.keys[fields["key"]]
        return {}

    async def _deliveries(self, _: Json) -> Json:
        return {"deliveries": [delivery.to_json() for delivery in self._app.messenger.deliveries]}

    async def _deliver(self, fields: Json) -> Json:
        return (await self._app.messenger.deliver(fields["id"])).to_json()

    async def _announce_meeting(self, fields: Json) -> Json:
        booking, trigger = self._app.state.bookings[fields["uid"]], fields["trigger"]
        await self._app.messenger.announce(trigger, booking, partial(payloads.meeting, trigger=trigger))
        return {}

    def _user(self, username: str) -> User:
        return self._app.state.usernames[username]

    def _event_type(self, wanted: int | str) -> EventType:
        state = self._app.state
        if isinstance(wanted, int):
            return state.event_types[wanted]
        if found := state.find_event_type(wanted):
            return found
        raise KeyError(wanted)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _instant(text: str) -> int:
    return int(times.moment(text).timestamp())


def _booking_json(booking: Booking) -> Json:
    attendee = booking.attendees[0]
    return {
        "uid": booking.uid,
        "id": booking.id,
        "event_type_id": booking.event_type.id,
        "event_type": booking.event_type.slug,
        "host": booking.host.username,
        "hosts": [host.username for host in booking.all_hosts],
        "start": times.plain(booking.start),
        "end": times.plain(booking.end),
        "status": booking.status,
        "name": attendee.name,
        "email": attendee.email,
        "phone": attendee.phone,
        "attendees": [each.email for each in booking.attendees],
        "metadata": booking.metadata,
        "bookingFieldsResponses": booking.responses,
        "created_at": times.millis(booking.created_at),
        "updated_at": times.millis(booking.updated_at),
        "rescheduled_from": booking.rescheduled_from and booking.rescheduled_from.uid,
        "rescheduled_to": booking.rescheduled_to and booking.rescheduled_to.uid,
        "external": booking.external,
    }


def _overlaps(stored: list[Booking]) -> list[tuple[Booking, Booking]]:
    """Return the pairs of accepted bookings of one host that overlap, buffers aside."""
    by_host: defaultdict[int, list[Booking]] = defaultdict(list)
    for booking in stored:
        if booking.status == "accepted":
            for host in booking.all_hosts:
                by_host[host.id].append(booking)
    pairs = []
    for booked in by_host.values():
        booked.sort(key=lambda booking: booking.start)
        running: list[Booking] = []
        for booking in booked:
            running = [earlier for earlier in running if earlier.end > booking.start]
            pairs += [(earlier, booking) for earlier in running]
            running.append(booking)
    return pairs
