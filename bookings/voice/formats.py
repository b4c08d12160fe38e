"""The tools as each platform wants them defined. Facts on the formats: docs/guides/voice/."""

from collections.abc import Callable, Mapping
from typing import Any

from bookings.voice.tools import TOOLS, Parameter, Tool

TIMEOUT_S = 6
"""A tool answers within 4 s; platforms add their own way."""
CALL_ID, CALLER_ID, CALLED_NUMBER = "X-Call-Id", "X-Caller-Id", "X-Called-Number"
"""Headers in which platforms without an envelope say which call it is, who calls and which number was dialled."""
_KEY = "<your Slotline key>"


def schema(tool: Tool) -> dict[str, Any]:
    """Return the parameters as JSON Schema: one flat object of strings."""
    return {
        "type": "object",
        "properties": {each.name: {"type": "string", "description": each.description} for each in tool.parameters},
        "required": [each.name for each in tool.parameters if each.required],
    }


def openai(tool: Tool, language: str, base_url: str, company: str) -> dict[str, Any]:  # noqa: ARG001
    """Return a function tool with a strict schema: all properties required, optional ones nullable."""
    properties = {each.name: _nullable(each) for each in tool.parameters}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters,
        "strict": True,
    }


def _nullable(parameter: Parameter) -> dict[str, Any]:
    kind = "string" if parameter.required else ["string", "null"]
    return {"type": kind, "description": parameter.description}


def retell(tool: Tool, language: str, base_url: str, company: str) -> dict[str, Any]:
    """Return a custom function: retries off, because a failed call is told to the model with what to do."""
    return {
        "type": "custom",
        "name": tool.name,
        "description": tool.description,
        "url": f"{base_url}/adapters/retell/{company}/fn",
        "method": "POST",
        "headers": {},
        "timeout_ms": TIMEOUT_S * 1000,
        "max_retry": 0,
        "args_at_root": False,
        "speak_during_execution": True,
        "execution_message_type": "static_text",
        "execution_message_description": tool.filler[language],
        "speak_after_execution": True,
        "parameters": schema(tool),
    }


def vapi(tool: Tool, language: str, base_url: str, company: str) -> dict[str, Any]:
    """Return a function tool; the caller may not interrupt it while something is written."""
    start = {"type": "request-start", "content": tool.filler[language], "blocking": False}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": schema(tool)},
        "messages": [start],
        "server": {"url": f"{base_url}/adapters/vapi/{company}", "timeoutSeconds": TIMEOUT_S},
    }


def elevenlabs(tool: Tool, language: str, base_url: str, company: str) -> dict[str, Any]:  # noqa: ARG001
    """Return a webhook tool; call and caller come from the system's variables, never from the model."""
    body = schema(tool)
    if not body["required"]:
        del body["required"]
    return {
        "type": "webhook",
        "name": tool.name,
        "description": tool.description,
        "response_timeout_secs": TIMEOUT_S,
        "tool_error_handling_mode": "passthrough",
        "pre_tool_speech": "auto",
        "execution_mode": "immediate",
        "interruption_mode": "allow" if tool.reads else "disable_during_tool",
        "api_schema": {
            "url": f"{base_url}/adapters/elevenlabs/{company}/{tool.name}",
            "method": "POST",
            "content_type": "application/json",
            "request_headers": {
                "Authorization": f"Bearer {_KEY}",
                CALL_ID: {"variable_name": "system__conversation_id"},
                CALLER_ID: {"variable_name": "system__caller_id"},
                CALLED_NUMBER: {"variable_name": "system__called_number"},
            },
            "request_body_schema": body,
        },
    }


def bland(tool: Tool, language: str, base_url: str, company: str) -> dict[str, Any]:
    """Return a custom tool with its headers and its body."""
    return {
        "name": tool.name,
        "description": tool.description,
        "speech": tool.filler[language],
        "url": f"{base_url}/adapters/bland/{company}/{tool.name}",
        "method": "POST",
        "headers": {
            "Authorization": f"Bearer {_KEY}",
            "Content-Type": "application/json",
            CALL_ID: "{{call_id}}",
            CALLER_ID: "{{from}}",
            CALLED_NUMBER: "{{to}}",
        },
        "body": {each.name: f"{{{{input.{each.name}}}}}" for each in tool.parameters},
        "input_schema": schema(tool),
        "response": {"spoken": "$.spoken", "agent_hint": "$.agent_hint", "confirm_token": "$.confirm_token"},
        "timeout": TIMEOUT_S * 1000,
    }


def mcp(tool: Tool, language: str = "", base_url: str = "", company: str = "") -> dict[str, Any]:  # noqa: ARG001
    """Return a tool of the Model Context Protocol. No outputSchema: clients would raise after a booking was made."""
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": schema(tool) | {"additionalProperties": False},
        "annotations": {
            "title": tool.title,
            "readOnlyHint": tool.reads,
            "destructiveHint": tool.destroys,
            "idempotentHint": not tool.reads and tool.name != "request_callback",
            "openWorldHint": False,
        },
    }


FORMATS: Mapping[str, Callable[[Tool, str, str, str], dict[str, Any]]] = {
    "openai": openai,
    "retell": retell,
    "vapi": vapi,
    "elevenlabs": elevenlabs,
    "bland": bland,
    "mcp": mcp,
}


def definitions(platform: str, *, language: str, base_url: str, company: str) -> list[dict[str, Any]]:
    """Return all tools for a platform; `base_url` is Slotline's public address without a slash at its end."""
    return [FORMATS[platform](tool, language, base_url, company) for tool in TOOLS]
