"""AWS Signature Version 4 as S3 reads it: header form and presigned query form, signing and checking.

S3 signs the path as it stands on the wire, percent-encoded once and never normalised; so everything here
takes the raw path and the raw query. The hash of the body is handed in or taken from
`x-amz-content-sha256`: that the body really has it is for the caller to check while it streams.
(AWS, "Authenticating Requests: Using the Authorization Header" and "Using Query Parameters".)

Checking goes in two steps, because the secret is known only once the access key is: `parse_authorization`
says who claims to have signed, `verify` checks it with that key's secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from holdfast.world.errors import Refusal

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SKEW_SECONDS = 15 * 60
PRESIGNED_SECONDS_MAX = 7 * 24 * 3600
REMEMBERED_LENGTH_MAX = 200

_MICROSECONDS = 1_000_000
_STAMP = "%Y%m%dT%H%M%SZ"
_CREDENTIAL = re.compile(
    r"(?P<access>[^/]+(?:/[^/]+)*)/(?P<date>\d{8})/(?P<region>[^/]*)/(?P<service>[^/]+)/aws4_request"
)
_STAMP_FORM = re.compile(r"\d{8}T\d{6}Z")
_SIGNATURE_FORM = re.compile(r"[0-9a-f]{64}")


class Request(NamedTuple):
    """The signed parts of an HTTP request, as on the wire."""

    method: str
    path: str
    """Percent-encoded, without the query."""
    query: str
    """Percent-encoded, without the question mark."""
    headers: Sequence[tuple[str, str]]
    """Names in any case; repeated ones in their order."""


class Claim(NamedTuple):
    """Who says to have signed a request, and how; believed only after `verify`."""

    access: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    time: int
    """Microseconds since the epoch: when it was signed."""
    expires_seconds: int | None
    """How long a presigned request is good for; None in the header form."""
    payload_hash: str
    """`x-amz-content-sha256` as sent; if absent, "" in the header form, UNSIGNED-PAYLOAD when presigned."""

    @property
    def scope(self) -> str:
        """The credential scope."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def sign(
    request: Request, *, access: str, secret: str, region: str, service: str, now: int, payload_hash: str
) -> dict[str, str]:
    """The headers to add: `x-amz-date`, `x-amz-content-sha256`, `authorization`.

    Args:
        request: with its `host` header and every other `x-amz-*` header that will be sent. All are signed.
        access: the access key.
        secret: its secret.
        region: for example "us-east-1".
        service: for example "s3".
        now: microseconds since the epoch.
        payload_hash: lower-case hexadecimal SHA-256 of the body, UNSIGNED_PAYLOAD or a STREAMING-* word.
    """
    stamp = _stamp(now)
    added = {"x-amz-date": stamp, "x-amz-content-sha256": payload_hash}
    headers = [(name, value) for name, value in request.headers if name.lower() not in added]
    headers += added.items()
    names = tuple(sorted({name.lower() for name, _ in headers}))
    claim = Claim(access, stamp[:8], region, service, names, "", 0, None, payload_hash)
    signature = _signature(claim, stamp, request._replace(headers=headers), secret, payload_hash)
    added["authorization"] = (
        f"{ALGORITHM} Credential={access}/{claim.scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return added


def presign(
    request: Request, *, access: str, secret: str, region: str, service: str, now: int, expires_seconds: int
) -> str:
    """The query (with the signature in it) under which `request` may be made until it expires.

    `request.headers` are the headers that the later caller must send: `host` at least.
    """
    assert 0 < expires_seconds <= PRESIGNED_SECONDS_MAX
    stamp = _stamp(now)
    names = tuple(sorted({name.lower() for name, _ in request.headers}))
    claim = Claim(access, stamp[:8], region, service, names, "", 0, expires_seconds, UNSIGNED_PAYLOAD)
    added = "&".join(
        f"{name}={_encode(value.encode())}"
        for name, value in (
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", f"{access}/{claim.scope}"),
            ("X-Amz-Date", stamp),
            ("X-Amz-Expires", str(expires_seconds)),
            ("X-Amz-SignedHeaders", ";".join(names)),
        )
    )
    query = f"{request.query}&{added}" if request.query else added
    signature = _signature(claim, stamp, request._replace(query=query), secret, UNSIGNED_PAYLOAD)
    return f"{query}&X-Amz-Signature={signature}"


def parse_authorization(request: Request) -> Claim | None:
    """Who claims to have signed; None for an anonymous request; raises Refusal("request.invalid")."""
    authorization = [value for name, value in request.headers if name.lower() == "authorization"]
    presigned = "X-Amz-Signature=" in request.query or "X-Amz-Algorithm=" in request.query
    if len(authorization) + presigned > 1:
        raise _malformed("More than one signature was sent.")
    if presigned:
        return _parse_query(request)
    return _parse_header(request, authorization[0]) if authorization else None


def verify(
    claim: Claim,
    request: Request,
    *,
    secret: str,
    region: str | None,
    service: str,
    now: int,
    payload_hash: str | None = None,
) -> None:
    """Believes the claim, or raises.

    Args:
        claim: what `parse_authorization(request)` gave.
        request: the same request.
        secret: the secret of `claim.access`.
        region: the region served here; None takes any.
        service: the service spoken to.
        now: microseconds since the epoch.
        payload_hash: what the last line of the canonical request must be; None takes the claim's.

    Raises:
        Refusal: "request.invalid" (scope of another region or service), "access.denied" (expired, or headers
            that must be signed are not), "clock.skewed" or "signature.invalid".
    """
    if claim.service != service or (region is not None and claim.region != region):
        raise Refusal(
            "request.invalid",
            f"The request is signed for '{claim.service}' in '{claim.region}'.",
            advice=f"Sign it for '{service}' in '{region or claim.region}'.",
            region=region or "",
        )
    _check_time(claim, now)
    _check_signed(claim, request)
    if payload_hash is None:
        payload_hash = claim.payload_hash
    if not payload_hash:
        raise _malformed("The header x-amz-content-sha256 is missing.")
    expected = _signature(claim, _stamp(claim.time), request, secret, payload_hash)
    if not hmac.compare_digest(expected, claim.signature):
        raise Refusal(
            "signature.invalid",
            "The request's signature does not match.",
            advice="Check the secret key and the way the request is signed.",
        )


def canonical_request(request: Request, signed_headers: Sequence[str], payload_hash: str) -> str:
    """What is hashed and signed; also what a person needs to see to find a wrong signature."""
    values: dict[str, list[str]] = {name: [] for name in signed_headers}
    for name, value in request.headers:
        kept = values.get(name.lower())
        if kept is not None:
            kept.append(" ".join(value.split()))
    lines = [
        request.method,
        request.path or "/",
        canonical_query(request.query),
        *(f"{name}:{','.join(values[name])}" for name in signed_headers),
        "",
        ";".join(signed_headers),
        payload_hash,
    ]
    return "\n".join(lines)


@lru_cache(maxsize=1024)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The derived key of one day, region and service."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(claim: Claim, stamp: str, request: Request, secret: str, payload_hash: str) -> str:
    canonical = canonical_request(request, claim.signed_headers, payload_hash)
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    text = f"{ALGORITHM}\n{stamp}\n{claim.scope}\n{digest}"
    key = signing_key(secret, claim.date, claim.region, claim.service)
    return hmac.digest(key, text.encode(), "sha256").hex()


def canonical_query(query: str) -> str:
    """The raw query in the order and encoding in which it is signed, without the signature in it."""
    pairs = []
    if "+" in query:
        # A space to whoever reads it: were it signed as a plus, the two could be exchanged on the way.
        query = query.replace("+", "%20")
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if part and name != "X-Amz-Signature":
            recode = _canonical if len(part) <= REMEMBERED_LENGTH_MAX else _recoded
            pairs.append((recode(name), recode(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _recoded(text: str) -> str:
    return _encode(unquote_to_bytes(text))


_canonical = lru_cache(maxsize=1024)(_recoded)
"""Names, dates and credentials come again and again; what is longer than those is not remembered."""


def _encode(raw: bytes) -> str:
    return quote(raw, safe="-_.~")


def _parse_header(request: Request, authorization: str) -> Claim:
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise _malformed(f"The signature algorithm '{algorithm[:40]}' is not spoken here.")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    stamps = [value for name, value in request.headers if name.lower() == "x-amz-date"]
    if not stamps:
        stamps = [value for name, value in request.headers if name.lower() == "date"]
    if len(stamps) != 1:
        raise _malformed("One x-amz-date or date header is needed.")
    return _claim(
        request,
        credential=fields.get("Credential", ""),
        signed_headers=fields.get("SignedHeaders", ""),
        signature=fields.get("Signature", ""),
        stamp=stamps[0],
        expires_seconds=None,
    )


def _parse_query(request: Request) -> Claim:
    fields: dict[str, str] = {}
    for part in request.query.split("&"):
        name, _, value = part.partition("=")
        if name in fields and name.startswith("X-Amz-"):
            raise _malformed(f"{name} was sent twice.")
        fields[name] = unquote_to_bytes(value).decode("utf-8", "replace")
    if fields.get("X-Amz-Algorithm") != ALGORITHM:
        raise _malformed("The presigned request names no algorithm that is spoken here.")
    expires = fields.get("X-Amz-Expires", "")
    if not expires.isascii() or not expires.isdigit() or not 0 < int(expires[:9]) <= PRESIGNED_SECONDS_MAX:
        raise _malformed(f"X-Amz-Expires must be a number from 1 to {PRESIGNED_SECONDS_MAX}.")
    return _claim(
        request,
        credential=fields.get("X-Amz-Credential", ""),
        signed_headers=fields.get("X-Amz-SignedHeaders", ""),
        signature=fields.get("X-Amz-Signature", ""),
        stamp=fields.get("X-Amz-Date", ""),
        expires_seconds=int(expires),
    )


def _claim(
    request: Request,
    *,
    credential: str,
    signed_headers: str,
    signature: str,
    stamp: str,
    expires_seconds: int | None,
) -> Claim:
    scope = _CREDENTIAL.fullmatch(credential)
    if scope is None:
        raise _malformed("The credential is not KEY/YYYYMMDD/REGION/SERVICE/aws4_request.")
    if not _SIGNATURE_FORM.fullmatch(signature):
        raise _malformed("The signature is not 64 lower-case hexadecimal digits.")
    names = tuple(signed_headers.split(";"))
    if list(names) != sorted(set(names)) or signed_headers != signed_headers.lower():
        raise _malformed("The signed headers are not in order, in lower case and each named once.")
    time = _parse_stamp(stamp)
    if _stamp(time)[:8] != scope["date"]:
        raise _malformed("The credential's date is not the request's date.")
    hashes = [value for name, value in request.headers if name.lower() == "x-amz-content-sha256"]
    unsaid = "" if expires_seconds is None else UNSIGNED_PAYLOAD
    return Claim(
        scope["access"], scope["date"], scope["region"], scope["service"], names, signature, time,
        expires_seconds, hashes[0] if hashes else unsaid,
    )  # fmt: skip


def _check_time(claim: Claim, now: int) -> None:
    age_seconds = (now - claim.time) / _MICROSECONDS
    if claim.expires_seconds is not None and age_seconds > claim.expires_seconds:
        raise Refusal("access.denied", "The presigned request has expired.", advice="Ask for a new one.")
    if age_seconds < -SKEW_SECONDS or (claim.expires_seconds is None and age_seconds > SKEW_SECONDS):
        raise Refusal(
            "clock.skewed",
            f"The clock that signed the request is {abs(age_seconds):.0f} s "
            f"{'behind' if age_seconds > 0 else 'ahead of'} ours; {SKEW_SECONDS} s is the most that works.",
            advice="Set this machine's clock, best by NTP.",
            seconds_off=int(age_seconds),
        )


def _check_signed(claim: Claim, request: Request) -> None:
    signed = set(claim.signed_headers)
    present = {name.lower() for name, _ in request.headers}
    required = {name for name in present if name.startswith("x-amz-")} | {"host"}
    if unsigned := sorted(required - signed):
        raise Refusal(
            "access.denied",
            "There were headers present in the request which were not signed.",
            advice="Sign host and all x-amz-* headers.",
            headers=", ".join(unsigned),
        )
    if missing := sorted(signed - present):
        raise _malformed(f"Signed headers are missing: {', '.join(missing)}.")


def _stamp(now: int) -> str:
    return datetime.fromtimestamp(now // _MICROSECONDS, UTC).strftime(_STAMP)


def _parse_stamp(text: str) -> int:
    """Microseconds since the epoch, from the ISO basic form or an HTTP date."""
    try:
        if _STAMP_FORM.fullmatch(text):
            when = datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
        else:
            when = parsedate_to_datetime(text)
            when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return int(when.timestamp()) * _MICROSECONDS
    except (ValueError, TypeError, OverflowError) as error:
        raise _malformed("The request's date cannot be read.") from error


def _malformed(why: str) -> Refusal:
    return Refusal("request.invalid", why, advice="Sign with AWS Signature Version 4.")
