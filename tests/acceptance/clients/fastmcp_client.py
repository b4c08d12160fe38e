"""fastmcp, which types results where a server has an output schema, and raises on errors unless told not to."""

import json

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from flow import Told, given, play, run


async def main() -> dict[str, Told]:
    asked = given()
    transport = StreamableHttpTransport(asked["url"], headers=asked["headers"], auth=asked["key"])
    async with Client(transport) as client:

        async def call(name: str, arguments: dict[str, object]) -> Told:
            result = await client.call_tool(name, arguments, raise_on_error=False)
            told: Told = json.loads(result.content[0].text)
            assert result.is_error == (not told["ok"])
            return told

        return await play(call)


run(main)
