"""Who sent a request: Signature Version 4 checked against the access key's secret.

A request that names its body's hash among what it signs is believed or refused before its body is read, so
strangers cannot have us keep more than a little of theirs in memory.
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request

from holdfast.doors.rest.control import Caller
from holdfast.protocol import sigv4
from holdfast.tenants.keys import Keys
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal

SERVICE = "holdfast"

_SHA256: Final = re.compile("[0-9a-f]{64}")


class Authentication:
    """Believes a request only if its body, path, query and signed headers match the signature."""

    def __init__(self, keys: Keys, clock: Clock, *, region: str) -> None:
        self._keys = keys
        self._clock = clock
        self._region = region

    def promised_hash(self, request: Request) -> str | None:
        """The SHA-256 of the body that the request says it signs; None if it does not say.

        Nothing is proven yet. Raises Refusal("access.denied" | "request.invalid").
        """
        claim = _claimed(_signed_parts(request))
        return claim.payload_hash if _SHA256.fullmatch(claim.payload_hash) else None

    async def caller(self, request: Request, body_sha256: str) -> Caller:
        """The caller, if the signature covers a body of this hash.

        Raises Refusal("access.unknown" | "signature.invalid" | "clock.skewed" | ...).
        """
        signed = _signed_parts(request)
        claim = _claimed(signed)
        signer = await self._keys.secret_of(claim.access)
        sigv4.verify(
            claim,
            signed,
            secret=signer.secret,
            region=self._region,
            service=SERVICE,
            now=self._clock.now(),
            payload_hash=body_sha256,
        )
        return Caller(signer.tenant_id, signer.permit)


def _claimed(signed: sigv4.Request) -> sigv4.Claim:
    claim = sigv4.parse_authorization(signed)
    if claim is None:
        raise Refusal("access.denied", "The request is not signed.", advice="Set up an access key first.")
    return claim


def _signed_parts(request: Request) -> sigv4.Request:
    scope = request.scope
    return sigv4.Request(
        scope["method"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
    )
