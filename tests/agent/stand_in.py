"""A small party that speaks the fleet protocol with every check a node can be failed by, and hears it out."""

import contextlib

import msgspec
from aiohttp import web

from holdfast.protocol.failures import reply_of
from holdfast.protocol.fleet import NodeFacts, Register, Signed, SignedWelcome, Welcome
from holdfast.protocol.heartbeats import HEARTBEAT_DOMAIN, REGISTER_DOMAIN, open_signed, seal_welcome
from holdfast.protocol.invitations import write_invitation
from holdfast.protocol.signing import SigningKey
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Refusal

ISSUER = SigningKey(b"\1" * 32)
TOKEN = write_invitation(b"\2" * 20, ISSUER.public)


class StandIn:
    """`protocol.fleet.Coordinator` for tests. `away` is raised, if set, before anything is heard."""

    def __init__(self, clock: Clock, *, heartbeat_seconds: int = 30) -> None:
        self.clock = clock
        self.issuer = ISSUER
        self.issuers = [self.issuer.public]
        self.heartbeat_seconds = heartbeat_seconds
        self.nodes: dict[bytes, int] = {}
        self.token_used_by: bytes | None = None
        self.heard: list[NodeFacts] = []
        self.deletions = []
        self.notices: list[str] = []
        self.clock_offset = 0
        self.away: Failure | None = None
        self.tries: list[int] = []
        """When it was asked while it was away."""
        self.deaf_after: Failure | None = None
        """Raised, if set, after a message was heard: the answer is lost."""
        self.between = lambda answer: answer
        """Whoever stands between the two, and may change what is answered."""

    async def register(self, signed: Signed) -> SignedWelcome:
        self._present()
        said = open_signed(signed, REGISTER_DOMAIN, Register)
        if said.token != TOKEN or self.token_used_by not in {None, signed.node_id}:
            raise Refusal("invitation.invalid", "The token is unknown or used.")
        self.token_used_by = signed.node_id
        self.nodes.setdefault(signed.node_id, -1)
        return self._hear(signed, said.facts)

    async def heartbeat(self, signed: Signed) -> SignedWelcome:
        self._present()
        if signed.node_id not in self.nodes:
            raise Refusal("node.unknown", "No such node.")
        return self._hear(signed, open_signed(signed, HEARTBEAT_DOMAIN, NodeFacts))

    async def close(self) -> None:
        pass

    def _present(self) -> None:
        if self.away is not None:
            self.tries.append(self.clock.now())
            raise self.away

    def _hear(self, signed: Signed, facts: NodeFacts) -> SignedWelcome:
        if facts.node_id != signed.node_id or facts.sequence <= self.nodes[signed.node_id]:
            raise Refusal("signature.invalid", "Said before, or by another.")
        self.nodes[signed.node_id] = facts.sequence
        self.heard.append(facts)
        if self.deaf_after is not None:
            raise self.deaf_after
        welcome = Welcome(
            time=self.clock.now() + self.clock_offset,
            issuer_keys=self.issuers,
            heartbeat_seconds=self.heartbeat_seconds,
            node_id=facts.node_id,
            sequence=facts.sequence,
            deletions=[one for one in self.deletions if one.sequence > facts.deletions_done],
            notices=self.notices,
        )
        return self.between(seal_welcome(self.issuer, welcome))


@contextlib.asynccontextmanager
async def over_http(party: StandIn):
    """The party at a URL on loopback, as `doors` would put it there."""

    async def answer(request):
        signed = msgspec.msgpack.decode(await request.read(), type=Signed)
        try:
            welcome = await getattr(party, request.match_info["what"])(signed)
        except Failure as failure:
            return web.Response(status=400, body=msgspec.msgpack.encode(reply_of(failure)))
        return web.Response(body=msgspec.msgpack.encode(welcome))

    async def health(_):
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_post("/api/v1/fleet/{what:register|heartbeat}", answer)
    application.router.add_get("/health", health)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
