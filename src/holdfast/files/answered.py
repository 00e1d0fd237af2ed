"""Requests that may be asked again: the answer is kept, for a while, under the token that the client drew.

The law: work asked for under one token is done once, and whoever asks again is answered as the first time,
whatever has become of the bucket or object since. The token is taken first and the work done after it, in one
transaction: of two that run at once one does the work and the other finds the answer. A request without a
token is simply done.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection

from holdfast.files.stores import store_answered
from holdfast.protocol.control import TOKEN_BYTES, Operation
from holdfast.protocol.nouns import Struct
from holdfast.world.errors import Refusal

ReplyT = TypeVar("ReplyT", bound=Struct)


def check_token(token: bytes) -> None:
    """Raises Refusal("request.invalid") for what cannot be a token; none at all is fine."""
    if len(token) not in {0, TOKEN_BYTES}:
        raise Refusal("request.invalid", f"A request's token has {TOKEN_BYTES} random bytes.")


def once(
    connection: Connection,
    tenant: str,
    request: Operation,
    token: bytes,
    now: int,
    work: Callable[[], ReplyT],
) -> ReplyT:
    """What `work()` answers, or answered before; what it raises undoes the taking of the token too.

    Raises Refusal("request.invalid") for a token that was used for another request.
    """
    if not token:
        return work()
    asked = blake2b(request.name.encode() + b"\0" + msgspec.msgpack.encode(request), digest_size=16).digest()
    if store_answered.take_token(connection, tenant, token, asked, now):
        reply = work()
        store_answered.set_answer(connection, tenant, token, msgspec.msgpack.encode(reply))
        return reply
    before, answer = store_answered.answer_of(connection, tenant, token)
    if before != asked:
        raise Refusal(
            "request.invalid",
            "The request's token was used for another request.",
            advice="Draw a new random token for each request, and keep it only to ask the same again.",
        )
    again: Any = msgspec.msgpack.decode(answer, type=request.Reply)
    known: ReplyT = again
    return known
