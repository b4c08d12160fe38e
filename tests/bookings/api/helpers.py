"""The agents of the API tests, their bodies, and arbitrary JSON."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bookings.models import AgentKey, Conversation, Service
from bookings.scheduling import holds
from tests import agent
from tests.factories import ANNA, Caller, Salon

CALLER = {"name": ANNA.name, "phone": ANNA.phone, "language": "de"}

TEXT = st.text(max_size=40)
SCALARS = st.one_of(TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none())
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
FUZZ = settings(
    max_examples=80, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Agent(agent.Agent):
    """An agent whose bookings are repeats of one request unless a test says otherwise."""

    def book(
        self, service: Service, start: datetime, caller: Caller = ANNA, *, key: str = "first", **headers: str
    ) -> Any:
        return self.post("bookings", booking_body(service, start, caller=caller), idempotency_key=key, **headers)


def agent_with(salon: Salon, **fields: object) -> Agent:
    """Return an agent of the salon whose key has these scopes, or this branch."""
    _, text = AgentKey.objects.issue(company=salon.company, name="another", **fields)
    return Agent(text)


def booking_body(service: Service, start: datetime, *, caller: Caller = ANNA, **more: object) -> dict[str, object]:
    who = {"name": caller.name, "phone": caller.phone, "email": caller.email, "language": "de"}
    return {"service": f"sv_{service.pk}", "start": start.isoformat(), "caller": who, **more}


def start_conversation(agent: Agent, call_id: str = "call-1", **more: object) -> Any:
    """Begin a call."""
    return agent.post("conversations", {"platform": "retell", "call_id": call_id, **more})


def slot_token(service: Service, start: datetime, call: str) -> str:
    """Return the token of an offer made in the call."""
    conversation = Conversation.objects.get(public_id=call)
    (offer,) = holds.issue_tokens(
        company=conversation.company, conversation=conversation, service=service, starts=[start], now=timezone.now()
    )
    return offer.token


def book_by_token(agent: Agent, call: str, **slot: object) -> Any:
    """Book by a token."""
    return agent.post("bookings", {"caller": CALLER, "conversation_id": call, **slot})
