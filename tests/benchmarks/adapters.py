"""How long a voice platform waits for free times in a caller's words, without a request to Cal.com, by each adapter."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from bookings.models import AgentKey
from script.lib.agent import Agent, Answer
from script.lib.environment import CONSISTENT_AFTER, Environment
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError

SLUG = "held"
CALLS = 60
"""By each adapter; each is another phone call."""
_SECRET = "signs what the benchmark sends"
_calls = count()
Ask = Callable[[Agent, str, dict[str, str]], tuple[Answer, str]]
"""Asks in a phone call, and returns the answer with what the model is told."""


def measure(env: Environment) -> dict[str, Measurement]:
    """Ask for a morning in words; all answers come from the cache."""
    tenant = env.tenant()
    key = AgentKey.objects.get(company=tenant.company_id)
    key.add_secret("retell", secret=_SECRET)
    key.save(update_fields=["platform_secrets"])
    with env.agent() as agent:
        env.free_slots(agent, SLUG, days=14, ahead=0)
        time.sleep(CONSISTENT_AFTER)
        service = env.services[SLUG]
        asked = env.slot_requests(SLUG)
        day = datetime.now(tenant.zone) + timedelta(days=3)
        arguments = {"service": service, "when": f"{day:%B} {day.day}, in the morning", "staff": ""}
        times = {name: _times(agent, ask, arguments) for name, ask in _adapters(tenant.slug).items()}
        if env.slot_requests(SLUG) != asked:
            raise HarnessError("Cal.com was asked; this is about loaded days")
    slowest = {name: percentile(each, 0.95) or 0.0 for name, each in times.items()}
    said = ", ".join(f"{name} {value:.1f}" for name, value in slowest.items())
    return {"adapter_p95_ms": Measurement(max(slowest.values()), f"{CALLS} calls each; {said}")}


def _times(agent: Agent, ask: Ask, arguments: dict[str, str]) -> list[float]:
    times = []
    for _ in range(CALLS):
        answer, told = ask(agent, f"bench-{next(_calls)}", arguments)
        if answer.status != 200 or '"offers"' not in told:
            raise HarnessError(f"An adapter answered {answer.status}: {told[:300]}")
        times.append(answer.duration * 1000)
    return times


def _adapters(company: str) -> dict[str, Ask]:
    return {
        "retell": lambda agent, call, arguments: _retell(agent, company, call, arguments),
        "vapi": lambda agent, call, arguments: _vapi(agent, company, call, arguments),
        "elevenlabs": lambda agent, call, arguments: _headers(agent, f"elevenlabs/{company}", call, arguments),
        "bland": lambda agent, call, arguments: _headers(agent, f"bland/{company}", call, arguments),
        "mcp": _mcp,
    }


def _retell(agent: Agent, company: str, call: str, arguments: dict[str, str]) -> tuple[Answer, str]:
    body = {"name": "check_availability", "call": {"call_id": call, "from_number": "+4915187654321"}, "args": arguments}
    stamp = str(time.time_ns() // 1_000_000)
    digest = hmac.new(_SECRET.encode(), (json.dumps(body) + stamp).encode(), hashlib.sha256).hexdigest()
    answer = agent.post(f"/adapters/retell/{company}/fn", body, X_Retell_Signature=f"v={stamp},d={digest}")
    return answer, json.dumps(answer.body)


def _vapi(agent: Agent, company: str, call: str, arguments: dict[str, str]) -> tuple[Answer, str]:
    function = {"name": "check_availability", "arguments": json.dumps(arguments)}
    message = {"type": "tool-calls", "call": {"id": call}, "toolCallList": [{"id": "1", "function": function}]}
    answer = agent.post(f"/adapters/vapi/{company}", {"message": message})
    return answer, str(answer.body["results"][0]["result"])


def _headers(agent: Agent, path: str, call: str, arguments: dict[str, str]) -> tuple[Answer, str]:
    answer = agent.post(f"/adapters/{path}/check_availability", arguments, X_Call_Id=call)
    return answer, json.dumps(answer.body)


def _mcp(agent: Agent, call: str, arguments: dict[str, str]) -> tuple[Answer, str]:
    params = {"name": "check_availability", "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = agent.post("/mcp", body, X_Call_Id=call)
    return answer, str(answer.body["result"]["content"][0]["text"])
