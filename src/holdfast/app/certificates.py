"""A certificate for the S3 endpoint of one's own machine, and the authority that signed it.

Made once, in the coordinator's home; the authority's key is thrown away, so that nothing else can ever be
signed by what people may have told their programs to trust.

    s3-ca.pem    the authority: what S3 programs are told to trust
    s3-tls.pem   the certificate of localhost, *.localhost, *.s3.localhost and 127.0.0.1
    s3-tls.key   its private key, mode 0600
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.app.private_file import write_private
from holdfast.world.clock import MICROSECONDS

CA_FILE: Final = "s3-ca.pem"
CERTIFICATE_FILE: Final = "s3-tls.pem"
KEY_FILE: Final = "s3-tls.key"
NAMES: Final = ("localhost", "*.localhost", "s3.localhost", "*.s3.localhost")
ADDRESSES: Final = ("127.0.0.1", "::1")
DAYS: Final = 825
"""What the strictest clients let a certificate last."""
RENEW_DAYS: Final = 30


class Certificate(NamedTuple):
    """Where a certificate's chain and private key are."""

    chain: Path
    key: Path


def own_certificate(home: Path, now: int) -> Certificate:
    """The home's certificate; made, authority and all, if there is none or it is about to end.

    `now`: microseconds since the epoch.
    """
    found = Certificate(home / CERTIFICATE_FILE, home / KEY_FILE)
    moment = datetime.fromtimestamp(now // MICROSECONDS, UTC)
    if not (found.chain.exists() and found.key.exists() and _lasts(found.chain, moment)):
        _make(home, moment)
    return found


def _lasts(chain: Path, moment: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(chain.read_bytes())
    except ValueError:
        return False
    return certificate.not_valid_after_utc > moment + timedelta(days=RENEW_DAYS)


def _make(home: Path, moment: datetime) -> None:
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("Holdfast local S3 authority")
    authority = (
        _begun(authority_name, authority_name, authority_key, moment)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.DNSName(name) for name in NAMES]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    certificate = (
        _begun(_name("localhost"), authority_name, key, moment)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(
        home / KEY_FILE,
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    write_private(home / CA_FILE, authority.public_bytes(pem))
    write_private(home / CERTIFICATE_FILE, certificate.public_bytes(pem) + authority.public_bytes(pem))


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, moment: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
