"""The S3 endpoint of one's own machine: a certificate that programs can check, made once and renewed."""

from __future__ import annotations

import contextlib
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from holdfast.app.certificates import CA_FILE, DAYS, NAMES, Certificate, own_certificate
from holdfast.app.settings import host_and_port, listed
from holdfast.world.errors import Refusal

NOW = 1_760_000_000 * 1_000_000
DAY = 86_400 * 1_000_000


def shaken(home: Path, certificate: Certificate, name: str) -> None:
    """A TLS handshake with the certificate, by a client that trusts the home's authority only."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate.chain, certificate.key)
    client_side = ssl.create_default_context(cafile=str(home / CA_FILE))
    wires = [ssl.MemoryBIO() for _ in range(4)]
    client = client_side.wrap_bio(wires[0], wires[1], server_hostname=name)
    server = server_side.wrap_bio(wires[2], wires[3], server_side=True)
    for _ in range(6):
        for end in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            wires[2].write(wires[1].read())
            wires[0].write(wires[3].read())
    client.do_handshake()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "s3.localhost", "photos.s3.localhost"])
def test_programs_that_trust_the_authority_find_the_machine_by_its_names(tmp_path: Path, name: str) -> None:
    import time

    shaken(tmp_path, own_certificate(tmp_path, int(time.time() * 1e6)), name)


def test_the_certificate_stays_until_it_is_about_to_end(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, NOW)
    before = first.chain.read_bytes()
    assert own_certificate(tmp_path, NOW + (DAYS - 31) * DAY).chain.read_bytes() == before
    renewed = own_certificate(tmp_path, NOW + (DAYS - 29) * DAY)
    assert renewed.chain.read_bytes() != before
    assert (renewed.key.stat().st_mode & 0o777) == 0o600


def test_a_damaged_certificate_is_made_anew(tmp_path: Path) -> None:
    found = own_certificate(tmp_path, NOW)
    found.chain.write_text("nothing")
    assert b"BEGIN CERTIFICATE" in own_certificate(tmp_path, NOW).chain.read_bytes()


def test_the_authority_can_sign_nothing_but_this(tmp_path: Path) -> None:
    own_certificate(tmp_path, NOW)
    authority = x509.load_pem_x509_certificate((tmp_path / CA_FILE).read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert authority.not_valid_after_utc - authority.not_valid_before_utc == timedelta(days=DAYS + 1)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert kept.count(b"PRIVATE KEY-----") == 2, "one key, the certificate's, has a beginning and an end"
    chain = x509.load_pem_x509_certificates((tmp_path / "s3-tls.pem").read_bytes())
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES


def test_addresses_and_lists_of_settings_are_read() -> None:
    assert host_and_port("[::1]:8335") == ("::1", 8335)
    assert listed(" a, b ,,c") == ("a", "b", "c")
    with pytest.raises(Refusal, match="HOST:PORT"):
        host_and_port("8335")
