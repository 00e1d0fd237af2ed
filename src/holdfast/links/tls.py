"""TLS 1.3 between client and node, pinned by node id.

A node's certificate is self-signed over the node's own Ed25519 key; the client trusts no authority, and
compares the key in the certificate with the id it dialled. Client and session are proven above this, by the
session's handshake.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import tempfile
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import Chance

# The certificate says nothing but the key, so its times mean nothing: the pin is what is trusted.
_BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_END = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_PASSWORD_BYTES = 24


def node_context(key: SigningKey, chance: Chance) -> ssl.SSLContext:
    """What a node listens with: TLS 1.3 only, its certificate made from its own key."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key.public.hex())])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .sign(private, None)
    )
    # OpenSSL's context takes keys from files only; what touches the disk is locked with a fresh password.
    password = chance.bytes(_PASSWORD_BYTES).hex().encode()
    locked = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        path = Path(folder, "node.pem")
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + locked)
        context.load_cert_chain(path, password=password)
    return context


@lru_cache(maxsize=1)
def client_context() -> ssl.SSLContext:
    """What clients dial with: TLS 1.3 only; whose certificate it is, the caller checks by `presented_key`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def presented_key(transport: asyncio.BaseTransport) -> bytes | None:
    """The Ed25519 key (32 bytes) in the other side's certificate; b"" for any other key, None without TLS."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    try:
        public = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return b""
    return public.public_bytes_raw() if isinstance(public, Ed25519PublicKey) else b""
