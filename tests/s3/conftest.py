"""boto3 against one cloud of its own: two tenants, a visitor without a key, a bucket for each test."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from tests.judges import cloud
from tests.judges.cloud import Account, Endpoint
from tests.s3 import plain

HERE = __file__.rpartition("/")[0]
NUMBER = itertools.count(1)
RUN = uuid.uuid4().hex[:6]
"""Keeps the buckets of two runs apart, where both work on one server."""
SCHEME = "HOLDFAST_TEST_S3_SCHEME"
"""The variable that may say "https": boto3 sends other uploads then."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if str(item.path).startswith(HERE):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    elsewhere = cloud.server_elsewhere()
    if elsewhere is not None:
        yield elsewhere
        return
    started = cloud.start(
        tmp_path_factory.mktemp("s3"),
        HOLDFAST_S3_LIFECYCLE_DAY_SECONDS="2",
        HOLDFAST_S3_WEBSITE_DOMAINS="website.localhost",
    )
    yield started
    started.running.stop()


@pytest.fixture(scope="session")
def endpoint(server: Any) -> Endpoint:
    chosen: Endpoint = server.endpoints[os.environ.get(SCHEME, "http")]
    if chosen.ca is not None:
        plain.trust(chosen.ca)
    return chosen


@pytest.fixture(scope="session")
def owner(server: Any) -> Account:
    return server.account("s3-owner")


@pytest.fixture(scope="session")
def other(server: Any) -> Account:
    return server.account("s3-other")


def client_of(endpoint: Endpoint, account: Account | None, **more: Any) -> Any:
    settings = Config(
        signature_version=UNSIGNED if account is None else "s3v4",
        s3={"addressing_style": "path"},
        retries={"max_attempts": 1},
        parameter_validation=False,
        **more,
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=account.access_key if account else None,
        aws_secret_access_key=account.secret_key if account else None,
        verify=str(endpoint.ca) if endpoint.ca else None,
        config=settings,
    )


@pytest.fixture(scope="session")
def s3(endpoint: Endpoint, owner: Account) -> Any:
    """The owner's client."""
    return client_of(endpoint, owner)


@pytest.fixture(scope="session")
def s3_other(endpoint: Endpoint, other: Account) -> Any:
    """Another tenant's."""
    return client_of(endpoint, other)


@pytest.fixture(scope="session")
def s3_visitor(endpoint: Endpoint) -> Any:
    """Without a key."""
    return client_of(endpoint, None)


@pytest.fixture
def bucket(s3: Any) -> str:
    """An empty bucket of the owner's."""
    name = f"acceptance-{RUN}-{next(NUMBER)}-x"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    """An empty bucket that keeps versions."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture
def locked(s3: Any) -> str:
    """An empty bucket that keeps locks."""
    name = f"locked-{RUN}-{next(NUMBER)}-x"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name
