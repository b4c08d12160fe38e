"""The simulator's own endpoint: what was seen, what shall go wrong, what a human does at Cal.com."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from calcom.simulator import bookings, payloads, times
from calcom.simulator.errors import RefusedError
from calcom.simulator.faults import Fault, Kind
from calcom.simulator.program import Program
from calcom.simulator.state import Attendee, Booking
from calcom.simulator.world import EventType, Json, User

PREFIX = "/_simulator/"

Action = Callable[[Json], Awaitable[Any]]


class Control:
    """
    Everything under `/_simulator/`, outside limit and log.

    An action gets the JSON body, or the query where there is none, as keyword arguments by its own names.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._actions: dict[str, Action] = {
            "GET seen": self._seen,
            "GET faults": self._list_faults,
            "POST faults": self._add_fault,
            "DELETE faults": self._clear_faults,
            "POST reset": self._reset,
            "GET settings": self._settings,
            "POST settings": self._set,
            "POST busy": self._block,
            "DELETE busy": self._unblock,
            "GET bookings": self._bookings,
            "POST bookings": self._book,
            "POST bookings/move": self._move,
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
            "GET world": self._world,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Do what is asked; a wrong request is told what is wrong with it."""
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

    async def _seen(self, asked: Json) -> Json:
        journal, operation = self._program.journal, asked.get("operation")
        entries = [entry for entry in journal.entries if operation in {None, entry.operation}]
        shown = {} if asked.get("entries") == "0" else {"requests": [entry.to_json() for entry in entries]}
        return {**journal.summary(), "breaches": self._program.throttle.breaches, **shown}

    async def _reset(self, asked: Json) -> Json:
        if asked.get("log_only"):
            self._program.forget_traffic()
        else:
            self._program.start_over()
        return {}

    # Faults

    async def _list_faults(self, _: Json) -> Json:
        return {"faults": self._program.faults.waiting()}

    async def _add_fault(self, asked: Json) -> Json:
        return self._program.faults.add(Fault(**{**asked, "kind": Kind(asked["kind"])})).to_json()

    async def _clear_faults(self, asked: Json) -> Json:
        self._program.faults.clear(int(asked["id"]) if "id" in asked else None)
        return {}

    # Settings

    async def _settings(self, _: Json) -> Json:
        program = self._program
        return {
            "latency": program.latency.scale,
            "limit": program.throttle.limit,
            "window_s": program.throttle.window_s,
            "keep_alive_s": program.keep_alive_s,
            "slots_cache_s": program.state.slots_cache.lifetime_s,
            "webhooks": program.messenger.mode,
            "webhook_loss": program.messenger.loss,
            "unreachable_calendars": sorted(program.state.unreachable_calendars),
            "cancels_what_was_moved": program.state.cancels_what_was_moved,
            "now": program.now().isoformat(),
        }

    async def _set(self, asked: Json) -> Json:
        program = self._program
        changes: dict[str, Callable[[Any], None]] = {
            "latency": partial(setattr, program.latency, "scale"),
            "limit": partial(setattr, program.throttle, "limit"),
            "window_s": partial(setattr, program.throttle, "window_s"),
            "keep_alive_s": partial(setattr, program, "keep_alive_s"),
            "slots_cache_s": partial(setattr, program.state.slots_cache, "lifetime_s"),
            "webhooks": partial(setattr, program.messenger, "mode"),
            "webhook_loss": partial(setattr, program.messenger, "loss"),
            "unreachable_calendars": lambda names: setattr(program.state, "unreachable_calendars", set(names)),
            "cancels_what_was_moved": partial(setattr, program.state, "cancels_what_was_moved"),
            "now": lambda moment: program.set_now(times.moment(moment)),
        }
        for name, value in asked.items():
            changes[name](value)
        return await self._settings({})

    async def _world(self, _: Json) -> Json:
        return self._program.world.to_json()

    # What happens at Cal.com without us

    async def _block(self, asked: Json) -> Json:
        host = self._user(asked["host"])
        return {"uid": self._program.state.block(host, _instant(asked["start"]), _instant(asked["end"]))}

    async def _unblock(self, asked: Json) -> Json:
        self._program.state.unblock(asked["uid"])
        return {}

    async def _bookings(self, _: Json) -> Json:
        stored = list(self._program.state.bookings.values())
        return {
            "bookings": [_truth(booking) for booking in stored],
            "overlaps": [[first.uid, second.uid] for first, second in _overlaps(stored)],
        }

    async def _book(self, asked: Json) -> Json:
        """Book without asking whether the time is free, as a human at Cal.com may."""
        state = self._program.state
        event_type = self._event_type(asked["event_type"])
        start = _instant(asked["start"])
        attendee = Attendee(
            name=asked.get("name", "Walk-in"),
            email=asked.get("email", "walk-in@example.com"),
            time_zone=asked.get("time_zone", "UTC"),
            phone=asked.get("phone"),
        )
        booking = Booking(
            event_type=event_type,
            owner=state.owner(event_type),
            host=self._user(asked["host"]) if asked.get("host") else state.hosts(event_type)[0],
            start=start,
            end=start + 60 * (asked.get("minutes") or event_type.minutes),
            status=asked.get("status", "accepted"),
            attendees=[attendee],
            location=asked.get("location", "integrations:daily"),
            description=asked.get("description", ""),
            metadata=asked.get("metadata") or {},
            responses={
                "email": attendee.email,
                **({"attendeePhoneNumber": attendee.phone} if attendee.phone else {}),
                "name": attendee.name,
                "displayEmail": attendee.email,
            },
            external=True,
        )
        state.add(booking, even_if_taken=True)
        if asked.get("webhook", True):
            await bookings.announce_creation(self._program.messenger, booking)
        return _truth(booking)

    async def _move(self, asked: Json) -> Json:
        before = self._program.state.bookings[asked["uid"]]
        fields = {"reschedulingReason": asked.get("reason"), "rescheduledBy": before.owner.address}
        start = _instant(asked["start"])
        booking = bookings.move(
            self._program.state, before, start=start, host=before.host, fields=fields, even_if_taken=True
        )
        if asked.get("webhook", True):
            await bookings.announce_move(self._program.messenger, booking)
        return _truth(booking)

    async def _cancel(self, asked: Json) -> Json:
        booking = self._program.state.bookings[asked["uid"]]
        booking.cancellation_reason = asked.get("reason") or ""
        self._program.state.change(booking, "cancelled")
        if asked.get("webhook", True):
            await bookings.announce_cancellation(self._program.messenger, booking)
        return _truth(booking)

    async def _decide(self, asked: Json) -> Json:
        booking = self._program.state.bookings[asked["uid"]]
        self._program.state.change(booking, "accepted" if asked["confirm"] else "rejected")
        if asked.get("webhook", True):
            await bookings.announce_decision(self._program.messenger, booking)
        return _truth(booking)

    async def _change_event_type(self, asked: Json) -> Json:
        """Change an event type, by the names of `world.EventType`; its bookings stay what they are."""
        before = self._event_type(asked["event_type"])
        written: Json = asked["fields"]
        fields: Json = {name: tuple(value) if isinstance(value, list) else value for name, value in written.items()}
        self._program.state.put_event_type(replace(before, **fields))
        return {}

    async def _delete_event_type(self, asked: Json) -> Json:
        self._program.state.delete_event_type(self._event_type(asked["event_type"]))
        return {}

    # Webhooks

    async def _issue_key(self, asked: Json) -> Json:
        self._program.state.keys[asked["key"]] = self._user(asked["owner"])
        return {}

    async def _expire_key(self, asked: Json) -> Json:
        self._program.state.expired_keys.add(asked["key"])
        return {}

    async def _revoke_key(self, asked: Json) -> Json:
        del self._program.state.keys[asked["key"]]
        return {}

    async def _deliveries(self, _: Json) -> Json:
        return {"deliveries": [delivery.to_json() for delivery in self._program.messenger.deliveries]}

    async def _deliver(self, asked: Json) -> Json:
        return (await self._program.messenger.deliver(asked["id"])).to_json()

    async def _announce_meeting(self, asked: Json) -> Json:
        booking, trigger = self._program.state.bookings[asked["uid"]], asked["trigger"]
        await self._program.messenger.announce(trigger, booking, partial(payloads.meeting, trigger=trigger))
        return {}

    def _user(self, username: str) -> User:
        return self._program.state.usernames[username]

    def _event_type(self, wanted: int | str) -> EventType:
        state = self._program.state
        if isinstance(wanted, int):
            return state.event_types[wanted]
        if found := state.find_event_type(wanted):
            return found
        raise KeyError(wanted)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _instant(text: str) -> int:
    return int(times.moment(text).timestamp())


def _truth(booking: Booking) -> Json:
    attendee = booking.attendees[0]
    return {
        "uid": booking.uid,
        "id": booking.id,
        "event_type_id": booking.event_type.id,
        "event_type": booking.event_type.slug,
        "host": booking.host.username,
        "hosts": [host.username for host in booking.everybody],
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
        "moved_from": booking.moved_from and booking.moved_from.uid,
        "moved_to": booking.moved_to and booking.moved_to.uid,
        "foreign": booking.external,
    }


def _overlaps(stored: list[Booking]) -> list[tuple[Booking, Booking]]:
    """Pair the accepted bookings of one host that share some time, buffers aside."""
    by_host: defaultdict[int, list[Booking]] = defaultdict(list)
    for booking in stored:
        if booking.status == "accepted":
            for host in booking.everybody:
                by_host[host.id].append(booking)
    pairs = []
    for booked in by_host.values():
        booked.sort(key=lambda booking: booking.start)
        open_ones: list[Booking] = []
        for booking in booked:
            open_ones = [earlier for earlier in open_ones if earlier.end > booking.start]
            pairs += [(earlier, booking) for earlier in open_ones]
            open_ones.append(booking)
    return pairs
