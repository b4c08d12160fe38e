"""What voice agents do: they search, hold, book, move and cancel, and they say everything twice."""

from datetime import datetime
from random import Random
from typing import Any

from bookings.models import Appointment, AppointmentState, Operation, Service
from bookings.scheduling.holds import OFFERED_FOR
from tests.chaos.sequences.play import Ask, Play, Token, Told
from tests.chaos.sequences.stage import Line
from tests.factories import ANNA, KARL, MARIA, Caller

_CALLERS = (ANNA, KARL, MARIA)
_MOST_CALLS = 2


# --- asking ------------------------------------------------------------------------------------------------------


def search(play: Play, dice: Random) -> None:
    """Ask for a time, or for the day; hold it at once now and then."""
    line, name, start = _wish(play, dice)
    local = start.astimezone(line.zone)
    when = {"windows": [{"from": start.isoformat()}]} if dice.random() < 0.7 else {"date": local.date().isoformat()}
    body: dict[str, Any] = {
        "service": _id(line.services[name]),
        "when": when,
        "conversation_id": _call(play, dice, line),
    }
    if name == "cut" and dice.random() < 0.3:
        body["staff"] = "Emma"
    if dice.random() < 0.3:
        body["hold"] = "exact_match"
    answer = play.stage.process.run(lambda: line.agent.post("availability/search", body))
    said = answer.json() if answer else {}
    play.say(f"search {body} -> {said.get('status', said.get('code', 'nothing: we died'))}")
    is_promised = play.is_calm and said.get("status") != "degraded"
    for offer in said.get("offers", ()):
        until = play.stage.clock.now() + OFFERED_FOR
        play.offers.append(_token(line, name, body, offer["start"], offer["slot_token"], until, is_promised))
    if said.get("hold"):
        _keep_hold(play, line, name, body, said["hold"])


def hold(play: Play, dice: Random) -> None:
    """Hold what was offered."""
    offer = _some(dice, play.offers[-6:])
    if offer is None:
        search(play, dice)
        return
    body = {"slot_token": offer.text, "conversation_id": offer.conversation}
    answer = play.stage.process.run(lambda: offer.line.agent.post("holds", body))
    said = answer.json() if answer else {}
    play.say(f"hold {body} -> {said.get('status', said.get('code', 'nothing: we died'))}")
    if said.get("status") == "held":
        _keep_hold(play, offer.line, offer.service, body, said)


def release(play: Play, dice: Random) -> None:
    """Give a hold back."""
    held = _some(dice, play.holds)
    if held is not None:
        appointment = Appointment.objects.get(confirm_token=held.text)
        play.stage.process.run(lambda: held.line.agent.delete(f"holds/{appointment.public_id}"))
        play.holds.remove(held)
        play.say(f"release {held.text}")


# --- booking -----------------------------------------------------------------------------------------------------


def book(play: Play, dice: Random) -> None:
    """Book what is held, what was offered, or a time; in a phone call, under a key, or both."""
    tokens = [("confirm_token", play.holds), ("slot_token", play.offers[-6:])]
    kind, known = dice.choice([*tokens, ("", [])])
    token = _some(dice, known)
    if token is None:
        line, name, start = _wish(play, dice)
        conversation = _call(play, dice, line)
        body: dict[str, Any] = {"service": _id(line.services[name]), "start": start.isoformat()}
    else:
        line, conversation, body = token.line, token.conversation, {kind: token.text}
    body |= {"caller": _caller(dice), "conversation_id": conversation}
    needs_key = token is None and conversation is None
    headers = {"idempotency_key": f"key-{len(play.asks)}"} if needs_key or dice.random() < 0.3 else {}
    promised = kind == "confirm_token" and token is not None and _still_promised(play, token)
    told, said = play.ask(Ask(line, "book", "bookings", body, headers))
    if promised and told in {Told.REFUSED, Told.OVER}:
        play.object(f"what was held is refused: {said.get('code')}")


def _still_promised(play: Play, token: Token) -> bool:
    """Return whether nothing may come between the hold and its booking."""
    is_held = Appointment.objects.standing().filter(confirm_token=token.text).exists()
    return token.is_promised and play.is_calm and is_held


def repeat(play: Play, dice: Random) -> None:
    """Say once more what was said before; a platform may have other words for it by then."""
    ask = _some(dice, play.asks[-5:])
    if ask is None:
        book(play, dice)
        return
    body = None
    if ask.operation == "book" and not ask.headers and dice.random() < 0.5:
        body = ask.body | {"caller": _caller(dice)}
    play.ask(ask, body)


def use_key_again(play: Play, dice: Random) -> None:
    """Send something else under a key that was used."""
    ask = _some(dice, [ask for ask in play.asks if ask.headers and ask.operation == "book"])
    if ask is None:
        return
    line, name, start = ask.line, *dice.choice(_wishes(ask.line))
    key = ask.headers["idempotency_key"]
    is_used = Operation.objects.filter(company=line.company, idempotency_key=key).exists()
    body = {"service": _id(line.services[name]), "start": start.isoformat(), "caller": _caller(dice), "notes": "else"}
    told, said = play.ask(Ask(line, "book", "bookings", body, ask.headers))
    if is_used and told is not Told.NOTHING and said.get("code") != "idempotency_key_reused":
        play.object(f"another request under a used key came to {told}")


def follow(play: Play, dice: Random) -> None:
    """Ask what became of something that was pending."""
    open_ones = [ask for ask in play.asks if ask.told[-1] is Told.PENDING]
    ask = _some(dice, open_ones)
    operation = ask and Operation.objects.filter(appointment__in=ask.made).order_by("-pk").first()
    if operation:
        answer = play.stage.process.run(lambda: ask.line.agent.get(f"operations/{operation.public_id}"))
        play.say(f"follow -> {answer.json()['status'] if answer else 'nothing: we died'}")


# --- changing ----------------------------------------------------------------------------------------------------


def move(play: Play, dice: Random) -> None:
    """Move an appointment, to a time or to an offer."""
    appointment, line = _appointment(play, dice)
    if appointment is None:
        book(play, dice)
        return
    name = next((name for name, service in line.services.items() if service == appointment.service), "")
    offers = [each for each in play.offers if (each.line, each.service) == (line, name)]
    offer = _some(dice, offers[-6:]) if dice.random() < 0.3 else None
    body: dict[str, Any] = {"start": dice.choice(line.starts.get(name) or [appointment.start]).isoformat()}
    conversation = _call(play, dice, line)
    if offer is not None:
        body, conversation = {"slot_token": offer.text}, offer.conversation
    body |= {"reason": "other plans", "conversation_id": conversation}
    headers = {"idempotency_key": f"key-{len(play.asks)}"} if dice.random() < 0.3 else {}
    play.ask(Ask(line, "move", f"bookings/{appointment.public_id}/reschedule", body, headers))


def cancel(play: Play, dice: Random) -> None:
    """Cancel an appointment."""
    appointment, line = _appointment(play, dice)
    if appointment is None:
        book(play, dice)
        return
    headers = {"idempotency_key": f"key-{len(play.asks)}"} if dice.random() < 0.3 else {}
    play.ask(Ask(line, "cancel", f"bookings/{appointment.public_id}/cancel", {"reason": "ill"}, headers))


# --- what they choose --------------------------------------------------------------------------------------------


def _wish(play: Play, dice: Random) -> tuple[Line, str, datetime]:
    """Return something that callers want: the salon is called more often, and what nobody can have is rarely asked."""
    line = play.stage.lines[dice.random() < 0.25]
    if dice.random() < 0.05:
        return line, *dice.choice(line.hopeless)
    return line, *dice.choice(_wishes(line))


def _wishes(line: Line) -> list[tuple[str, datetime]]:
    return [(name, start) for name, starts in line.starts.items() for start in starts]


def _appointment(play: Play, dice: Random) -> tuple[Appointment | None, Line]:
    """Return an appointment that an agent may know of, made by phone or at Cal.com, mostly one that stands."""
    line = play.stage.lines[dice.random() < 0.25]
    known = Appointment.objects.of(line.company).exclude(state__in=[AppointmentState.HELD, AppointmentState.EXPIRED])
    live = list(known.live().select_related("service").order_by("pk"))
    if dice.random() < 0.2:
        live = list(known.select_related("service").order_by("pk"))
    return _some(dice, live), line


def _call(play: Play, dice: Random, line: Line) -> str | None:
    """Return a phone call to speak in, None to go without: programs do."""
    if dice.random() < 0.4:
        return None
    if len(line.conversations) < _MOST_CALLS and dice.random() < 0.6:
        number = f"call-{len(line.conversations)}"
        begun = play.stage.process.run(
            lambda: line.agent.post("conversations", {"platform": "test", "call_id": number, "branch": None})
        )
        if begun is not None:
            line.conversations.append(begun.json()["conversation_id"])
    return _some(dice, line.conversations)


def _caller(dice: Random) -> dict[str, Any]:
    caller: Caller = dice.choice(_CALLERS)
    return {"name": caller.name, "phone": caller.phone, "email": caller.email}


def _keep_hold(play: Play, line: Line, name: str, body: dict[str, Any], said: dict[str, Any]) -> None:
    until = datetime.fromisoformat(said["expires_at"])
    play.holds.append(_token(line, name, body, said["start"], said["confirm_token"], until, play.is_calm))


def _token(  # noqa: PLR0917  the parts of a token, in the order of its row
    line: Line, name: str, body: dict[str, Any], start: str, text: str, until: datetime, is_promised: bool
) -> Token:
    return Token(line, name, datetime.fromisoformat(start), body.get("conversation_id"), text, until, is_promised)


def _some(dice: Random, things: list[Any]) -> Any:
    return dice.choice(things) if things else None


def _id(service: Service) -> str:
    return f"sv_{service.pk}"
