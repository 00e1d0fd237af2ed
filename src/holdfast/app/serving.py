"""The coordinator process: rooms, doors, relay and passes, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from holdfast.app.certificates import Certificate, own_certificate
from holdfast.app.rooms import Rooms, open_rooms
from holdfast.app.s3_rooms import S3Rooms, gateway_offload
from holdfast.app.settings import CoordinatorSettings, host_and_port, load_settings
from holdfast.doors.http_limits import BoundedProtocol
from holdfast.doors.rest.application import Readiness, build_application
from holdfast.doors.rest.authentication import Authentication
from holdfast.doors.s3.wire.unreadable import protocol_of
from holdfast.world.errors import Failure, Refusal
from holdfast.world.telemetry import set_up_logging

log = structlog.get_logger()

GRACE_SECONDS = 10
BACKLOG = 2048
COLLECT_AFTER = (50_000, 20, 50)
"""How much is made before Python looks for circles in it. Requests make none; looking after every 700,
as is usual, takes a fifth of the time of small ones: those under way are looked through again and again."""
KEEP_ALIVE_SECONDS = 60
"""Programs keep connections for their next request; below their own limit, they meet closed ones."""


def serve(home: Path) -> None:
    """Runs a coordinator in this process until SIGTERM or Ctrl-C."""
    os.umask(0o077)
    settings = load_settings(home)
    set_up_logging(as_json=settings.log == "json")
    uvloop.run(_serve(home))


async def _serve(home: Path) -> None:
    async with open_rooms(home) as rooms, _s3(rooms) as s3, _running(rooms, s3):
        settings = rooms.settings
        servers = _s3_servers(home, settings, s3, rooms.clock.now())
        servers.append(_Server("listen", settings.listen, _application(rooms)))
        gc.collect()
        # What is there now stays: modules, settings, statements.
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            for server in servers:
                server.stop()

        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop)
        log.info(
            "coordinator starts",
            listen=settings.listen,
            relay=settings.relay_listen,
            s3=settings.s3_listen,
            s3_tls=settings.s3_tls_listen,
        )
        try:
            async with asyncio.TaskGroup() as group:
                for server in servers:
                    group.create_task(server.run_with(stop))
        except* Refusal as refused:
            raise refused.exceptions[0] from None
        log.info("coordinator stopped")


def _s3_servers(home: Path, settings: CoordinatorSettings, s3: S3Rooms, now: int) -> list[_Server]:
    """The servers of the S3 door: in the clear, and over TLS."""
    application, protocol = s3.application(), protocol_of(s3.door.chance)
    servers = []
    if settings.s3_listen:
        servers.append(_Server("s3_listen", settings.s3_listen, application, http=protocol))
    if settings.s3_tls_listen:
        if settings.s3_tls_certificate:
            certificate = Certificate(Path(settings.s3_tls_certificate), Path(settings.s3_tls_key))
        else:
            certificate = own_certificate(home, now)
        servers.append(
            _Server("s3_tls_listen", settings.s3_tls_listen, application, certificate, http=protocol)
        )
    return servers


@contextlib.asynccontextmanager
async def _s3(rooms: Rooms) -> AsyncIterator[S3Rooms]:
    offload = gateway_offload()
    s3 = rooms.open_s3(offload)
    try:
        yield s3
    finally:
        await s3.close()
        offload.close()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process before our rooms are closed."""

    def __init__(
        self,
        setting: str,
        address: str,
        application: ASGIApp,
        certificate: Certificate | None = None,
        *,
        http: type[asyncio.Protocol] = BoundedProtocol,
    ) -> None:
        """A server on an address, which `setting` named; `http` reads what comes."""
        host, port = host_and_port(address)
        super().__init__(
            uvicorn.Config(
                application,
                host=host,
                port=port,
                http=http,
                ws="none",
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                server_header=False,
                proxy_headers=False,
                ssl_certfile=certificate.chain if certificate else None,
                ssl_keyfile=certificate.key if certificate else None,
            )
        )
        self._setting = setting
        self._address = address

    async def run_with(self, stop_all: Callable[[], None]) -> None:
        """Serves until stopped; raises Refusal("config.invalid") if it cannot. One that ends, ends all."""
        try:
            await self.serve()
        except SystemExit as error:  # uvicorn's way to say that it cannot listen
            raise Refusal(
                "config.invalid",
                f"Cannot listen on {self._address}.",
                advice=f"Is another program there? Set `{self._setting}` to a free port.",
            ) from error
        except (ssl.SSLError, OSError) as error:
            raise Refusal(
                "config.invalid",
                f"Cannot serve on {self._address}: {error}.",
                advice="Look at `s3_tls_certificate` and `s3_tls_key`.",
            ) from error
        finally:
            stop_all()

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
async def _running(rooms: Rooms, s3: S3Rooms) -> AsyncIterator[None]:
    """What goes on beside the requests: the relay, the passes and the fleet's bookkeeping."""
    relay = await rooms.open_relay()
    loops = [*rooms.loops(), *s3.loops()]
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
