"""Server-side encryption as its headers ask for it and as it is shown.

Everything is sealed, whatever is asked (AES-256-GCM, a data key for each version). What differs is who
holds the key that wraps the data key: the bucket owner's managed key for AES256 (also when nothing is
asked) and for aws:kms, whose key id is a label on it; the customer for SSE-C, whose key is used and
forgotten. Each half-given or contradictory set of headers is refused in S3's own words.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from holdfast.doors.s3.contents.checksums import decoded
from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import Attributes, Sse
from holdfast.files.bucket_settings import Encryption

SSE: Final = "x-amz-server-side-encryption"
KMS_KEY_ID: Final = f"{SSE}-aws-kms-key-id"
CONTEXT: Final = f"{SSE}-context"
BUCKET_KEY: Final = f"{SSE}-bucket-key-enabled"
CUSTOMER: Final = f"{SSE}-customer-"
SOURCE_CUSTOMER: Final = "x-amz-copy-source-server-side-encryption-customer-"
KEY_BYTES: Final = 32
_METHODS: Final[dict[str, Sse]] = {
    "AES256": "AES256",
    "aws:kms": "aws:kms",
    "aws:kms:dsse": "aws:kms:dsse",
}
_CUSTOMER: Final = "Requests specifying Server Side Encryption with Customer provided keys must provide "


class Sealing(NamedTuple):
    """How an object is to be sealed. `asked`: by the request itself, not by the bucket's default."""

    sse: Sse = "AES256"
    kms_key_id: str = ""
    kms_context: str = ""
    bucket_key: bool = False
    customer_key: bytes | None = None
    customer_key_md5: str = ""
    asked: bool = False


class CustomerKey(NamedTuple):
    """A key for one request, and the digest by which S3 programs name it."""

    key: bytes
    md5: str


PLAIN: Final = Sealing()
MANAGED: Final = [(SSE, "AES256")]
"""What is shown of everything that is sealed with a managed key."""


def wanted_sealing(
    headers: Mapping[str, str], default: Encryption | None, *, secure: bool, remote: str
) -> Sealing:
    """How a write is to be sealed: as its headers say, else as the bucket's default does, else AES256.

    Raises:
        S3Error: InvalidArgument, InvalidRequest, InvalidEncryptionAlgorithmError.
    """
    method = headers.get(SSE)
    customer = customer_key(headers, secure=secure, remote=remote)
    if customer is not None:
        if method is not None:
            raise _argument(
                SSE,
                method,
                "Server Side Encryption with Customer provided key is incompatible with the encryption "
                "method specified",
            )
        return Sealing("customer", customer_key=customer.key, customer_key_md5=customer.md5, asked=True)
    if method is None:
        if KMS_KEY_ID in headers:
            raise _needs_kms(headers[KMS_KEY_ID])
        return _by_default(headers, default)
    sse = _METHODS.get(method)
    if sse is None:
        raise _argument(SSE, method, "The encryption method specified is not supported")
    if sse == "AES256":
        if KMS_KEY_ID in headers:
            raise _needs_kms(headers[KMS_KEY_ID])
        return Sealing(asked=True)
    return Sealing(
        sse,
        kms_key_id=headers.get(KMS_KEY_ID, ""),
        kms_context=_checked_context(headers.get(CONTEXT, "")),
        bucket_key=_bucket_key(headers, default),
        asked=True,
    )


def _by_default(headers: Mapping[str, str], default: Encryption | None) -> Sealing:
    if default is None or default.algorithm == "AES256":
        return PLAIN
    return Sealing(
        default.algorithm,
        kms_key_id=default.kms_key_id,
        kms_context=_checked_context(headers.get(CONTEXT, "")),
        bucket_key=_bucket_key(headers, default),
    )


def customer_key(
    headers: Mapping[str, str], prefix: str = CUSTOMER, *, secure: bool, remote: str
) -> CustomerKey | None:
    """The key that a request brings along, None if it brings none; raises S3Error for a part of one.

    A key is not taken over a line that others can read: plain HTTP will do from this machine only.
    """
    algorithm = headers.get(f"{prefix}algorithm")
    text = headers.get(f"{prefix}key")
    md5 = headers.get(f"{prefix}key-md5")
    if algorithm is None and text is None and md5 is None:
        return None
    if algorithm is None:
        raise _argument(f"{prefix}algorithm", "", f"{_CUSTOMER}a valid encryption algorithm.")
    if algorithm != "AES256":
        raise S3Error(
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256.",
            ArgumentName=f"{prefix}algorithm",
            ArgumentValue=algorithm,
        )
    if not text:
        raise _argument(f"{prefix}key", "", f"{_CUSTOMER}an appropriate secret key.")
    key = decoded(text)
    if key is None or len(key) != KEY_BYTES:
        raise _argument(f"{prefix}key", "", "The secret key was invalid for the specified algorithm.")
    if not md5:
        raise _argument(f"{prefix}key-MD5", "", f"{_CUSTOMER}the client calculated MD5 of the secret key.")
    computed = base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()
    if not hmac.compare_digest(computed.encode(), md5.encode()):
        raise _argument(
            f"{prefix}key-MD5",
            md5,
            "The calculated MD5 hash of the key did not match the hash that was provided.",
        )
    if not secure and not _is_this_machine(remote):
        raise S3Error("InvalidRequest", f"{_CUSTOMER}a secure connection.")
    return CustomerKey(key, md5)


def key_to_read(
    attributes: Attributes,
    headers: Mapping[str, str],
    prefix: str = CUSTOMER,
    *,
    secure: bool,
    remote: str,
) -> bytes | None:
    """The customer's key that opens the object, None if it needs none.

    Raises:
        S3Error: InvalidRequest if the object needs one and none came, or the other way round; AccessDenied
            if it is another.
    """
    given = customer_key(headers, prefix, secure=secure, remote=remote)
    if attributes.sse != "customer":
        if given is not None:
            raise S3Error("InvalidRequest", "The encryption parameters are not applicable to this object.")
        return None
    if given is None:
        raise S3Error(
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption. The correct parameters must be "
            "provided to retrieve the object.",
        )
    if not hmac.compare_digest(given.md5.encode(), attributes.customer_key_md5.encode()):
        raise S3Error("AccessDenied")
    return given.key


def refuse_on_read(headers: Mapping[str, str]) -> None:
    """A read must not say how the object is to be encrypted; raises S3Error InvalidArgument."""
    if SSE in headers:
        raise _argument(SSE, headers[SSE], f"{SSE} header is not supported for this operation.")


def answer_headers(attributes: Attributes, default_kms_key: str) -> list[tuple[str, str]]:
    """How an object is encrypted, in headers; `default_kms_key` names the key of aws:kms that named none."""
    sse = attributes.sse
    if sse in {"", "AES256"}:
        return MANAGED
    if sse == "customer":
        return [
            (f"{CUSTOMER}algorithm", "AES256"),
            (f"{CUSTOMER}key-md5", attributes.customer_key_md5),
        ]
    shown = [(SSE, str(sse)), (KMS_KEY_ID, attributes.kms_key_id or default_kms_key)]
    if attributes.bucket_key:
        shown.append((BUCKET_KEY, "true"))
    return shown


def context_header(attributes: Attributes) -> list[tuple[str, str]]:
    """The encryption context, which only answers to writes show."""
    return [(CONTEXT, attributes.kms_context)] if attributes.kms_context else []


def managed_key_name(region: str, account: str) -> str:
    """The ARN shown for the managed key of an account, where no other was named."""
    return f"arn:aws:kms:{region}:{account}:alias/aws/s3"


def _bucket_key(headers: Mapping[str, str], default: Encryption | None) -> bool:
    text = headers.get(BUCKET_KEY)
    if text is None:
        return default is not None and default.bucket_key
    if text.lower() not in {"true", "false"}:
        raise _argument(BUCKET_KEY, text, "The value must be true or false.")
    return text.lower() == "true"


def _checked_context(text: str) -> str:
    """The context as it came: base64 of a JSON object of texts."""
    if not text:
        return ""
    try:
        msgspec.json.decode(decoded(text) or b"", type=dict[str, str])
    except (msgspec.DecodeError, ValueError):
        raise _argument(
            CONTEXT, text, "The encryption context must be base64 of a JSON object of strings."
        ) from None
    return text


def _is_this_machine(remote: str) -> bool:
    if not remote:
        return True
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _needs_kms(key_id: str) -> S3Error:
    return _argument(
        KMS_KEY_ID,
        key_id,
        "Server Side Encryption with AWS KMS managed key requires HTTP header "
        "x-amz-server-side-encryption : aws:kms",
    )


def _argument(name: str, value: str, message: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)
