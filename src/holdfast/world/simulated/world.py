"""A whole world from one seed, and the way to run a story in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from holdfast.world.network import Network
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.simulated.disk import SimulatedDisk
from holdfast.world.simulated.loop import SECONDS_MAX, SimulatedLoop, run
from holdfast.world.simulated.network import SimulatedNetwork
from holdfast.world.simulated.offload import SimulatedOffload

T = TypeVar("T")


@dataclass(frozen=True)
class Machine:
    """What one simulated machine hands to its programs. Its disk outlives their crashes."""

    name: str
    clock: SimulatedClock
    chance: SimulatedChance
    network: Network
    disk: SimulatedDisk

    def offload(self) -> SimulatedOffload:
        """A new pool for heavy work; each program has its own."""
        return SimulatedOffload(self.chance.fork("offload"))


class World:
    """Time, chance and network of a simulation, and its machines by name."""

    def __init__(self, loop: SimulatedLoop, seed: int) -> None:
        self.loop = loop
        self.seed = seed
        self.chance = SimulatedChance(seed)
        self.clock = SimulatedClock(loop.time)
        self.network = SimulatedNetwork(self.chance.fork("network"))
        self._machines: dict[str, Machine] = {}

    def machine(self, name: str, *, clock_ahead: float = 0.0) -> Machine:
        """The machine called `name`, made when first asked for, with a clock `clock_ahead` seconds ahead."""
        machine = self._machines.get(name)
        if machine is None:
            chance = self.chance.fork(name)
            machine = Machine(
                name=name,
                clock=self.clock.skewed(clock_ahead),
                chance=chance,
                network=self.network.at(name),
                disk=SimulatedDisk(chance.fork("disk")),
            )
            self._machines[name] = machine
        return machine

    def crash(self, name: str, *, silently: bool = False) -> None:
        """Cuts the machine's power: connections, doors, and what its disk did not sync are gone.

        The caller has cancelled the tasks of the machine's programs, or does so next.
        """
        self.network.crash(name, silently=silently)
        self.machine(name).disk.crash()


def simulate(story: Callable[[World], Awaitable[T]], seed: int, *, seconds_max: float = SECONDS_MAX) -> T:
    """What `story(world)` returns in the world of `seed`; the same each time.

    An error carries the seed as a note, for whoever has to replay it. Raises what `loop.run` raises.
    """

    async def tell(loop: SimulatedLoop) -> T:
        return await story(World(loop, seed))

    try:
        return run(tell, seconds_max=seconds_max)
    except BaseException as error:
        error.add_note(f"simulated with seed {seed}")
        raise
