"""The three kinds of failure and the catalogue of their stable codes.

    Failure
     +-- Refusal    the caller can mend it: wrong name, wrong key, no room left. Never retried blindly.
     +-- Trouble    the world failed: a node, the disk, the database. `retry` says whether again may help.

The third kind is a plain `assert`: we are wrong, and the operation stops. Every code is listed in `CODES`
once and never changes its meaning; a door maps codes to its own language in one table.
"""

from __future__ import annotations

from typing import Final

Fact = str | int | float | bool | None

CODES: Final[dict[str, str]] = {
    # What a caller can mend.
    "access.denied": "the access key may not do this",
    "access.unknown": "no such access key",
    "bucket.exists": "the bucket name is taken",
    "bucket.invalid": "the bucket name breaks the naming rules",
    "bucket.not_empty": "only an empty bucket can be removed",
    "bucket.unknown": "no such bucket",
    "class.unknown": "no such storage class",
    "clock.skewed": "the caller's clock is too far from ours",
    "config.invalid": "a setting or an option has a value that cannot work",
    "config.missing": "something that must be set up first is not there",
    "digest.wrong": "the bytes that came do not have the digest that was announced",
    "fleet.too_small": "too few usable nodes for the storage class",
    "format.invalid": "stored or sent bytes do not follow their format",
    "format.newer": "written by a newer version than this program understands",
    "grant.expired": "the grant's time is over",
    "grant.foreign": "the grant names another node, shard, action or session",
    "grant.oversized": "the grant allows fewer bytes than were sent",
    "grant.unsigned": "no issuer known here signed the grant",
    "grant.used": "the grant was used before",
    "invitation.invalid": "the invitation token is unknown, used or expired",
    "key.unknown": "the data was sealed with a key that is not at hand",
    "key.mismatch": "the tenant seals with another key",
    "key.wrong": "the passphrase or key does not open this",
    "multipart.unknown": "no such multipart upload, or it is over",
    "name.invalid": "an object key that is empty, too long or not UTF-8",
    "node.state": "the node's state does not allow this",
    "node.unknown": "no such node",
    "node.full": "the node's allocation or its disk is full",
    "node.running": "another process runs this node's folder",
    "object.unknown": "no such object",
    "path.escapes": "a name would be written outside the chosen folder",
    "policy.malformed": "a bucket policy that does not follow the rules for them",
    "part.unknown": "a part of a multipart upload is not the one that was named",
    "precondition.conflict": "others kept writing the same object at the same time",
    "precondition.failed": "the object is not in the state the caller required",
    "request.incomplete": "the body ended before its announced end",
    "request.invalid": "the request does not follow the protocol",
    "request.too_large": "the request is larger than allowed",
    "shard.exists": "another shard is stored under this id",
    "shard.unknown": "the node does not hold this shard",
    "signature.invalid": "the signature does not match",
    "source.changed": "the file changed while it was read",
    "tenant.exists": "the tenant name is taken",
    "tenant.unknown": "no such tenant",
    "upload.incomplete": "chunks or receipts are missing",
    "upload.unknown": "no such upload, or it was ended",
    "version.locked": "object lock keeps the version as it is",
    "user.exists": "the tenant has a user of this name",
    "user.unknown": "no such user",
    "version.unsupported": "the two sides share no protocol version",
    # What the world did.
    "chunk.lost": "fewer than k good shards of a chunk can be reached",
    "database.busy": "the database is locked or overloaded",
    "database.unreachable": "the database cannot be reached",
    "disk.failed": "the disk refused to read or write",
    "disk.full": "no space left on the device",
    "endpoint.unreachable": "the coordinator cannot be reached",
    "metadata.forged": "chunks, their order or their records are not those that were sealed",
    "node.unreachable": "the node cannot be reached or hung up",
    "node.corrupt": "the node returned bytes that do not match their hash",
    "target.refused": "a target of notifications did not take an event",
    "internal": "a fault in Holdfast itself",
}


class Failure(Exception):  # noqa: N818 - Refusal and Trouble are errors; the house names kinds, not suffixes
    """What every designed error shares: a stable `code`, a sentence for people, advice, and facts.

    Never raised itself; raise a `Refusal` or a `Trouble`.
    """

    def __init__(self, code: str, message: str, *, advice: str = "", **facts: Fact) -> None:
        assert code in CODES, f"undeclared code {code!r}: list it in world/errors.py"
        assert type(self) is not Failure, "raise a Refusal or a Trouble"
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class Refusal(Failure):
    """The caller can mend it; `advice` says how."""


class Trouble(Failure):
    """The world failed; `retry` says whether the same call may succeed later."""

    def __init__(
        self, code: str, message: str, *, retry: bool = True, advice: str = "", **facts: Fact
    ) -> None:
        super().__init__(code, message, advice=advice, **facts)
        self.retry = retry
