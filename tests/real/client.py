"""Runs every exchange against the URL in the first argument and prints what it saw, one line each."""

import asyncio
import hashlib
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

URL = sys.argv[1]


def opened(**options):
    return connect(URL, **{"compression": None, "max_size": 4 << 20, "ping_interval": None, "proxy": None, **options})


def describe(message):
    data = message.encode() if isinstance(message, str) else message
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


async def echo(name, payload, **options):
    async with opened(**options) as connection:
        await connection.send(payload)
        answer = await connection.recv()
        kind = "text" if isinstance(answer, str) else "binary"
        extensions = "compressed" if connection.protocol.extensions else "plain"
        print(name, kind, extensions, describe(answer))
        await connection.close(1000, "done")
        print(name, "closed", connection.close_code, connection.close_reason)


async def fragments():
    async with opened() as connection:
        await connection.send(f"part {i};" for i in range(20))
        print("fragmented", describe(await connection.recv()))


async def subprotocol():
    async with opened(subprotocols=["first.v1", "second.v2"]) as connection:
        print("subprotocol", connection.subprotocol)


async def pings():
    async with opened() as connection:
        pong = await connection.ping("are you there")
        await pong
        print("pong are you there")


async def close(code, reason):
    async with opened() as connection:
        await connection.send(f"close {code} {reason}")
        try:
            await connection.recv()
        except ConnectionClosed:
            print("server closes", connection.close_code, connection.close_reason)


async def main():
    large = (b"longhaul " * 116509)[: 1 << 20]
    await echo("text", "grüße, 世界 🌍")
    await echo("empty", "")
    await echo("binary", bytes([0, 1, 2, 253, 254, 255]))
    await echo("large", large)
    await echo("compressed text", "again and again " * 500, compression="deflate")
    await echo("compressed large", large, compression="deflate")
    await fragments()
    await subprotocol()
    await pings()
    for code, reason in [(1000, "bye"), (1001, ""), (1011, "sorry"), (3000, "x" * 123), (4999, "own")]:
        await close(code, reason)


asyncio.run(main())
