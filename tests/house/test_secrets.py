"""Nothing that holds a secret shows it when it is printed: in a log, a traceback, an assertion."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.agent.home import Settings
from holdfast.app.secrets import MasterFile
from holdfast.app.settings import CoordinatorSettings
from holdfast.chunks.keys import TenantKey
from holdfast.client.chunk_reader import ChunkReader
from holdfast.client.profile import Profile
from holdfast.client.upload import Begun
from holdfast.protocol.control import Invitation
from holdfast.protocol.fleet import NodeFacts, Register
from holdfast.protocol.invitations import InvitationText
from holdfast.protocol.signing import SigningKey
from holdfast.tenants.identity import Identity
from holdfast.tenants.keys import ManagedKey, NewAccessKey, Signer
from holdfast.tenants.master import Master

SECRET = "s3cret-s3cret-s3cret-s3cret-s3cr"
RAW = SECRET.encode()
FACTS = NodeFacts(
    node_id=b"", time=0, sequence=0, version="", addresses=[], allocated=0, used=0, free=0, shard_count=0
)
NOTHING: Any = None

HOLDERS = [
    Settings(endpoint="https://x", token=SECRET),
    MasterFile(current="m", keys={"m": SECRET}),
    CoordinatorSettings(database=f"postgresql://user:{SECRET}@host/name"),
    TenantKey(RAW),
    ChunkReader(
        gear=NOTHING, redundancy=NOTHING, data_key=RAW, sources=NOTHING, slot=NOTHING, plain=NOTHING,
        report=NOTHING,
    ),
    Profile(secret_key=SECRET, passphrase=SECRET),
    Begun("b", "k", NOTHING, RAW),
    Invitation(token=SECRET, expires=1),
    Register(token=SECRET, facts=FACTS),
    InvitationText(RAW[:20], b"fingerprint"),
    SigningKey(RAW),
    ManagedKey(b"key-id", RAW),
    NewAccessKey("AKHF", "tenant", SECRET),
    Signer(Identity(access_key="AKHF"), SECRET),
    Master({"m": RAW}, "m"),
]  # fmt: skip


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_a_secret_is_not_printed(holder: object) -> None:
    for shown in (repr(holder), str(holder), f"{[holder]}"):
        assert SECRET[:20] not in shown
        assert RAW.hex()[:20] not in shown
