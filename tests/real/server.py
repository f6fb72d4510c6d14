"""An echo server on Python `websockets`: every message goes back, `close CODE REASON` makes the server close.

Prints its port. Chooses the last subprotocol that it was offered; compresses when the client offers it.
"""

import asyncio
import re
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    try:
        async for message in connection:
            close = isinstance(message, str) and re.fullmatch(r"close (\d+) ?(.*)", message)
            if close:
                await connection.close(int(close[1]), close[2])
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass


def last(connection, offered):
    return offered[-1] if offered else None


async def main():
    async with serve(
        echo,
        "127.0.0.1",
        0,
        select_subprotocol=last,
        max_size=4 * 1024 * 1024,
        ping_interval=None,
        close_timeout=2,
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
