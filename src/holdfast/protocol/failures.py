"""How a failure travels: as a struct at one end, raised again at the other."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.protocol.nouns import Struct
from holdfast.world.errors import CODES, Fact, Failure, Refusal, Trouble


class FailureReply(Struct, frozen=True, kw_only=True):
    """The code decides, the words are for people."""

    kind: Literal["refusal", "trouble"]
    code: str
    message: str
    advice: str = ""
    retry: bool = False
    facts: dict[str, Fact] = msgspec.field(default_factory=dict)
    request_id: str = ""


def reply_of(failure: Failure, *, request_id: str = "") -> FailureReply:
    """The failure as it is sent."""
    trouble = isinstance(failure, Trouble)
    return FailureReply(
        kind="trouble" if trouble else "refusal",
        code=failure.code,
        message=failure.message,
        advice=failure.advice,
        retry=isinstance(failure, Trouble) and failure.retry,
        facts=dict(failure.facts),
        request_id=request_id,
    )


def failure_of(reply: FailureReply) -> Failure:
    """The failure as it was raised at the other end.

    A code that only newer programs know becomes `internal` or `request.invalid`, with its name in the facts.
    """
    facts = {name: fact for name, fact in reply.facts.items() if name not in _RESERVED}
    if reply.request_id:
        facts["request_id"] = reply.request_id
    code = reply.code
    if code not in CODES:
        facts["code_there"] = code
        code = "internal" if reply.kind == "trouble" else "request.invalid"
    if reply.kind == "trouble":
        return Trouble(code, reply.message, retry=reply.retry, advice=reply.advice, **facts)
    return Refusal(code, reply.message, advice=reply.advice, **facts)


_RESERVED = frozenset({"code", "message", "advice", "retry"})
"""Names of a Failure's own arguments: a peer that sends them as facts must not make us stumble."""
