"""Vapi's SDK checks definitions and an answer, and writes a request as its type has it."""

import json
import time

from flow import given
from pydantic import TypeAdapter
from vapi.types.create_function_tool_dto import CreateFunctionToolDto
from vapi.types.server_message_response_tool_calls import ServerMessageResponseToolCalls
from vapi.types.server_message_tool_calls import ServerMessageToolCalls

asked = given()
checked = [TypeAdapter(CreateFunctionToolDto).validate_python(each).function.name for each in asked.get("tools", ())]
if "answer" in asked:
    ServerMessageResponseToolCalls.model_validate(asked["answer"])
function = {"name": "check_availability", "arguments": json.dumps(asked.get("arguments", {}))}
call = {"id": "tc_1", "type": "function", "function": function}
message = ServerMessageToolCalls.model_validate(
    {
        "type": "tool-calls",
        "timestamp": time.time() * 1000,
        "toolCallList": [call],
        "toolWithToolCallList": [{"type": "function", "toolCall": call, "function": {"name": function["name"]}}],
    }
)
written = json.loads(message.model_dump_json(by_alias=True, exclude_none=True))
print(json.dumps({"checked": checked, "message": {"message": written}}))
