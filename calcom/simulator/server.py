"""One HTTP request from arrival to answer: route, key, limit, fault, operation, headers."""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field, replace
from time import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from aiohttp import web

from calcom.simulator import faults, routes, times
from calcom.simulator.booking_shapes import fresh
from calcom.simulator.call import EXPIRED, NO_AUTHENTICATION, NO_PERMISSION, Answer, Call, success
from calcom.simulator.control import PREFIX, Control
from calcom.simulator.errors import RefusedError, refused, throttled
from calcom.simulator.faults import Fault, Kind, Target
from calcom.simulator.journal import Entry
from calcom.simulator.limits import TOKEN_LIMIT, Verdict
from calcom.simulator.program import Program
from calcom.simulator.world import User

_JSON = "application/json; charset=utf-8"
_QUARTER_S = 900


class NoAnswerError(Exception):
    """The connection is gone, by fault; nothing is to be sent."""


@dataclass
class Exchange:
    """What gathers around one request while it is worked on."""

    request: web.BaseRequest
    entry: Entry
    headers: dict[str, str] = field(default_factory=lambda: {"X-Request-Id": str(uuid.uuid4())})
    fault: Fault | None = None

    def is_hit_by(self, *kinds: Kind) -> bool:
        """Tell whether one of these faults has struck."""
        return self.fault is not None and self.fault.kind in kinds


class Server:
    """Answers as Cal.com does, and under its own prefix as the simulator."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._control = Control(program)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.path.startswith(PREFIX):
            return await self._control.handle(request)
        found = routes.find(request.method, request.path)
        name = found[0].name if found else f"{request.method} (no such route)"
        entry = self._program.journal.arrive(_label(request), name, request.raw_path, _client_port(request))
        exchange = Exchange(request, entry)
        try:
            return await self._send(exchange, await self._answer(exchange, found))
        except RefusedError as refusal:
            return await self._send(exchange, self._written(exchange, refusal))
        except NoAnswerError:
            return web.Response()
        finally:
            exchange.entry.answered_at = time()

    async def _answer(self, exchange: Exchange, found: tuple[routes.Operation, dict[str, str]] | None) -> Answer:
        request = exchange.request
        # Broken JSON and unknown routes are refused before anything is counted (recorded 2026-11-21).
        body = await _read_json(request)
        handler = found and found[0].for_version(request.headers.get("cal-api-version"))
        if found is None or handler is None:
            raise refused(404, routes.NOT_FOUND.format(request.method, request.raw_path))
        operation, params = found
        user = self._admit(exchange)
        if user is None and operation.access != "anybody":
            raise refused(401, NO_AUTHENTICATION) if operation.access == "key" else refused(403, NO_PERMISSION)
        call = self._call(exchange, operation, params, body, user)
        exchange.fault = self._program.faults.strike(_target(call, exchange))
        if exchange.fault:
            exchange.entry.fault = str(exchange.fault.kind)
        return await self._perform(exchange, handler, call)

    async def _perform(self, exchange: Exchange, handler: routes.Handler, call: Call) -> Answer:
        """Run the operation between the faults that prevent it and those that hide its effect."""
        if (instead := await self._before(exchange, call)) is not None:
            return instead
        if exchange.is_hit_by(Kind.WRONG_ZONE):
            call = _asked_elsewhere(call)
        try:
            answer = await handler(call)
        except RefusedError as refusal:
            answer = self._written(exchange, refusal)
        await call.think()
        return await self._after(exchange, answer)

    async def _before(self, exchange: Exchange, call: Call) -> Answer | None:
        if exchange.is_hit_by(Kind.TOO_MANY):
            self._tell_limit(exchange, self._program.throttle.block(_caller(exchange.request)))
            raise throttled()
        if exchange.is_hit_by(Kind.TIMEOUT_BEFORE):
            await self._never_answer(exchange)
        if exchange.is_hit_by(Kind.CLOSING):
            faults.close(exchange.request)
            raise NoAnswerError
        if exchange.is_hit_by(Kind.RESET_BEFORE, Kind.ERROR_BEFORE):
            await call.think()
            return self._broken(exchange)
        if exchange.is_hit_by(Kind.EMPTY):
            await call.think()
            return Answer(200, {"data": {}, "status": "success"})
        if exchange.fault and exchange.is_hit_by(Kind.REFUSED):
            await call.think()
            raise refused(exchange.fault.status, exchange.fault.message)
        if exchange.is_hit_by(Kind.WRONG_BOOKING):
            return await _somebody_elses(call)
        if exchange.is_hit_by(Kind.OTHER_START):
            call.fields["start"] = times.plain((times.parse(call.fields.get("start")) or 0) + _QUARTER_S)
        return None

    async def _after(self, exchange: Exchange, answer: Answer) -> Answer:
        if exchange.is_hit_by(Kind.TIMEOUT_AFTER):
            await self._never_answer(exchange)
        if exchange.is_hit_by(Kind.RESET_AFTER, Kind.ERROR_AFTER):
            return self._broken(exchange)
        if exchange.fault and exchange.is_hit_by(Kind.ALTERED) and isinstance(answer.body, dict):
            return Answer(answer.status, faults.alter(exchange.fault, answer.body))
        return answer

    def _broken(self, exchange: Exchange) -> Answer:
        if exchange.is_hit_by(Kind.RESET_BEFORE, Kind.RESET_AFTER):
            faults.reset(exchange.request)
            raise NoAnswerError
        status = exchange.fault.status if exchange.fault else 500
        return Answer(status, {"statusCode": status, "message": "Internal server error"})

    async def _never_answer(self, exchange: Exchange) -> None:
        if exchange.fault:
            await faults.hold(exchange.fault, exchange.request)
        faults.reset(exchange.request)
        raise NoAnswerError

    def _admit(self, exchange: Exchange) -> User | None:
        """Count the request against its caller's limit and return whose key it carries."""
        token = _token(exchange.request)
        user = self._program.state.keys.get(token) if token else None
        is_key = token is not None and token.startswith("cal_")
        if is_key and user is None:
            raise refused(401, "CustomThrottlerGuard - Invalid API Key")
        limit = None if is_key or token is None else TOKEN_LIMIT
        verdict = self._program.throttle.hit(_caller(exchange.request), limit)
        exchange.entry.counted = True
        self._tell_limit(exchange, verdict)
        if not verdict.allowed:
            raise throttled()
        if token and user is None:
            raise refused(401, "Invalid Access Token.")
        # Recorded of GET /v2/slots (200) and POST /v2/bookings (401); other reads and writes are taken to be alike.
        if token in self._program.state.expired_keys and exchange.request.method != "GET":
            raise refused(401, EXPIRED)
        return user

    def _tell_limit(self, exchange: Exchange, verdict: Verdict) -> None:
        exchange.headers.update(verdict.headers())

    def _call(
        self, exchange: Exchange, operation: routes.Operation, params: dict[str, str], body: object, user: User | None
    ) -> Call:
        async def pause() -> None:
            if exchange.fault and exchange.is_hit_by(Kind.HANG):
                await faults.hold(exchange.fault, exchange.request)
            await self._program.latency.pass_for(operation.pace)

        raw_query = exchange.request.raw_path.partition("?")[2]
        return Call(
            state=self._program.state,
            messenger=self._program.messenger,
            query=dict(parse_qsl(raw_query, keep_blank_values=True)),
            raw_query=raw_query,
            params=params,
            body=body,
            user=user,
            pause=pause,
        )

    def _written(self, exchange: Exchange, refusal: RefusedError) -> Answer:
        timestamp = times.millis(self._program.state.now())
        return Answer(refusal.status, refusal.body(path=exchange.request.raw_path, timestamp=timestamp))

    async def _send(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        request, headers = exchange.request, exchange.headers
        exchange.entry.status = answer.status
        if request.keep_alive:
            headers |= {"Connection": "keep-alive", "Keep-Alive": f"timeout={self._program.keep_alive_s}"}
        body = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
        if exchange.fault:
            body = faults.spoil(exchange.fault.kind, body)
        if request.method == "GET" and answer.status == 200:
            headers["ETag"] = _etag(body)
            if request.headers.get("If-None-Match") == headers["ETag"]:
                exchange.entry.status = 304
                return web.Response(status=304, headers=headers)
        headers["Content-Type"] = _JSON
        if exchange.fault and exchange.is_hit_by(Kind.DRIP):
            response = web.StreamResponse(status=answer.status, headers=headers)
            await faults.drip(exchange.fault, request, response, body)
            return response
        return web.Response(status=answer.status, headers=headers, body=body)


async def _read_json(request: web.BaseRequest) -> Any:
    if not request.can_read_body:
        return None
    raw = await request.read()
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise refused(400, "Unexpected end of JSON input") from error


async def _somebody_elses(call: Call) -> Answer | None:
    """Answer with a booking of another attendee, best one at the wished time; `None` if there is none."""
    start, stored = times.parse(call.fields.get("start")), call.state.bookings.values()
    others = [booking for booking in stored if booking.is_live and not booking.has_attendee(call.attendee_email or "")]
    if not others:
        return None
    await call.think()
    return success(fresh(min(others, key=lambda booking: booking.start != start)), 201)


def _asked_elsewhere(call: Call) -> Call:
    zone = {"timeZone": faults.WRONG_ZONE}
    return replace(call, query={**call.query, **zone}, raw_query=f"{call.raw_query}&{urlencode(zone)}")


def _target(call: Call, exchange: Exchange) -> Target:
    fields, booking = call.fields, call.state.bookings.get(call.params.get("uid", ""))
    event_type_id = str(fields.get("eventTypeId") or call.query.get("eventTypeId") or "")
    if booking:
        event_type_id = str(booking.event_type.id)
    emails = [attendee.email for attendee in booking.attendees] if booking else []
    return Target(
        operation=exchange.entry.operation,
        request=f"{exchange.request.method} {exchange.request.path}",
        attendees=[*emails, *filter(None, [call.attendee_email, call.query.get("attendeeEmail")])],
        event_type_id=int(event_type_id) if event_type_id.isdecimal() else None,
        owner=call.user.username if call.user else None,
    )


def _token(request: web.BaseRequest) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" and token else None


def _caller(request: web.BaseRequest) -> str:
    """Name the bucket of the limit: each key has its own, whoever has none shares that of the address."""
    return _token(request) or f"address {request.remote}"


def _client_port(request: web.BaseRequest) -> int:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return int(peer[1]) if peer else 0


def _label(request: web.BaseRequest) -> str:
    token = _token(request)
    return hashlib.sha256(token.encode()).hexdigest()[:8] if token else "anonymous"


def _etag(body: bytes) -> str:
    """Make the weak tag that Express makes: length and SHA-1."""
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'
