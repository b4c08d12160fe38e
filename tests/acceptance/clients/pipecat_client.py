"""Pipecat's client: its handlers hand the model all texts of a result, joined."""

import json
from types import SimpleNamespace
from typing import Any

from flow import Told, given, play, run
from mcp.client.session_group import StreamableHttpParameters
from pipecat.services.mcp_service import MCPClient


async def main() -> dict[str, Told]:
    asked = given()
    async with MCPClient(StreamableHttpParameters(url=asked["url"], headers=asked["headers"])) as client:
        handlers = {tool.name: tool.handler for tool in (await client.tools()).standard_tools}

        async def call(name: str, arguments: dict[str, Any]) -> Told:
            results: list[str] = []

            async def take(result: Any, **_: Any) -> None:
                results.append(result)

            await handlers[name](
                SimpleNamespace(function_name=name, tool_call_id="1", arguments=arguments, result_callback=take)
            )
            return dict(json.loads(results[0]))

        return await play(call)


run(main)
