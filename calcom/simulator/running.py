"""Running the simulator: in the foreground for people, in a thread for tests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Self

from aiohttp import web

from calcom.simulator.client import SimulatorClient
from calcom.simulator.limits import LIMIT, WINDOW_S
from calcom.simulator.loopback import require_loopback
from calcom.simulator.program import IDLE_CLOSE_S, Program, utc_now
from calcom.simulator.server import Server
from calcom.simulator.state import Now
from calcom.simulator.world import World, demo

HOST = "127.0.0.1"


class Simulator(SimulatorClient):
    """A simulator in this process, with the vocabulary of any other."""

    def __init__(self, base_url: str, program: Program) -> None:
        super().__init__(base_url)
        self.program = program
        """What runs; it belongs to the simulator's thread, and others may look while nothing is under way."""

    @classmethod
    @contextmanager
    def running(
        cls,
        world: World | None = None,
        *,
        latency: float = 0.0,
        seed: int = 0,
        limit: int = LIMIT,
        window_s: float = WINDOW_S,
        now: Now = utc_now,
        port: int = 0,
        idle_close_s: float = IDLE_CLOSE_S,
    ) -> Iterator[Self]:
        """
        Run a simulator in a thread with a loop of its own while the block lasts.

        Without `world` it is the demo's; `port` 0 takes a free one; `now` is the clock of the booking rules;
        `idle_close_s` is when idle connections are closed.
        """
        program = Program(
            world or demo(),
            latency=latency,
            seed=seed,
            limit=limit,
            window_s=window_s,
            now=now,
            idle_close_s=idle_close_s,
        )
        started: Future[str] = Future()
        stop = threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(_serve_until(program, port, started, stop),), daemon=True)
        thread.start()
        try:
            yield cls(started.result(), program)
        finally:
            stop.set()
            thread.join()


@asynccontextmanager
async def serving(program: Program, host: str = HOST, port: int = 0) -> AsyncIterator[str]:
    """Serve while the block lasts and yield the base URL; raises `ValueError` for a host that is not loopback."""
    server = web.Server(Server(program).handle, keepalive_timeout=program.idle_close_s)
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, require_loopback(host), port).start()
        bound = runner.addresses[0]
        yield f"http://{host}:{bound[1]}"
    finally:
        program.faults.clear()
        await runner.cleanup()
        await program.messenger.close()


async def _serve_until(program: Program, port: int, started: "Future[str]", stop: threading.Event) -> None:
    try:
        async with serving(program, port=port) as base_url:
            started.set_result(base_url)
            await asyncio.to_thread(stop.wait)
    except OSError as error:
        started.set_exception(error)
