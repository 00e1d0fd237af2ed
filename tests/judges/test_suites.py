"""Suites that other people wrote for S3 servers and clients, run whole against ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.judges.cloud import S3Cloud
from tests.judges.expected import Outcome, read_junit, settled
from tests.judges.installed import PROGRAMS, SUITES, python_of, run

SUITE_SECONDS = 900
PYTEST = (
    "-m",
    "pytest",
    "-q",
    "-p",
    "no:cacheprovider",
    "-o",
    "addopts=",
    "-o",
    "junit_family=xunit2",
    "-W",
    "ignore",
)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_swift_s3api(scheme: str, server: S3Cloud, tmp_path: Path) -> None:
    endpoint = server.endpoints[scheme]
    settings = {"endpoint": endpoint.url, "region": endpoint.region, "s3_acl_tests_enabled": "true"}
    if endpoint.ca:
        settings["ca_cert"] = str(endpoint.ca)
    for number in (1, 2, 3):
        account = server.account(f"swift-{scheme}-{number}")
        settings |= {f"access_key{number}": account.access_key, f"secret_key{number}": account.secret_key}
    config = tmp_path / "test.conf"
    config.write_text("[s3api_test]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))

    def once() -> Outcome:
        ended = run(
            [
                python_of("swift"),
                *PYTEST,
                f"--junitxml={tmp_path}/junit.xml",
                SUITES / "swift" / "test" / "s3api",
            ],
            {
                "SWIFT_TEST_CONFIG_FILE": str(config),
                "PYTHONPATH": str(SUITES / "swift"),
                **(
                    {"REQUESTS_CA_BUNDLE": str(endpoint.ca), "SSL_CERT_FILE": str(endpoint.ca)}
                    if endpoint.ca
                    else {}
                ),
            },
            folder=tmp_path,
            seconds=SUITE_SECONDS,
        )
        assert ended.status in {0, 1}, ended.said
        return read_junit(tmp_path / "junit.xml")

    assert settled("swift", once, over=scheme) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_s3fs(scheme: str, server: S3Cloud, tmp_path: Path) -> None:
    endpoint, account = server.endpoints[scheme], server.account("s3fs")
    path = f"{PROGRAMS / 's3fs_server'}:{SUITES / 's3fs'}"

    def once() -> Outcome:
        ended = run(
            [
                python_of("s3fs"),
                *PYTEST,
                "-p",
                "real_server",
                f"--junitxml={tmp_path}/junit.xml",
                f"--rootdir={SUITES / 's3fs'}",
                SUITES / "s3fs" / "s3fs" / "tests",
            ],
            {**account.environment(endpoint), "PYTHONPATH": path},
            folder=tmp_path,
            seconds=SUITE_SECONDS,
        )
        assert ended.status in {0, 1}, ended.said
        return read_junit(tmp_path / "junit.xml")

    assert settled("s3fs", once, over=scheme) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_minio_py(scheme: str, server: S3Cloud, tmp_path: Path) -> None:
    endpoint, account = server.endpoints[scheme], server.account(f"minio-{scheme}")

    def once() -> Outcome:
        ended = run(
            [
                python_of("clients"),
                PROGRAMS / "minio_suite.py",
                SUITES / "minio" / "tests" / "functional" / "tests.py",
            ],
            {
                "SERVER_ENDPOINT": endpoint.address,
                "ACCESS_KEY": account.access_key,
                "SECRET_KEY": account.secret_key,
                "ENABLE_HTTPS": "1" if endpoint.ca else "0",
                "MINT_MODE": "full",
                **({"SSL_CERT_FILE": str(endpoint.ca)} if endpoint.ca else {}),
            },
            folder=tmp_path,
            seconds=SUITE_SECONDS,
        )
        assert ended.status == 0, ended.said
        lines = [json.loads(line) for line in ended.out.splitlines() if line.startswith("{")]
        names = [line["name"].removeprefix("minio-py:") for line in lines]
        # A test that is run again, with a customer's key, has the same name but for one.
        assert len(names) > 40, ended.said
        failed = {
            name: line.get("error") or line.get("alert", "")
            for name, line in zip(names, lines, strict=True)
            if line["status"] != "PASS"
        }
        return set(names) - set(failed), failed

    assert settled("minio", once, over=scheme) == []
