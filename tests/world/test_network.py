"""One contract for every network: the system's, on both event loops, and the simulated one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import uvloop

from holdfast.world.errors import Trouble
from holdfast.world.network import Address, Network, SystemNetwork
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.loop import run
from holdfast.world.simulated.network import SimulatedNetwork

Story = Callable[[Network], Awaitable[None]]
Arena = Callable[[Story], None]

HERE = Address("tcp", "127.0.0.1", 0)
PATIENCE = 20.0


def _on_system(runner: Callable[..., Any]) -> Arena:
    def play(story: Story) -> None:
        async def main() -> None:
            async with asyncio.timeout(PATIENCE):
                await story(SystemNetwork())

        runner(main())

    return play


def _on_simulated(seed: int) -> Arena:
    def play(story: Story) -> None:
        async def main(_loop: object) -> None:
            async with asyncio.timeout(PATIENCE):
                await story(SimulatedNetwork(SimulatedChance(seed)).at("harbour"))

        run(main)

    return play


@pytest.fixture(params=["asyncio", "uvloop", "simulated-1", "simulated-2", "simulated-3"])
def arena(request: pytest.FixtureRequest) -> Arena:
    if request.param == "asyncio":
        return _on_system(asyncio.run)
    if request.param == "uvloop":
        return _on_system(uvloop.run)
    return _on_simulated(int(request.param[-1]))


class Ear(asyncio.BufferedProtocol):
    """Keeps all it hears, through a small buffer."""

    def __init__(self, *, buffer: int = 10_000, half_close: bool = False) -> None:
        self.heard = bytearray()
        self.made = asyncio.Event()
        self.ended = asyncio.Event()
        self.lost = asyncio.Event()
        self.news = asyncio.Event()
        self.resumed = asyncio.Event()
        self.error: BaseException | None = None
        self.pauses: list[str] = []
        self._buffer = bytearray(buffer)
        self._half_close = half_close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.made.set()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self._buffer[:nbytes]
        self.news.set()

    def eof_received(self) -> bool:
        self.ended.set()
        return self._half_close

    def connection_lost(self, exc: BaseException | None) -> None:
        self.error = exc
        self.lost.set()

    def pause_writing(self) -> None:
        self.pauses.append("pause")

    def resume_writing(self) -> None:
        self.pauses.append("resume")
        self.resumed.set()

    async def hears(self, count: int) -> bytes:
        while len(self.heard) < count:
            self.news.clear()
            await self.news.wait()
        return bytes(self.heard)


async def _pair(network: Network, **ear: Any) -> tuple[Ear, Ear]:
    """Two ends of a new connection: who dialled, who answered."""
    answer = Ear(**ear)
    listener = await network.listen(HERE, lambda: answer)
    _, near = await network.dial(listener.address, lambda: Ear(**ear))
    assert isinstance(near, Ear)
    await answer.made.wait()
    await listener.close()
    return near, answer


def test_bytes_arrive_whole_and_in_order_both_ways(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network)
        there = hashlib.shake_256(b"there").digest(1_500_000)
        back = hashlib.shake_256(b"back").digest(700_000)
        near.transport.write(there[:10])
        near.transport.writelines([there[10:1000], memoryview(there)[1000:], b""])
        far.transport.write(back)
        assert await far.hears(len(there)) == there
        assert await near.hears(len(back)) == back
        near.transport.close()
        await far.lost.wait()

    arena(story)


def test_closing_delivers_what_was_written_then_the_end(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network)
        near.transport.write(b"x" * 900_000)
        near.transport.close()
        near.transport.close()
        assert near.transport.is_closing()
        await near.lost.wait()
        await far.lost.wait()
        assert far.ended.is_set()
        assert (len(far.heard), near.error, far.error) == (900_000, None, None)

    arena(story)


def test_a_half_closed_stream_still_carries_the_other_way(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network, half_close=True)
        near.transport.write(b"question")
        near.transport.write_eof()
        await far.ended.wait()
        assert bytes(far.heard) == b"question"
        far.transport.write(b"answer")
        far.transport.close()
        assert await near.hears(6) == b"answer"
        await near.ended.wait()
        near.transport.close()
        await near.lost.wait()
        await far.lost.wait()

    arena(story)


def test_an_abort_is_heard_at_the_other_end(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network)
        near.transport.write(b"never mind")
        near.transport.abort()
        await near.lost.wait()
        await far.lost.wait()
        assert near.error is None

    arena(story)


def test_a_reader_that_pauses_holds_the_writer_back_and_loses_nothing(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network)
        far.transport.pause_reading()
        assert not far.transport.is_reading()
        near.transport.set_write_buffer_limits(high=50_000, low=10_000)
        total = 32 << 20
        near.transport.write(bytes(total))
        assert near.pauses == ["pause"]
        await asyncio.sleep(0.05)
        assert len(far.heard) == 0
        assert near.transport.get_write_buffer_size() > 50_000
        far.transport.resume_reading()
        await far.hears(total)
        await near.resumed.wait()
        assert near.pauses == ["pause", "resume"]
        assert near.transport.get_write_buffer_size() <= 10_000
        near.transport.close()
        await far.lost.wait()

    arena(story)


def test_writing_to_an_end_that_closed_ends_in_a_lost_connection(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network, half_close=True)
        far.transport.close()
        await near.ended.wait()
        while not near.lost.is_set():
            near.transport.write(b"anybody there?")
            await asyncio.sleep(0.005)
        assert isinstance(near.error, ConnectionError)

    arena(story)


def test_closing_with_unread_bytes_frees_a_writer_that_waits_for_room(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network)
        far.transport.pause_reading()
        near.transport.write(bytes(32 << 20))
        await asyncio.sleep(0.05)
        far.transport.close()
        await far.lost.wait()
        await near.lost.wait()

    arena(story)


def test_a_port_nobody_listens_on_refuses(arena: Arena) -> None:
    async def story(network: Network) -> None:
        listener = await network.listen(HERE, Ear)
        await listener.close()
        with pytest.raises(Trouble) as trouble:
            await network.dial(listener.address, Ear)
        assert (trouble.value.code, trouble.value.retry) == ("node.unreachable", True)

    arena(story)


def test_an_address_that_is_taken_is_said_to_be(arena: Arena) -> None:
    async def story(network: Network) -> None:
        listener = await network.listen(HERE, Ear)
        assert listener.address.port > 0
        with pytest.raises(Trouble) as trouble:
            await network.listen(listener.address, Ear)
        assert (trouble.value.code, trouble.value.retry) == ("node.unreachable", False)
        await listener.close()

    arena(story)


def test_a_closed_listener_leaves_its_connections_alone(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network)
        await asyncio.sleep(0.01)
        far.transport.write(b"still here")
        assert await near.hears(10) == b"still here"
        near.transport.close()
        await far.lost.wait()

    arena(story)


def test_both_ends_know_their_addresses(arena: Arena) -> None:
    async def story(network: Network) -> None:
        near, far = await _pair(network)
        assert near.transport.get_extra_info("peername") == far.transport.get_extra_info("sockname")
        assert near.transport.get_extra_info("sockname") == far.transport.get_extra_info("peername")
        assert near.transport.get_extra_info("nothing", 7) == 7
        near.transport.close()
        await far.lost.wait()

    arena(story)
