"""Who sent a request: Signature Version 4 in a header or in the query, or nobody in particular.

What is signed is the request as it came: its raw path and query, the named headers, and what it says of its
body in `x-amz-content-sha256`; that the body keeps to it is checked while it is read (`body`,
`signed_chunks`). Every way to be wrong has the code and status that S3 gives it. Signature Version 2 is
taken in presigned URLs and in forms, where SDKs write it unasked (`second_version`), and refused in headers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire import second_version
from holdfast.doors.s3.wire.signed_chunks import ChunkSigning
from holdfast.doors.s3.wire.xml_writing import time_text
from holdfast.protocol import sigv4
from holdfast.protocol.sigv4 import ALGORITHM, PRESIGNED_SECONDS_MAX, SKEW_SECONDS, UNSIGNED_PAYLOAD
from holdfast.tenants.identity import ANONYMOUS, Identity
from holdfast.tenants.keys import Keys, Signer
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal

SERVICE: Final = "s3"
STREAMING_UNSIGNED: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING: Final = frozenset({STREAMING_UNSIGNED, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER})
ELLIPTIC: Final = "ECDSA"

_EPOCH_DIGITS_MAX: Final = 10

_SHA256: Final = re.compile("[0-9a-fA-F]{64}")
_USUAL: Final = re.compile(
    ALGORITHM + r" Credential=([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})"
)
"""How every SDK writes it."""
_FIELD: Final = re.compile(r"\s*([A-Za-z]+)=([^,\s]*)\s*")
_QUERY_FIELDS: Final = (
    "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)  # fmt: skip
_STAMP: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


class Wire(NamedTuple):
    """The request as it came, for signatures; `headers` and `query` as `S3Request` has them."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    bucket_in_host: str = ""


class Authenticated(NamedTuple):
    """Who it is, and what the request says of its body.

    `payload`: a SHA-256 in hexadecimal, UNSIGNED-PAYLOAD, one of `STREAMING`, or "" if an anonymous request
    does not say; in presigned requests whatever was sent, for it is compared with what comes. `kind`:
    "AuthHeader", "QueryString", "POST" or nothing.
    """

    identity: Identity
    payload: str
    chunks: ChunkSigning | None = None
    kind: str = ""
    signed_at: int | None = None
    """Microseconds since the epoch."""
    version: int = 4
    """Of the signature."""


class _Claim(NamedTuple):
    access: str
    date: str
    region: str
    signed_headers: str
    signature: str
    stamp: str
    time: int
    expires_seconds: int | None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{SERVICE}/aws4_request"


class Authentication:
    """Believes requests signed for one region by access keys of `keys`."""

    def __init__(self, keys: Keys, *, region: str) -> None:
        self._keys = keys
        self._region = region

    async def identify(self, wire: Wire, now: int) -> Authenticated:
        """Who sent it; raises S3Error with S3's own code for everything that is wrong with a signature."""
        authorization = wire.headers.get("authorization")
        in_query = "X-Amz-Signature" in wire.query or "X-Amz-Algorithm" in wire.query
        old = "Signature" in wire.query and "AWSAccessKeyId" in wire.query
        if (authorization is not None) + in_query + old > 1:
            raise S3Error(
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
                "string parameter or the Authorization header should be specified",
            )
        if old:
            return await self._presigned_before(wire, now)
        if authorization is not None:
            claim = self._in_header(authorization, wire.headers, now)
        elif in_query:
            claim = self._in_query(wire.query, now)
        else:
            return _anonymous(wire)
        payload = _payload(wire, claim)
        signer = await self._signer(claim.access)
        _refuse_token(wire)
        _check_signed(claim, wire.headers)
        key = self._check_signature(claim, wire, signer, payload)
        chunks = None
        if payload in {STREAMING_SIGNED, STREAMING_SIGNED_TRAILER}:
            chunks = ChunkSigning(key, claim.stamp, claim.scope, claim.signature, claim.access)
        kind = "AuthHeader" if claim.expires_seconds is None else "QueryString"
        return Authenticated(signer.identity, payload, chunks, kind, claim.time)

    async def identify_form(self, fields: Mapping[str, str]) -> Identity:
        """Who signed the policy of a browser's form; fields by lower-case name.

        A form without a policy is anonymous. Raises S3Error as `identify` does.
        """
        if "policy" not in fields:
            return ANONYMOUS
        if "x-amz-signature" not in fields and ("signature" in fields or "awsaccesskeyid" in fields):
            return await self._form_before(fields)
        for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"):
            if not fields.get(name):
                raise S3Error(
                    "InvalidArgument",
                    f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the "
                    "order of the fields.",
                    ArgumentName=name,
                    ArgumentValue="",
                )
        if fields["x-amz-algorithm"] != ALGORITHM:
            raise S3Error("InvalidArgument", f"X-Amz-Algorithm only supports {ALGORITHM}")
        access, date = self._scope(fields["x-amz-credential"], "InvalidArgument", "The credential")
        signer = await self._signer(access)
        key = sigv4.signing_key(signer.secret, date, self._region, SERVICE)
        expected = hmac.digest(key, fields["policy"].encode("utf-8", "surrogateescape"), "sha256").hex()
        provided = fields["x-amz-signature"]
        if not hmac.compare_digest(expected.encode(), provided.encode("utf-8", "replace")):
            raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access, SignatureProvided=provided)
        return signer.identity

    async def _presigned_before(self, wire: Wire, now: int) -> Authenticated:
        """A URL presigned by version 2."""
        if not second_version.is_covered(wire.query):
            raise _second_version()
        expires = wire.query.get(second_version.EXPIRES, "")
        if not expires.isascii() or not expires.isdecimal() or len(expires) > _EPOCH_DIGITS_MAX:
            raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires[:40]}")
        if now > int(expires) * MICROSECONDS:
            at = time_text(int(expires) * MICROSECONDS)
            raise S3Error("AccessDenied", "Request has expired", Expires=at, ServerTime=time_text(now))
        signer = await self._signer(wire.query[second_version.ACCESS])
        _refuse_token(wire)
        payload = wire.headers.get("x-amz-content-sha256") or UNSIGNED_PAYLOAD
        if payload.startswith("STREAMING-") and payload != STREAMING_UNSIGNED:
            raise S3Error("InvalidRequest", "Requests presigned by version 2 cannot have signed chunks.")
        paths = [wire.raw_path]
        if not wire.bucket_in_host and wire.raw_path.count("/") == 1:
            paths.append(f"{wire.raw_path}/")
        texts = [
            second_version.text_to_sign(wire.method, path, wire.bucket_in_host, wire.headers, wire.query)
            for path in paths
        ]
        provided = wire.query[second_version.SIGNATURE]
        if not any(
            second_version.matches(second_version.signature(signer.secret, text), provided) for text in texts
        ):
            raise S3Error(
                "SignatureDoesNotMatch",
                AWSAccessKeyId=wire.query[second_version.ACCESS],
                StringToSign=texts[0],
                SignatureProvided=provided,
            )
        return Authenticated(signer.identity, payload, None, "QueryString", version=2)

    async def _form_before(self, fields: Mapping[str, str]) -> Identity:
        """Who signed a form's policy by version 2."""
        for name in ("awsaccesskeyid", "signature"):
            if not fields.get(name):
                raise S3Error(
                    "InvalidArgument",
                    f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the "
                    "order of the fields.",
                    ArgumentName=name,
                    ArgumentValue="",
                )
        access, provided = fields["awsaccesskeyid"], fields["signature"]
        signer = await self._signer(access)
        if not second_version.matches(second_version.signature(signer.secret, fields["policy"]), provided):
            raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access, SignatureProvided=provided)
        return signer.identity

    async def _signer(self, access: str) -> Signer:
        try:
            return await self._keys.secret_of(access)
        except Refusal as refusal:
            if refusal.code != "access.unknown":
                raise
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access) from refusal

    # --- the two places of a signature -------------------------------------------------------------------

    def _in_header(self, authorization: str, headers: Mapping[str, str], now: int) -> _Claim:
        usual = _USUAL.fullmatch(authorization)
        credential, signed, signature = usual.groups() if usual else _header_fields(authorization)
        access, date = self._scope(
            credential,
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the Credential",
        )
        stamp, time = _signed_at(headers)
        _check_time(time, headers, now)
        if stamp[:8] != date:
            raise _malformed(f'Invalid credential date "{date}". It is not the request\'s date "{stamp[:8]}"')
        return _Claim(access, date, self._region, signed, signature, stamp, time, None)

    def _in_query(self, query: Mapping[str, str], now: int) -> _Claim:
        fields = [query.get(name, "") for name in _QUERY_FIELDS]
        if not all(fields):
            raise _malformed_query(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
            )
        algorithm, credential, stamp, expires, signed, signature = fields
        if algorithm != ALGORITHM:
            raise _malformed_query(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
        access, date = self._scope(
            credential,
            "AuthorizationQueryParametersError",
            "Error parsing the X-Amz-Credential parameter; the Credential",
        )
        time = _time_of(stamp)
        if time is None:
            raise _malformed_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        if stamp[:8] != date:
            raise _malformed_query(
                f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{stamp[:8]}".'
            )
        seconds = _expires(expires)
        if time - now > SKEW_SECONDS * MICROSECONDS:
            raise S3Error("AccessDenied", "Request is not yet valid", ServerTime=time_text(now))
        if now > time + seconds * MICROSECONDS:
            raise S3Error(
                "AccessDenied",
                "Request has expired",
                Expires=time_text(time + seconds * MICROSECONDS),
                ServerTime=time_text(now),
            ).telling(**{"X-Amz-Expires": seconds})
        return _Claim(access, date, self._region, signed, signature, stamp, time, seconds)

    def _scope(self, credential: str, code: str, opening: str) -> tuple[str, str]:
        """Access key and date of a credential that names this region and service."""
        # An access key may have slashes in it.
        parts = credential.rsplit("/", 4)
        if len(parts) != 5 or not parts[0] or len(parts[1]) != 8 or not parts[1].isdecimal():  # noqa: PLR2004 - KEY/DATE/REGION/SERVICE/aws4_request
            raise S3Error(
                code,
                f'{opening} is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
            )
        access, date, region, service, end = parts
        if region != self._region:
            words = f"{opening} is wrong; the region '{region}' is wrong; expecting '{self._region}'"
            raise S3Error(code, words, Region=self._region)
        if service != SERVICE or end != "aws4_request":
            raise S3Error(code, f"{opening} is wrong; expecting the service '{SERVICE}' and 'aws4_request'")
        return access, date

    def _check_signature(self, claim: _Claim, wire: Wire, signer: Signer, payload: str) -> bytes:
        """The key it is signed with."""
        canonical = _canonical_request(wire, claim.signed_headers, payload)
        encoded = canonical.encode("latin-1", "replace")
        hashed = hashlib.sha256(encoded).hexdigest()
        text = f"{ALGORITHM}\n{claim.stamp}\n{claim.scope}\n{hashed}"
        key = sigv4.signing_key(signer.secret, claim.date, claim.region, SERVICE)
        if not _signs(key, text, claim.signature) and not _signs_encoded(key, claim, wire, payload):
            raise S3Error(
                "SignatureDoesNotMatch",
                AWSAccessKeyId=claim.access,
                StringToSign=text,
                SignatureProvided=claim.signature,
                StringToSignBytes=text.encode().hex(" "),
                CanonicalRequest=canonical,
                CanonicalRequestBytes=encoded.hex(" "),
            )
        return key


def _signs(key: bytes, text: str, signature: str) -> bool:
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))


def _signs_encoded(key: bytes, claim: _Claim, wire: Wire, payload: str) -> bool:
    """Whether the path is signed as S3 encodes it, though it came in another encoding.

    Some programs sign `%2A` and send `*`. It names the same key either way.
    """
    path = "/".join([quote(unquote_to_bytes(part), safe="-_.~") for part in wire.raw_path.split("/")])
    if path == wire.raw_path:
        return False
    canonical = _canonical_request(wire._replace(raw_path=path), claim.signed_headers, payload)
    hashed = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
    return _signs(key, f"{ALGORITHM}\n{claim.stamp}\n{claim.scope}\n{hashed}", claim.signature)


def _canonical_request(wire: Wire, signed_headers: str, payload: str) -> str:
    """As `sigv4.canonical_request`, of headers that are joined and trimmed already."""
    lines = []
    for name in _names(signed_headers):
        value = wire.headers.get(name, "")
        if "  " in value or "\t" in value:
            value = " ".join(value.split())
        lines.append(f"{name}:{value}\n")
    query = sigv4.canonical_query(wire.raw_query) if wire.raw_query else ""
    return f"{wire.method}\n{wire.raw_path}\n{query}\n{''.join(lines)}\n{signed_headers}\n{payload}"


@lru_cache(maxsize=256)
def _names(signed_headers: str) -> tuple[str, ...]:
    return tuple(signed_headers.split(";"))


def _header_fields(authorization: str) -> tuple[str, str, str]:
    """Credential, signed headers and signature of a header in whatever order and spacing."""
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise _unsupported(algorithm, rest)
    fields: dict[str, str] = {}
    for part in rest.split(","):
        found = _FIELD.fullmatch(part)
        if found is None or found[1] in fields:
            raise _malformed("it is not a list of different Name=Value")
        fields[found[1]] = found[2]
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not fields.get(name):
            raise _malformed(f"the {name} is missing")
    return fields["Credential"], fields["SignedHeaders"], fields["Signature"]


def _anonymous(wire: Wire) -> Authenticated:
    payload = wire.headers.get("x-amz-content-sha256", "")
    if payload in {STREAMING_SIGNED, STREAMING_SIGNED_TRAILER}:
        raise S3Error("InvalidRequest", "Anonymous requests cannot have signed chunks.")
    return Authenticated(ANONYMOUS, payload)


def _payload(wire: Wire, claim: _Claim) -> str:
    """What the last line of the canonical request is."""
    payload = wire.headers.get("x-amz-content-sha256")
    if payload is None:
        if claim.expires_seconds is not None:
            return wire.query.get("X-Amz-Content-Sha256") or UNSIGNED_PAYLOAD
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if payload in STREAMING or payload == UNSIGNED_PAYLOAD or _SHA256.fullmatch(payload):
        return payload
    if payload.startswith("STREAMING-") and ELLIPTIC in payload:
        raise S3Error("NotImplemented", "Signatures by elliptic curves are not implemented.")
    if claim.expires_seconds is not None:
        return payload
    raise S3Error(
        "InvalidArgument",
        f"x-amz-content-sha256 must be {UNSIGNED_PAYLOAD}, {', '.join(sorted(STREAMING))} or a valid sha256 "
        "value.",
        ArgumentName="x-amz-content-sha256",
        ArgumentValue=payload,
    )


def _signed_at(headers: Mapping[str, str]) -> tuple[str, int]:
    """When a request with a header was signed: as written in what is signed, and in microseconds."""
    text = headers.get("x-amz-date")
    if text is None:
        text = headers.get("date", "")
    time = _time_of(text)
    if time is not None:
        return text, time
    try:
        when = parsedate_to_datetime(text)
        stamp = when.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, TypeError, IndexError, OverflowError):
        raise S3Error(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
        ) from None
    time = _time_of(stamp)
    assert time is not None, "we wrote it"
    return stamp, time


@lru_cache(maxsize=256)
def _time_of(stamp: str) -> int | None:
    """Microseconds since the epoch of `20260101T000000Z`; None for anything else."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    try:
        when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(when.timestamp()) * MICROSECONDS


def _expires(text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 18:  # noqa: PLR2004 - of any 64-bit number
        raise _malformed_query("X-Amz-Expires should be a number")
    seconds = int(text)
    if seconds < 0:
        raise _malformed_query("X-Amz-Expires must be non-negative")
    if seconds > PRESIGNED_SECONDS_MAX:
        raise _malformed_query(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be "
            f"less than {PRESIGNED_SECONDS_MAX} seconds"
        )
    return seconds


def _check_time(time: int, headers: Mapping[str, str], now: int) -> None:
    """A clock that is wrong by days is told so, not that its credential has another day than its header."""
    if abs(now - time) > SKEW_SECONDS * MICROSECONDS:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=headers.get("x-amz-date") or headers.get("date", ""),
            ServerTime=time_text(now),
            MaxAllowedSkewMilliseconds=SKEW_SECONDS * 1000,
        )


def _check_signed(claim: _Claim, headers: Mapping[str, str]) -> None:
    signed = _names(claim.signed_headers)
    unsigned = [name for name in headers if name.startswith("x-amz-") and name not in signed]
    if "host" not in signed:
        unsigned.insert(0, "host")
    if unsigned:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(unsigned),
        )


def _refuse_token(wire: Wire) -> None:
    token = wire.headers.get("x-amz-security-token") or wire.query.get("X-Amz-Security-Token")
    if token:
        # Nobody here gives out temporary credentials, so no token can be good.
        raise S3Error("InvalidToken").telling(**{"Token-0": token[:100]})


def _unsupported(algorithm: str, rest: str) -> S3Error:
    """What a header says that is no signature of version 4."""
    if algorithm == "AWS" and ":" in rest:
        return _second_version()
    if algorithm.startswith("AWS4-") and ELLIPTIC in algorithm:
        return S3Error("NotImplemented", "Signatures by elliptic curves are not implemented.")
    if not algorithm or not algorithm.isprintable():
        return S3Error("AccessDenied")
    return S3Error(
        "InvalidArgument",
        "Unsupported Authorization Type",
        ArgumentName="Authorization",
        ArgumentValue=f"{algorithm} {rest}".strip()[:200],
    )


def _second_version() -> S3Error:
    return S3Error(
        "InvalidRequest",
        f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.",
    )


def _malformed(why: str) -> S3Error:
    return S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {why}.")


def _malformed_query(why: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", why)


def query_of(raw: str) -> dict[str, str]:
    """The query, decoded: the first value of each name. Raises S3Error InvalidURI for what is no text."""
    found: dict[str, str] = {}
    if not raw:
        return found
    for part in raw.split("&"):
        if part:
            name, _, value = part.partition("=")
            if "%" in name or "+" in name:
                name = _decoded(name)
            if "%" in value or "+" in value:
                value = _decoded(value)
            found.setdefault(name, value)
    return found


def _decoded(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
