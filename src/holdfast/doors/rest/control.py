"""Control operations: which right each one needs, and which room's function answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from holdfast.protocol.control import OPERATIONS, Operation
from holdfast.tenants.permits import ACTION_OF, Permit, demand
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal

Handler = Callable[[str, Any], Awaitable[Any]]
"""Answers a tenant's request: (tenant id, request) -> the request's `Reply`."""


class Caller(NamedTuple):
    """Whom a signature proved, and what the access key permits."""

    tenant_id: str
    permit: Permit


class ControlDoor:
    """Checks the right, calls the room."""

    def __init__(self, handlers: Mapping[type[Operation], Handler], clock: Clock) -> None:
        missing = {operation.name for operation in OPERATIONS.values() if operation not in handlers}
        assert not missing, f"operations without a handler: {missing}"
        self._handlers = dict(handlers)
        self._clock = clock

    async def answer(self, caller: Caller, request: Operation) -> Any:
        """The request's `Reply`; raises Refusal("access.denied") or what the room raises.

        Uploads and versions are named by ids that only their own tenant can use; the bucket and key were
        checked when the id was given out.
        """
        key = getattr(request, "key", None)
        if key is None:
            key = getattr(request, "prefix", None)
        bucket = getattr(request, "bucket", None)
        demand(caller.permit, ACTION_OF[request.name], bucket, key, self._clock.now())
        return await self._handlers[type(request)](caller.tenant_id, request)


class DirectControl:
    """`protocol.control.Control` without HTTP: the simulation and the gateway's own client call the door."""

    def __init__(self, door: ControlDoor, caller: Caller) -> None:
        self._door = door
        self._caller = caller

    async def call(self, request: Operation) -> Any:
        return await self._door.answer(self._caller, request)

    async def close(self) -> None:
        pass


def operation_named(name: str) -> type[Operation]:
    """The struct of an operation; raises Refusal("request.invalid")."""
    try:
        return OPERATIONS[name]
    except KeyError:
        raise Refusal(
            "request.invalid",
            f"There is no operation '{name}'.",
            advice="The client may be newer than this coordinator; `holdfast --version` on both sides tells.",
        ) from None
