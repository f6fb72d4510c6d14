"""The SignalR client pysignalr, played by a test: commands and answers are JSON lines, as in play.cjs.

It speaks version 0 of negotiate, in which a connection has no token: its id is what the router tags.
"""

import asyncio
import json
import logging
import os
import sys
from collections import Counter

from pysignalr.client import SignalRClient

logging.disable(logging.CRITICAL)
clients = []


class Client:
    def __init__(self, url):
        self.client = SignalRClient(url)
        self.hub = None

    async def start(self):
        opened = asyncio.Event()

        async def on_open():
            opened.set()

        self.client.on_open(on_open)
        self.running = asyncio.create_task(self.client.run())
        waiting = asyncio.create_task(opened.wait())
        await asyncio.wait({waiting, self.running}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        if not opened.is_set():
            raise RuntimeError("not open")
        self.hub = (await self.invoke("WhoAmI", []))[0]

    async def invoke(self, method, arguments):
        answer = asyncio.get_running_loop().create_future()

        async def on_answer(message):
            answer.set_result(message.result)

        await self.client.send(method, arguments, on_answer)
        return await asyncio.wait_for(answer, 10)


async def open_all(command):
    outcomes = Counter()
    for _ in range(command["count"]):
        client = Client(command["url"])
        try:
            await client.start()
            clients.append(client)
            outcomes["opened"] += 1
        except Exception as error:
            client.running.cancel()
            outcomes[repr(error)] += 1
    opened = outcomes.pop("opened", 0)
    return {"opened": opened, "hubs": Counter(client.hub for client in clients), "failed": outcomes}


async def use_all(_):
    moved = 0
    for index, client in enumerate(clients):
        echo = await client.invoke("Echo", [f"grüße {index}"])
        assert echo == f"grüße {index}", echo
        moved += (await client.invoke("WhoAmI", []))[0] != client.hub
    return {"used": len(clients), "moved": moved, "failed": {}}


async def main():
    commands = {"open": open_all, "use": use_all}
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = await commands[command["do"]](command)
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


# The tasks of open connections end with the process, not one after another.
try:
    asyncio.run(main())
finally:
    os._exit(0)
