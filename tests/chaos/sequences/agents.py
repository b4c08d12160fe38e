"""Requests of voice agents: search, hold, book, reschedule, cancel, and each of them repeated."""

from datetime import datetime
from random import Random
from typing import Any

from bookings.models import Appointment, AppointmentState, Operation, Service
from bookings.scheduling.holds import OFFERED_FOR
from tests.chaos.sequences.run import Reply, Request, Run, Token
from tests.chaos.sequences.sandbox import Tenant
from tests.factories import ANNA, KARL, MARIA, Caller

_CALLERS = (ANNA, KARL, MARIA)
_MOST_CALLS = 2


# --- asking ------------------------------------------------------------------------------------------------------


def search(run: Run, chance: Random) -> None:
    """Search a time, or the day; sometimes with a hold."""
    tenant, name, start = _slot(run, chance)
    local = start.astimezone(tenant.zone)
    when = {"windows": [{"from": start.isoformat()}]} if chance.random() < 0.7 else {"date": local.date().isoformat()}
    body: dict[str, Any] = {
        "service": _id(tenant.services[name]),
        "when": when,
        "conversation_id": _call(run, chance, tenant),
    }
    if name == "cut" and chance.random() < 0.3:
        body["staff"] = "Emma"
    if chance.random() < 0.3:
        body["hold"] = "exact_match"
    answer = run.sandbox.process.run(lambda: tenant.agent.post("availability/search", body))
    answered = answer.json() if answer else {}
    run.log(f"search {body} -> {answered.get('status', answered.get('code', 'nothing: we died'))}")
    is_promised = run.is_undisturbed and answered.get("status") != "degraded"
    for offer in answered.get("offers", ()):
        until = run.sandbox.clock.now() + OFFERED_FOR
        run.offers.append(_token(tenant, name, body, offer["start"], offer["slot_token"], until, is_promised))
    if answered.get("hold"):
        _record_hold(run, tenant, name, body, answered["hold"])


def hold(run: Run, chance: Random) -> None:
    """Hold an offer."""
    offer = _some(chance, run.offers[-6:])
    if offer is None:
        search(run, chance)
        return
    body = {"slot_token": offer.text, "conversation_id": offer.conversation}
    answer = run.sandbox.process.run(lambda: offer.tenant.agent.post("holds", body))
    answered = answer.json() if answer else {}
    run.log(f"hold {body} -> {answered.get('status', answered.get('code', 'nothing: we died'))}")
    if answered.get("status") == "held":
        _record_hold(run, offer.tenant, offer.service, body, answered)


def release(run: Run, chance: Random) -> None:
    """Release a hold."""
    held = _some(chance, run.holds)
    if held is not None:
        appointment = Appointment.objects.get(confirm_token=held.text)
        run.sandbox.process.run(lambda: held.tenant.agent.delete(f"holds/{appointment.public_id}"))
        run.holds.remove(held)
        run.log(f"release {held.text}")


# --- booking -----------------------------------------------------------------------------------------------------


def book(run: Run, chance: Random) -> None:
    """Book a hold, an offer, or a time; in a conversation, under a key, or both."""
    tokens = [("confirm_token", run.holds), ("slot_token", run.offers[-6:])]
    kind, known = chance.choice([*tokens, ("", [])])
    token = _some(chance, known)
    if token is None:
        tenant, name, start = _slot(run, chance)
        conversation = _call(run, chance, tenant)
        body: dict[str, Any] = {"service": _id(tenant.services[name]), "start": start.isoformat()}
    else:
        tenant, conversation, body = token.tenant, token.conversation, {kind: token.text}
    body |= {"caller": _caller(chance), "conversation_id": conversation}
    needs_key = token is None and conversation is None
    headers = {"idempotency_key": f"key-{len(run.requests)}"} if needs_key or chance.random() < 0.3 else {}
    promised = kind == "confirm_token" and token is not None and _must_be_booked(run, token)
    reply, answered = run.send(Request(tenant, "book", "bookings", body, headers))
    if promised and reply in {Reply.REFUSED, Reply.OVER}:
        run.fail(f"what was held is refused: {answered.get('code')}")


def _must_be_booked(run: Run, token: Token) -> bool:
    """Return whether the booking of the hold may not be refused."""
    is_held = Appointment.objects.standing().filter(confirm_token=token.text).exists()
    return token.is_promised and run.is_undisturbed and is_held


def repeat(run: Run, chance: Random) -> None:
    """Repeat a request, sometimes with another caller."""
    request = _some(chance, run.requests[-5:])
    if request is None:
        book(run, chance)
        return
    body = None
    if request.operation == "book" and not request.headers and chance.random() < 0.5:
        body = request.body | {"caller": _caller(chance)}
    run.send(request, body)


def reuse_key(run: Run, chance: Random) -> None:
    """Send another request under a used key."""
    request = _some(chance, [request for request in run.requests if request.headers and request.operation == "book"])
    if request is None:
        return
    tenant, name, start = request.tenant, *chance.choice(_slots(request.tenant))
    key = request.headers["idempotency_key"]
    is_used = Operation.objects.filter(company=tenant.company, idempotency_key=key).exists()
    body = {
        "service": _id(tenant.services[name]),
        "start": start.isoformat(),
        "caller": _caller(chance),
        "notes": "else",
    }
    reply, answered = run.send(Request(tenant, "book", "bookings", body, request.headers))
    if is_used and reply is not Reply.NONE and answered.get("code") != "idempotency_key_reused":
        run.fail(f"another request under a used key came to {reply}")


def poll_operation(run: Run, chance: Random) -> None:
    """Poll a pending operation."""
    open_ones = [request for request in run.requests if request.replies[-1] is Reply.PENDING]
    request = _some(chance, open_ones)
    change = request and Operation.objects.filter(appointment__in=request.made).order_by("-pk").first()
    if change:
        answer = run.sandbox.process.run(lambda: request.tenant.agent.get(f"operations/{change.public_id}"))
        run.log(f"follow -> {answer.json()['status'] if answer else 'nothing: we died'}")


# --- changing ----------------------------------------------------------------------------------------------------


def reschedule(run: Run, chance: Random) -> None:
    """Reschedule an appointment to a time or to an offer."""
    appointment, tenant = _appointment(run, chance)
    if appointment is None:
        book(run, chance)
        return
    name = next((name for name, service in tenant.services.items() if service == appointment.service), "")
    offers = [each for each in run.offers if (each.tenant, each.service) == (tenant, name)]
    offer = _some(chance, offers[-6:]) if chance.random() < 0.3 else None
    body: dict[str, Any] = {"start": chance.choice(tenant.starts.get(name) or [appointment.start]).isoformat()}
    conversation = _call(run, chance, tenant)
    if offer is not None:
        body, conversation = {"slot_token": offer.text}, offer.conversation
    body |= {"reason": "other plans", "conversation_id": conversation}
    headers = {"idempotency_key": f"key-{len(run.requests)}"} if chance.random() < 0.3 else {}
    run.send(Request(tenant, "reschedule", f"bookings/{appointment.public_id}/reschedule", body, headers))


def cancel(run: Run, chance: Random) -> None:
    """Cancel an appointment."""
    appointment, tenant = _appointment(run, chance)
    if appointment is None:
        book(run, chance)
        return
    headers = {"idempotency_key": f"key-{len(run.requests)}"} if chance.random() < 0.3 else {}
    run.send(Request(tenant, "cancel", f"bookings/{appointment.public_id}/cancel", {"reason": "ill"}, headers))


# --- what they choose --------------------------------------------------------------------------------------------


def _slot(run: Run, chance: Random) -> tuple[Tenant, str, datetime]:
    """Return a slot that callers want: mostly of the salon, and rarely an impossible one."""
    tenant = run.sandbox.tenants[chance.random() < 0.25]
    if chance.random() < 0.05:
        return tenant, *chance.choice(tenant.impossible)
    return tenant, *chance.choice(_slots(tenant))


def _slots(tenant: Tenant) -> list[tuple[str, datetime]]:
    return [(name, start) for name, starts in tenant.starts.items() for start in starts]


def _appointment(run: Run, chance: Random) -> tuple[Appointment | None, Tenant]:
    """Return an appointment that an agent may know, mostly a live one."""
    tenant = run.sandbox.tenants[chance.random() < 0.25]
    known = Appointment.objects.of(tenant.company).exclude(state__in=[AppointmentState.HELD, AppointmentState.EXPIRED])
    live = list(known.live().select_related("service").order_by("pk"))
    if chance.random() < 0.2:
        live = list(known.select_related("service").order_by("pk"))
    return _some(chance, live), tenant


def _call(run: Run, chance: Random, tenant: Tenant) -> str | None:
    """Return a conversation, or None to go without."""
    if chance.random() < 0.4:
        return None
    if len(tenant.conversations) < _MOST_CALLS and chance.random() < 0.6:
        number = f"call-{len(tenant.conversations)}"
        begun = run.sandbox.process.run(
            lambda: tenant.agent.post("conversations", {"platform": "test", "call_id": number, "branch": None})
        )
        if begun is not None:
            tenant.conversations.append(begun.json()["conversation_id"])
    return _some(chance, tenant.conversations)


def _caller(chance: Random) -> dict[str, Any]:
    caller: Caller = chance.choice(_CALLERS)
    return {"name": caller.name, "phone": caller.phone, "email": caller.email}


def _record_hold(run: Run, tenant: Tenant, name: str, body: dict[str, Any], answered: dict[str, Any]) -> None:
    until = datetime.fromisoformat(answered["expires_at"])
    run.holds.append(
        _token(tenant, name, body, answered["start"], answered["confirm_token"], until, run.is_undisturbed)
    )


def _token(  # noqa: PLR0917  the parts of a token, in the order of its row
    tenant: Tenant, name: str, body: dict[str, Any], start: str, text: str, until: datetime, is_promised: bool
) -> Token:
    return Token(tenant, name, datetime.fromisoformat(start), body.get("conversation_id"), text, until, is_promised)


def _some(chance: Random, things: list[Any]) -> Any:
    return chance.choice(things) if things else None


def _id(service: Service) -> str:
    return f"sv_{service.pk}"
