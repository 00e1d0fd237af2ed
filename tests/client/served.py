"""The small cloud of `party` on this machine's loopback, behind HTTP: for tests of what people start."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web
from tests.client.party import KEY, Party

from holdfast.chunks import key_file
from holdfast.chunks.redundancy import Redundancy
from holdfast.client.profile import Profile, write_profile
from holdfast.protocol import sigv4
from holdfast.protocol.control import OPERATIONS, Buckets, Objects
from holdfast.protocol.failures import reply_of
from holdfast.protocol.nouns import BucketInfo
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.network import SystemNetwork
from holdfast.world.offload import InlineOffload
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.disk import SimulatedDisk
from holdfast.world.simulated.world import Machine

ACCESS, SECRET = "AKTEST", "s3cret"


class LocalWorld:
    """Stands where a simulated world would: this machine's clock and network, disks in memory."""

    def __init__(self) -> None:
        self.chance = SimulatedChance("local")
        self.clock = SystemClock()

    def machine(self, name: str) -> Any:
        chance = self.chance.fork(name)
        machine = Machine(name, self.clock, chance, SystemNetwork(), SimulatedDisk(chance.fork("disk")))  # type: ignore[arg-type]  # a real clock
        object.__setattr__(machine, "offload", InlineOffload)
        return machine


class LocalParty(Party):
    """The listing operations too, which the transfers do not need."""

    door = "tcp://127.0.0.1:0"

    def _bucket_list(self, _: Any) -> Buckets:
        names = sorted(self.buckets)
        return Buckets(buckets=[BucketInfo(bucket=name, created=0, storage_class="test") for name in names])

    def _bucket_remove(self, request: Any) -> Any:
        if self.buckets[request.bucket]:
            raise Refusal("bucket.not_empty", "there is something in it")
        del self.buckets[request.bucket]
        return OPERATIONS["bucket-remove"].Reply()

    def _object_list(self, request: Any) -> Objects:
        """Pages of three, so that every listing turns some."""
        if request.bucket not in self.buckets:
            raise Refusal("bucket.unknown", "no such bucket")
        entries: dict[str, Any] = {}
        for key, stored in sorted(self.buckets[request.bucket].items()):
            if key.startswith(request.prefix):
                rest, found, _ = key[len(request.prefix) :].partition(request.delimiter or "\0")
                name = request.prefix + rest + request.delimiter if found else key
                entries.setdefault(name, None if found else stored.info)
        left = [name for name in entries if request.after is None or name > request.after]
        page = left[:3]
        return Objects(
            objects=[entries[name] for name in page if entries[name]],
            prefixes=[name for name in page if not entries[name]],
            after=page[-1] if len(left) > 3 else None,
        )

    def _object_remove(self, request: Any) -> Any:
        stored = self.buckets[request.bucket].pop(request.key, None)
        if stored is None:
            raise Refusal("object.unknown", "no such object")
        return stored.info

    def _object_stat(self, request: Any) -> Any:
        stored = self.buckets[request.bucket][request.key]
        reply = OPERATIONS["object-stat"].Reply
        chunks = []
        for number, (_, places) in sorted(stored.chunks.items()):
            shards = [
                {"index": i, "node_id": n, "node_name": self.nodes[n].name, "state": "live"}
                for i, n in places.items()
            ]
            chunks.append({"number": number, "live": len(shards), "shards": shards})
        whole = {"version": stored.info, "redundancy": self._rule(), "survives": 2, "chunks": chunks}
        return msgspec.convert(msgspec.to_builtins(whole, builtin_types=(bytes,)), reply)


class Served:
    """The party on a thread of its own: `with Served(folder) as served`, then use `served.environment`."""

    def __init__(self, folder: Path, *, nodes: int = 9, chunk_size: int = 64 << 10) -> None:
        self.folder = folder
        self.party = LocalParty(LocalWorld(), Redundancy(4, 7, 5), 6, chunk_size)
        self._nodes = nodes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.profile = Profile()

    def __enter__(self) -> Self:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        (self.folder / "tenant.key").write_text(key_file.write(KEY))
        self.profile = Profile(
            endpoint=f"http://127.0.0.1:{port}",
            access_key=ACCESS,
            secret_key=SECRET,
            key_file=str(self.folder / "tenant.key"),
        )
        write_profile(self.profile, self.folder / "profile.json")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOLDFAST_PROFILE": str(self.folder / "profile.json"),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }

    async def _open(self) -> int:
        await self.party.open(self._nodes)
        application = web.Application(client_max_size=16 << 20)
        application.router.add_post("/api/v1/control/{name}", self._answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _close(self) -> None:
        await self._runner.cleanup()
        for node in self.party.nodes.values():
            await node.listener.close()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            signed = sigv4.Request("POST", request.raw_path, "", list(request.headers.items()))
            claim = sigv4.parse_authorization(signed)
            assert claim is not None
            assert claim.access == ACCESS
            digest = hashlib.sha256(body).hexdigest()
            sigv4.verify(
                claim, signed, secret=SECRET, region="us-east-1", service="holdfast",
                now=SystemClock().now(), payload_hash=digest,
            )  # fmt: skip
            operation = OPERATIONS[request.match_info["name"]]
            reply = await self.party.call(msgspec.msgpack.decode(body, type=operation))
        except Failure as failure:
            status = 503 if isinstance(failure, Trouble) else 400
            return web.Response(body=msgspec.msgpack.encode(reply_of(failure)), status=status)
        return web.Response(body=msgspec.msgpack.encode(reply))
