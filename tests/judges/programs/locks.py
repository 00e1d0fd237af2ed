"""Conditional writes as table formats and state locks use them: `locks.py BUCKET`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import boto3
import obstore
from botocore.exceptions import ClientError
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store


def refused(error: type[BaseException], call: object, *arguments: object, **named: object) -> bool:
    try:
        call(*arguments, **named)
    except error:
        return True
    return False


def rust(bucket: str) -> None:
    ca = os.environ.get("AWS_CA_BUNDLE")
    store = S3Store(
        bucket,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        client_options={
            "allow_http": True,
            **({"root_certificate": Path(ca).read_text()} if ca else {}),
        },
    )
    first = obstore.put(store, "rust/lock", b"1", mode="create")
    assert refused(AlreadyExistsError, obstore.put, store, "rust/lock", b"2", mode="create")
    second = obstore.put(store, "rust/lock", b"2", mode={"e_tag": first["e_tag"]})
    assert refused(PreconditionError, obstore.put, store, "rust/lock", b"3", mode={"e_tag": first["e_tag"]})
    assert obstore.get(store, "rust/lock").bytes() == b"2"
    assert obstore.head(store, "rust/lock")["e_tag"] == second["e_tag"]
    obstore.copy(store, "rust/lock", "rust/copy")
    obstore.rename(store, "rust/copy", "rust/renamed")
    assert obstore.get_range(store, "rust/renamed", start=0, end=1) == b"2"


def python(bucket: str) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key="python/lock", Body=b"1", IfNoneMatch="*")
    assert refused(ClientError, s3.put_object, Bucket=bucket, Key="python/lock", Body=b"2", IfNoneMatch="*")
    tag = s3.head_object(Bucket=bucket, Key="python/lock")["ETag"]
    s3.put_object(Bucket=bucket, Key="python/lock", Body=b"2", IfMatch=tag)
    assert refused(ClientError, s3.put_object, Bucket=bucket, Key="python/lock", Body=b"3", IfMatch=tag)
    assert refused(ClientError, s3.delete_object, Bucket=bucket, Key="python/lock", IfMatch=tag)
    assert s3.get_object(Bucket=bucket, Key="python/lock")["Body"].read() == b"2"


if __name__ == "__main__":
    rust(sys.argv[1])
    python(sys.argv[1])
