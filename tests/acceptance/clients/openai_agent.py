"""A whole agent of OpenAI's SDK. A script plays the model, and knows only what the model was shown."""

import json
from typing import Any

from agents import Agent, Runner, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from flow import Told, given, run


def shown(call: ModelCall) -> list[Told]:
    """Return what the model saw of the tools so far: their texts, nothing else."""
    outputs = [
        item["output"] for item in call.input if isinstance(item, dict) and item.get("type") == "function_call_output"
    ]
    return [json.loads(_text(each)) for each in outputs]


def _text(output: Any) -> str:
    if isinstance(output, str):
        found = json.loads(output)
        return str(found["text"]) if isinstance(found, dict) and "text" in found else output
    return str(output[0]["text"])


async def main() -> dict[str, Told]:
    set_tracing_disabled(True)
    asked = given()
    seen: list[Told] = []

    def step(name: str, arguments: Any) -> ModelStep:
        def respond(call: ModelCall) -> list[Any]:
            told = shown(call)
            seen[:] = told
            made = arguments(told) if callable(arguments) else arguments
            return [function_call(name, made, call_id=f"call-{len(told)}")]

        return ModelStep.respond(respond)

    def done(call: ModelCall) -> list[Any]:
        seen[:] = shown(call)
        return [assistant_message(seen[-1]["spoken"])]

    model = ScriptedModel(
        [
            step("check_availability", {"service": asked["service"], "when": asked["day"]}),
            step("hold_slot", lambda told: {"slot_token": told[0]["offers"][1]["slot_token"]}),
            step("book_appointment", lambda told: {"confirm_token": told[1]["confirm_token"], "name": asked["name"]}),
            step("book_appointment", lambda told: {"confirm_token": told[1]["confirm_token"], "name": asked["name"]}),
            step("find_my_appointments", {}),
            step("check_availability", {"service": asked["service"], "when": asked["later"]}),
            step(
                "reschedule_appointment",
                lambda told: {
                    "booking_id": told[4]["bookings"][0]["booking_id"],
                    "slot_token": told[5]["offers"][0]["slot_token"],
                },
            ),
            step("cancel_appointment", lambda told: {"booking_id": told[4]["bookings"][0]["booking_id"]}),
            ModelStep.respond(done),
        ]
    )
    params = {"url": asked["url"], "headers": asked["headers"]}
    async with MCPServerStreamableHttp(params=params, name="slotline") as server:
        agent = Agent(name="Receptionist", instructions="", model=model, mcp_servers=[server])
        result = await Runner.run(agent, "Hallo", max_turns=12)
    model.assert_complete()
    names = ("offered", "held", "booked", "again", "found", "later", "moved", "cancelled")
    return {**dict(zip(names, seen, strict=True)), "last": {"spoken": result.final_output}}


run(main)
