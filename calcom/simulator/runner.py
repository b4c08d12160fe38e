"""Runs a simulator: in the foreground for the command, in a thread for tests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Self

from aiohttp import web

from calcom.simulator.app import IDLE_CLOSE_S, App, utc_now
from calcom.simulator.client import SimulatorClient
from calcom.simulator.control import PREFIX, Control
from calcom.simulator.dataset import Dataset, demo
from calcom.simulator.state import Now
from calcom.simulator.traffic import LIMIT, WINDOW_S
from calcom.simulator.webhooks import require_loopback

HOST = "127.0.0.1"


class Simulator(SimulatorClient):
    """A simulator in this process, with the methods of `SimulatorClient`."""

    def __init__(self, base_url: str, app: App) -> None:
        super().__init__(base_url)
        self.app = app
        """Belongs to the thread of the simulator; others may read it while no request is in flight."""

    @classmethod
    @contextmanager
    def running(
        cls,
        dataset: Dataset | None = None,
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
        Run a simulator in a thread with an event loop of its own while the block lasts.

        `dataset` defaults to that of the demo, `port` 0 takes a free one, `now` is the clock of the booking rules, and
        idle connections are closed after `idle_close_s`.
        """
        app = App(
            dataset or demo(),
            latency=latency,
            seed=seed,
            limit=limit,
            window_s=window_s,
            now=now,
            idle_close_s=idle_close_s,
        )
        started: Future[str] = Future()
        stop = threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(_serve_until(app, port, started, stop),), daemon=True)
        thread.start()
        try:
            yield cls(started.result(), app)
        finally:
            stop.set()
            thread.join()


@asynccontextmanager
async def serving(app: App, host: str = HOST, port: int = 0) -> AsyncIterator[str]:
    """Serve while the block lasts and yield the base URL; raises `ValueError` for a host that is not loopback."""
    control = Control(app)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await (control if request.path.startswith(PREFIX) else app).handle(request)

    server = web.Server(handle, keepalive_timeout=app.idle_close_s)
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, require_loopback(host), port).start()
        bound = runner.addresses[0]
        yield f"http://{host}:{bound[1]}"
    finally:
        app.faults.clear()
        await runner.cleanup()
        await app.messenger.close()


async def _serve_until(app: App, port: int, started: "Future[str]", stop: threading.Event) -> None:
    try:
        async with serving(app, port=port) as base_url:
            started.set_result(base_url)
            await asyncio.to_thread(stop.wait)
    except OSError as error:
        started.set_exception(error)
