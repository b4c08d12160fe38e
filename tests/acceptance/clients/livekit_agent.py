"""A whole session of LiveKit's Agents in text. A script plays the model, and knows only what the model was shown."""

import json
from collections.abc import Callable
from typing import Any

from flow import Told, given, run
from livekit.agents import Agent, AgentSession, llm
from livekit.agents.llm import ChatChunk, ChoiceDelta, FunctionToolCall
from livekit.agents.llm.mcp import MCPServerHTTP, MCPToolset

Step = tuple[str, Callable[[list[Told]], dict[str, Any]]] | None
"""A tool and its arguments, made of what was shown; None: the model speaks."""


class Script(llm.LLM):
    """A model that follows its steps."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps
        self.shown: list[Told] = []

    def chat(self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, **_: Any) -> llm.LLMStream:
        outputs = [item.output for item in chat_ctx.items if item.type == "function_call_output"]
        self.shown = [json.loads(json.loads(output)["text"]) for output in outputs]
        return _Stream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Stream(llm.LLMStream):
    async def _run(self) -> None:
        model: Script = self._llm
        step = model.steps.pop(0)
        if step is None:
            delta = ChoiceDelta(role="assistant", content=model.shown[-1]["spoken"])
        else:
            name, arguments = step
            made = FunctionToolCall(
                name=name, arguments=json.dumps(arguments(model.shown)), call_id=f"call-{len(model.shown)}"
            )
            delta = ChoiceDelta(role="assistant", tool_calls=[made])
        self._event_ch.send_nowait(ChatChunk(id="scripted", delta=delta))


async def main() -> dict[str, Told]:
    asked = given()
    token: Callable[[list[Told]], dict[str, Any]] = lambda told: {  # noqa: E731
        "confirm_token": told[1]["confirm_token"],
        "name": asked["name"],
    }
    steps: list[Step] = [
        ("check_availability", lambda _: {"service": asked["service"], "when": asked["day"]}),
        None,
        ("hold_slot", lambda told: {"slot_token": told[0]["offers"][1]["slot_token"]}),
        ("book_appointment", token),
        None,
        ("book_appointment", token),
        ("find_my_appointments", lambda _: {}),
        None,
        ("check_availability", lambda _: {"service": asked["service"], "when": asked["later"]}),
        (
            "reschedule_appointment",
            lambda told: {
                "booking_id": told[4]["bookings"][0]["booking_id"],
                "slot_token": told[-1]["offers"][0]["slot_token"],
            },
        ),
        None,
        ("cancel_appointment", lambda told: {"booking_id": told[4]["bookings"][0]["booking_id"]}),
        None,
    ]
    model = Script(steps)
    toolset = MCPToolset(id="slotline", mcp_server=MCPServerHTTP(asked["url"], headers=asked["headers"]))
    async with AgentSession(llm=model) as session:
        await session.start(Agent(instructions="", tools=[toolset]), record=False)
        for said in ("Haarschnitt, bitte.", "Die zweite Zeit.", "Wie bitte?", "Lieber um elf.", "Doch nicht."):
            await session.run(user_input=said)
    names = ("offered", "held", "booked", "again", "found", "later", "moved", "cancelled")
    return dict(zip(names, model.shown, strict=True))


if __name__ == "__main__":
    run(main)
