"""The SDK of the Model Context Protocol, in the mode that the test names."""

import json

import httpx2
from flow import Told, given, play, run
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main() -> dict[str, Told]:
    asked = given()
    async with httpx2.AsyncClient(headers=asked["headers"]) as http:
        transport = streamable_http_client(asked["url"], http_client=http)
        async with Client(transport, mode=asked["mode"]) as client:
            listed = await client.list_tools()

            async def call(name: str, arguments: dict[str, object]) -> Told:
                result = await client.call_tool(name, arguments)
                (content,) = result.content
                told: Told = json.loads(content.text)
                assert result.structured_content == told
                return told

            told = await play(call)
            told["tools"] = {"names": [tool.name for tool in listed.tools]}
            return told


run(main)
