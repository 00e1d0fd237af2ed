"""The buffers of all requests, within one budget, however many there are and however slow their clients.

Two halves. Buffers for plain bytes wait for clients, who may be slow for ever: each transfer is given a
*share* when it begins, less the more there are, and may hold that much; more only while there is room.
Slots for sealed bytes wait for nothing but this process and the nodes, so whoever needs one waits for its
turn and gets it. Plain bytes are held when a slot is waited for, never the other way round: nobody waits in a
circle.
"""

from __future__ import annotations

from holdfast.client.memory import PLAIN, SLOT, Lease, Memory, rounded

SHARE_PART = 4
"""A transfer gets at most this part of the plain bytes that nobody has a share of yet."""
WRITE_LEAST = 512 << 10
READ_LEAST = 2 << 20
"""What everybody gets, however many there are. A reader's is larger, for of a compressed chunk each window
costs the reading of the whole."""
BUDGET_BYTES = 384 << 20


class _Turns(Memory):
    """First come, first served, and nobody beyond the budget but one alone."""

    def _fits(self, mark: int, total: int) -> bool:
        del mark
        return self._used + total <= self.budget or not self._used

    def _may_pass(self, mark: int) -> bool:
        del mark
        return False


class Share:
    """How many plain bytes a transfer may hold in any case; `end` it with the transfer."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self.size = size

    def end(self) -> None:
        """Others may have it."""
        self._budget.reserved -= self.size
        self.size = 0


class Budget:
    """One per process.

    `writing` is what an upload takes for its memory: slots are leased when a chunk has come whole. `reading`
    is a download's: slots are leased at once.
    """

    def __init__(self, total: int = BUDGET_BYTES) -> None:
        self.plains = Memory(total // 2)
        self.slots = _Turns(total // 2)
        self.reserved = 0
        self.writing: Memory = _Late(self)
        self.reading: Memory = _Eager(self)

    def share(self, wanted: int, least: int) -> Share:
        """At most `wanted` bytes; at least `least`, or what is wanted where that is less."""
        room = max(0, self.plains.budget - self.reserved) // SHARE_PART
        size = wanted
        if size > room:
            # A power of two, so that few kinds of buffers serve all.
            size = min(wanted, max(least, 1 << (room.bit_length() - 1) if room else 0))
        self.reserved += size
        return Share(self, size)

    @property
    def made(self) -> int:
        """Bytes of all buffers there are."""
        return self.plains.made + self.slots.made

    def close(self) -> None:
        """Gives idle memory back to the system."""
        self.plains.close()
        self.slots.close()


class _Late(Memory):
    """What an upload takes for its memory."""

    def __init__(self, halves: Budget) -> None:
        super().__init__(0)
        self._halves = halves

    async def lease(self, holder: object, *, plain: int, slot: int) -> Lease:
        """The plain buffer now; the slot is taken when it is needed."""
        lease = TwoLease(self._halves, holder)
        await lease.take_plain(plain)
        lease.slot_bytes = slot
        return lease


class _Eager(_Late):
    """What a download takes for its memory."""

    async def lease(self, holder: object, *, plain: int, slot: int) -> Lease:
        """Both buffers now."""
        lease = await super().lease(holder, plain=plain, slot=slot)
        try:
            await lease.slot_to_fill()
        except BaseException:
            lease.close()
            raise
        return lease


class TwoLease(Lease):
    """A plain buffer of one half and a slot of the other."""

    def __init__(self, halves: Budget, holder: object) -> None:
        self._halves = (halves.plains, halves.slots)
        self._whose = holder
        self._taken = [None, None]
        self.slot_bytes = 0

    async def take_plain(self, size: int) -> None:
        """Waits for the plain buffer."""
        taken = (await self._halves[PLAIN].take(self._whose, [(PLAIN, rounded(size))]))[0]
        self._taken[PLAIN] = taken
        self.plain = taken[1]

    async def slot_to_fill(self) -> memoryview:
        """Waits for the slot, unless it is there."""
        if self._taken[SLOT] is None:
            taken = (await self._halves[SLOT].take(self._whose, [(SLOT, rounded(self.slot_bytes))]))[0]
            self._taken[SLOT] = taken
            self.slot = taken[1]
        return self.slot

    def _give(self, position: int) -> None:
        taken = self._taken[position]
        assert taken is not None, "the buffer was given back before"
        self._taken[position] = None
        self._halves[position].returned(id(self._whose), *taken)
