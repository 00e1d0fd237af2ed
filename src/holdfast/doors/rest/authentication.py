"""Who sent a request: Signature Version 4 checked against the access key's secret."""

from __future__ import annotations

from fastapi import Request

from holdfast.doors.rest.control import Caller
from holdfast.protocol import sigv4
from holdfast.tenants.keys import Keys
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal

SERVICE = "holdfast"


class Authentication:
    """Believes a request only if its body, path, query and signed headers match the signature."""

    def __init__(self, keys: Keys, clock: Clock, *, region: str) -> None:
        self._keys = keys
        self._clock = clock
        self._region = region

    async def caller(self, request: Request, body_sha256: str) -> Caller:
        """The caller; raises Refusal("access.unknown" | "signature.invalid" | "clock.skewed" | ...)."""
        signed = _signed_parts(request)
        claim = sigv4.parse_authorization(signed)
        if claim is None:
            raise Refusal("access.denied", "The request is not signed.", advice="Set up an access key first.")
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


def _signed_parts(request: Request) -> sigv4.Request:
    scope = request.scope
    return sigv4.Request(
        scope["method"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
    )
