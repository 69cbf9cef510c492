"""A client on the Python SDK, as `tests/clients/sdks.rs` runs it:

    python client.py legacy|auto CALLS COMMAND ARGS...

CALLS is a list of {tool, arguments} in JSON. Each line of stdout is one thing that a user of the SDK sees.
"""

import asyncio
import json
import sys

from mcp import Client, MCPError, StdioServerParameters, stdio_client

MODE, CALLS, COMMAND, *ARGS = sys.argv[1:]


def see(what, value):
    print(json.dumps({what: value}), flush=True)


def plain(model):
    """What the server said of it, without the SDK's own defaults."""
    return model and model.model_dump(mode="json", by_alias=True, exclude_unset=True)


async def result_of(call):
    try:
        return plain(await call)
    except MCPError as error:
        return {"error": {"code": error.code, "message": error.message}}


async def main():
    complaints = []

    async def hear(message):
        if isinstance(message, Exception):
            complaints.append(str(message))

    server = stdio_client(StdioServerParameters(command=COMMAND, args=ARGS))
    async with Client(server, mode=MODE, message_handler=hear) as client:
        see("connected", {
            "version": client.protocol_version,
            "server": plain(client.server_info),
            "capabilities": plain(client.server_capabilities),
            "instructions": client.instructions,
        })
        see("tools", [plain(tool) for tool in (await client.list_tools()).tools])
        for call in json.loads(CALLS):
            see(call["tool"], await result_of(client.call_tool(call["tool"], call["arguments"])))
        see("closing", complaints)
    see("closed", complaints)


asyncio.run(main())
