"""The simulated Cal.com: its parts, and the way of an HTTP request through them."""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from time import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from aiohttp import web

from calcom.simulator import routes, times, traffic
from calcom.simulator.booking_reads import fresh
from calcom.simulator.dataset import Dataset, User
from calcom.simulator.request import (
    EXPIRED,
    NO_AUTHENTICATION,
    NO_PERMISSION,
    RefusedError,
    Request,
    Response,
    refused,
    success,
    throttled,
)
from calcom.simulator.state import Now, State
from calcom.simulator.traffic import (
    LIMIT,
    TOKEN_LIMIT,
    WINDOW_S,
    Entry,
    Fault,
    Faults,
    Kind,
    Latency,
    RequestLog,
    Target,
    Throttle,
)
from calcom.simulator.webhooks import Messenger

# What is announced of idle connections, and when they are closed (seen 2026-11-30; not among the recordings).
KEEP_ALIVE_S = 5
IDLE_CLOSE_S = 6.0


_JSON = "application/json; charset=utf-8"
_QUARTER_S = 900


def utc_now() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


class NoAnswerError(Exception):
    """A fault has ended the connection; no response is sent."""


@dataclass
class Exchange:
    """A request in progress, with its log entry, response headers and fault."""

    http_request: web.BaseRequest
    entry: Entry
    headers: dict[str, str] = field(default_factory=lambda: {"X-Request-Id": str(uuid.uuid4())})
    fault: Fault | None = None

    def has_fault(self, *kinds: Kind) -> bool:
        """Return whether the request was hit by a fault of one of the kinds."""
        return self.fault is not None and self.fault.kind in kinds


class App:
    """One simulated Cal.com: state, rate limit, faults, request log and webhooks, and the handler of its requests."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        latency: float = 0.0,
        seed: int = 0,
        limit: int = LIMIT,
        window_s: float = WINDOW_S,
        now: Now = utc_now,
        idle_close_s: float = IDLE_CLOSE_S,
    ) -> None:
        self.idle_close_s = idle_close_s
        self.keep_alive_s = KEEP_ALIVE_S
        self.dataset = dataset
        self.seed = seed
        self.latency = Latency(latency, seed)
        self.throttle = Throttle(limit, window_s)
        self.faults = Faults(Random(seed))
        self.request_log = RequestLog()
        self._clock = now
        self._shift = timedelta()
        self.state = State(dataset, seed, self.now)
        self.messenger = Messenger(self.state, Random(seed))

    def now(self) -> datetime:
        """Return the time of the booking rules, which `set_now` shifts."""
        return self._clock() + self._shift

    def set_now(self, moment: datetime) -> None:
        """Shift the clock of the booking rules; it runs on from `moment`."""
        self._shift = moment - self._clock()

    def reset(self) -> None:
        """Return to the initial dataset; settings of latency, limit and clock stay."""
        self.reset_traffic()
        self.faults.clear()
        self.state = State(self.dataset, self.seed, self.now)
        self.messenger.reset(self.state)

    def reset_traffic(self) -> None:
        """Empty the request log and all windows of the rate limit."""
        self.request_log.reset()
        self.throttle.reset()

    async def handle(self, http_request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request as Cal.com does."""
        found = routes.find(http_request.method, http_request.path)
        name = found[0].name if found else f"{http_request.method} (no such route)"
        entry = self.request_log.add(_label(http_request), name, http_request.raw_path, _client_port(http_request))
        exchange = Exchange(http_request, entry)
        try:
            return await self._send(exchange, await self._answer(exchange, found))
        except RefusedError as refusal:
            return await self._send(exchange, self._refusal(exchange, refusal))
        except NoAnswerError:
            return web.Response()
        finally:
            entry.answered_at = time()

    async def _answer(self, exchange: Exchange, found: tuple[routes.Route, dict[str, str]] | None) -> Response:
        http_request = exchange.http_request
        # Broken JSON and unknown routes are refused before anything is counted (recorded 2026-11-21).
        body = await _read_json(http_request)
        handler = found and found[0].for_version(http_request.headers.get("cal-api-version"))
        if found is None or handler is None:
            raise refused(404, routes.NOT_FOUND.format(http_request.method, http_request.raw_path))
        route, params = found
        user = self._admit(exchange)
        if user is None and route.access != "public":
            raise refused(401, NO_AUTHENTICATION) if route.access == "key" else refused(403, NO_PERMISSION)
        request = self._request(exchange, route, params, body, user)
        exchange.fault = self.faults.select(_target(request, exchange))
        if exchange.fault:
            exchange.entry.fault = str(exchange.fault.kind)
        return await self._perform(exchange, handler, request)

    async def _perform(self, exchange: Exchange, handler: routes.Handler, request: Request) -> Response:
        """Run the route between the faults that prevent it and those that hide its effect."""
        if (instead := await self._before(exchange, request)) is not None:
            return instead
        if exchange.has_fault(Kind.WRONG_ZONE):
            request = _in_wrong_zone(request)
        try:
            response = await handler(request)
        except RefusedError as refusal:
            response = self._refusal(exchange, refusal)
        await request.pass_latency()
        return await self._after(exchange, response)

    async def _before(self, exchange: Exchange, request: Request) -> Response | None:
        if exchange.has_fault(Kind.TOO_MANY):
            exchange.headers |= self.throttle.block(_client(exchange.http_request)).headers()
            raise throttled()
        if exchange.has_fault(Kind.TIMEOUT_BEFORE):
            await self._never_answer(exchange)
        if exchange.has_fault(Kind.CLOSING):
            traffic.close(exchange.http_request)
            raise NoAnswerError
        if exchange.has_fault(Kind.RESET_BEFORE, Kind.ERROR_BEFORE):
            await request.pass_latency()
            return self._broken(exchange)
        if exchange.has_fault(Kind.EMPTY):
            await request.pass_latency()
            return Response(200, {"data": {}, "status": "success"})
        if exchange.fault and exchange.has_fault(Kind.REFUSED):
            await request.pass_latency()
            raise refused(exchange.fault.status, exchange.fault.message)
        if exchange.has_fault(Kind.WRONG_BOOKING):
            return await _booking_of_another(request)
        if exchange.has_fault(Kind.OTHER_START):
            request.fields["start"] = times.plain((times.parse(request.fields.get("start")) or 0) + _QUARTER_S)
        return None

    async def _after(self, exchange: Exchange, response: Response) -> Response:
        if exchange.has_fault(Kind.TIMEOUT_AFTER):
            await self._never_answer(exchange)
        if exchange.has_fault(Kind.RESET_AFTER, Kind.ERROR_AFTER):
            return self._broken(exchange)
        if exchange.fault and exchange.has_fault(Kind.ALTERED) and isinstance(response.body, dict):
            return Response(response.status, traffic.alter(exchange.fault, response.body))
        return response

    def _broken(self, exchange: Exchange) -> Response:
        if exchange.has_fault(Kind.RESET_BEFORE, Kind.RESET_AFTER):
            traffic.reset(exchange.http_request)
            raise NoAnswerError
        status = exchange.fault.status if exchange.fault else 500
        return Response(status, {"statusCode": status, "message": "Internal server error"})

    async def _never_answer(self, exchange: Exchange) -> None:
        if exchange.fault:
            await traffic.hold(exchange.fault, exchange.http_request)
        traffic.reset(exchange.http_request)
        raise NoAnswerError

    def _admit(self, exchange: Exchange) -> User | None:
        """Count the request against the limit and return the user whose key it carries."""
        token = _token(exchange.http_request)
        user = self.state.keys.get(token) if token else None
        is_key = token is not None and token.startswith("cal_")
        if is_key and user is None:
            raise refused(401, "CustomThrottlerGuard - Invalid API Key")
        limit = None if is_key or token is None else TOKEN_LIMIT
        result = self.throttle.hit(_client(exchange.http_request), limit)
        exchange.entry.counted = True
        exchange.headers |= result.headers()
        if not result.allowed:
            raise throttled()
        if token and user is None:
            raise refused(401, "Invalid Access Token.")
        # Recorded of GET /v2/slots (200) and POST /v2/bookings (401); other reads and writes are taken to be alike.
        if token in self.state.expired_keys and exchange.http_request.method != "GET":
            raise refused(401, EXPIRED)
        return user

    def _request(
        self, exchange: Exchange, route: routes.Route, params: dict[str, str], body: object, user: User | None
    ) -> Request:
        async def pause() -> None:
            if exchange.fault and exchange.has_fault(Kind.HANG):
                await traffic.hold(exchange.fault, exchange.http_request)
            await self.latency.pass_for(route.pace)

        raw_query = exchange.http_request.raw_path.partition("?")[2]
        return Request(
            state=self.state,
            announce=self.messenger.announce,
            query=dict(parse_qsl(raw_query, keep_blank_values=True)),
            raw_query=raw_query,
            params=params,
            body=body,
            user=user,
            pause=pause,
        )

    def _refusal(self, exchange: Exchange, refusal: RefusedError) -> Response:
        timestamp = times.millis(self.state.now())
        return Response(refusal.status, refusal.body(path=exchange.http_request.raw_path, timestamp=timestamp))

    async def _send(self, exchange: Exchange, response: Response) -> web.StreamResponse:
        http_request, headers = exchange.http_request, exchange.headers
        exchange.entry.status = response.status
        if http_request.keep_alive:
            headers |= {"Connection": "keep-alive", "Keep-Alive": f"timeout={self.keep_alive_s}"}
        body = response.body if isinstance(response.body, bytes) else orjson.dumps(response.body)
        if exchange.fault:
            body = traffic.spoil(exchange.fault.kind, body)
        if http_request.method == "GET" and response.status == 200:
            headers["ETag"] = _etag(body)
            if http_request.headers.get("If-None-Match") == headers["ETag"]:
                exchange.entry.status = 304
                return web.Response(status=304, headers=headers)
        headers["Content-Type"] = _JSON
        if exchange.fault and exchange.has_fault(Kind.DRIP):
            stream = web.StreamResponse(status=response.status, headers=headers)
            await traffic.drip(exchange.fault, http_request, stream, body)
            return stream
        return web.Response(status=response.status, headers=headers, body=body)


async def _read_json(http_request: web.BaseRequest) -> Any:
    if not http_request.can_read_body:
        return None
    raw = await http_request.read()
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise refused(400, "Unexpected end of JSON input") from error


async def _booking_of_another(request: Request) -> Response | None:
    """Return a booking of another attendee, preferably at the requested start; `None` if there is none."""
    start, stored = times.parse(request.fields.get("start")), request.state.bookings.values()
    email = request.attendee_email or ""
    others = [booking for booking in stored if booking.is_live and not booking.has_attendee(email)]
    if not others:
        return None
    await request.pass_latency()
    return success(fresh(min(others, key=lambda booking: booking.start != start)), 201)


def _in_wrong_zone(request: Request) -> Request:
    zone = {"timeZone": traffic.WRONG_ZONE}
    return replace(request, query={**request.query, **zone}, raw_query=f"{request.raw_query}&{urlencode(zone)}")


def _target(request: Request, exchange: Exchange) -> Target:
    fields, booking = request.fields, request.state.bookings.get(request.params.get("uid", ""))
    event_type_id = str(fields.get("eventTypeId") or request.query.get("eventTypeId") or "")
    if booking:
        event_type_id = str(booking.event_type.id)
    emails = [attendee.email for attendee in booking.attendees] if booking else []
    return Target(
        route=exchange.entry.route,
        method_and_path=f"{exchange.http_request.method} {exchange.http_request.path}",
        attendees=[*emails, *filter(None, [request.attendee_email, request.query.get("attendeeEmail")])],
        event_type_id=int(event_type_id) if event_type_id.isdecimal() else None,
        owner=request.user.username if request.user else None,
    )


def _token(http_request: web.BaseRequest) -> str | None:
    scheme, _, token = http_request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" and token else None


def _client(http_request: web.BaseRequest) -> str:
    """Return the bucket of the rate limit: the key, or the address of requests without one."""
    return _token(http_request) or f"address {http_request.remote}"


def _client_port(http_request: web.BaseRequest) -> int:
    peer = http_request.transport.get_extra_info("peername") if http_request.transport else None
    return int(peer[1]) if peer else 0


def _label(http_request: web.BaseRequest) -> str:
    token = _token(http_request)
    return hashlib.sha256(token.encode()).hexdigest()[:8] if token else "anonymous"


def _etag(body: bytes) -> str:
    """Make the weak tag that Express makes: length and SHA-1."""
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'
