"""Points s3fs's suite at the server that AWS_ENDPOINT_URL names, and empties the account before each test.

A plugin of pytest. The suite has its address in a constant of two of its modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from botocore.session import Session

MODULES = ("s3fs.tests.test_s3fs", "s3fs.tests.derived.s3fs_fixtures", "s3fs.tests.test_mapping")


def pytest_collection_finish() -> None:
    for name in MODULES:
        if name in sys.modules:
            sys.modules[name].endpoint_uri = os.environ["AWS_ENDPOINT_URL"]


@pytest.fixture(scope="session")
def emptying() -> Iterator[object]:
    s3 = Session().create_client("s3")
    yield s3
    # Its buckets have plain names, which the next run wants, perhaps with another account.
    empty(s3)


def empty(s3: object) -> None:
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            found = page.get("Versions", []) + page.get("DeleteMarkers", [])
            if found:
                gone = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
                s3.delete_objects(Bucket=name, Delete={"Objects": gone, "Quiet": True})
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=name):
            for upload in page.get("Uploads", []):
                s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
        s3.delete_bucket(Bucket=name)


@pytest.fixture(autouse=True)
def account_emptied(request: pytest.FixtureRequest, emptying: object) -> None:
    # The derived tests share what one fixture made for a class of them.
    if request.cls is None:
        empty(emptying)


@pytest.fixture(autouse=True, scope="class")
def account_emptied_for_a_class(request: pytest.FixtureRequest, emptying: object) -> None:
    if request.cls is not None:
        empty(emptying)
