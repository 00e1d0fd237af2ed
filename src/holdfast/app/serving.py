"""The coordinator process: rooms, doors, relay and passes, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from holdfast.app.rooms import Rooms, open_rooms
from holdfast.app.settings import listen_address, load_settings
from holdfast.doors.rest.application import Readiness, build_application
from holdfast.doors.rest.authentication import Authentication
from holdfast.world.errors import Failure, Refusal
from holdfast.world.telemetry import set_up_logging

log = structlog.get_logger()

GRACE_SECONDS = 10
BACKLOG = 2048


def serve(home: Path) -> None:
    """Runs a coordinator in this process until SIGTERM or Ctrl-C."""
    os.umask(0o077)
    settings = load_settings(home)
    set_up_logging(as_json=settings.log == "json")
    uvloop.run(_serve(home))


async def _serve(home: Path) -> None:
    async with open_rooms(home) as rooms, _running(rooms):
        host, port = listen_address(rooms.settings)
        server = _Server(
            uvicorn.Config(
                _application(rooms),
                host=host,
                port=port,
                http="httptools",
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
                server_header=False,
            )
        )
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, server.stop)
        log.info("coordinator starts", listen=rooms.settings.listen, relay=rooms.settings.relay_listen)
        try:
            await server.serve()
        except SystemExit as error:  # uvicorn's way to say that it cannot listen
            raise Refusal(
                "config.invalid",
                f"Cannot listen on {rooms.settings.listen}.",
                advice="Is another program there? Set `listen` to a free port.",
            ) from error
        log.info("coordinator stopped")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process before our rooms are closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


def _application(rooms: Rooms) -> ASGIApp:
    return build_application(
        control=rooms.control,
        authentication=Authentication(rooms.keys, rooms.clock, region=rooms.settings.region),
        fleet=rooms.roster,
        readiness=lambda: _readiness(rooms),
        chance=rooms.chance,
    )


async def _readiness(rooms: Rooms) -> Readiness:
    count = rooms.fleet.count()
    parts = {"database": "reachable", "nodes_online": str(count.online), "nodes_known": str(count.known)}
    ready = True
    try:
        await rooms.check_database()
    except Failure as failure:
        # Anybody may ask: why exactly is for the log.
        log.warning("not ready", failure=failure)
        parts["database"] = failure.code
        ready = False
    return Readiness(ready, parts)


@contextlib.asynccontextmanager
async def _running(rooms: Rooms) -> AsyncIterator[None]:
    """What goes on beside the requests: the relay, the passes and the fleet's bookkeeping."""
    relay = await rooms.open_relay()
    loops = rooms.loops()
    for loop in loops:
        loop.start()
    refreshing = asyncio.create_task(rooms.keep_fleet_fresh(), name="fleet-refresh")
    try:
        yield
    finally:
        refreshing.cancel()
        await asyncio.gather(refreshing, *(loop.stop() for loop in loops), return_exceptions=True)
        if relay is not None:
            await relay.close()
