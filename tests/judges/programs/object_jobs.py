"""Objects there and back through one Python client: `object_jobs.py CLIENT BUCKET <jobs.json >results.json`.

A job is [verb, key, file]: put and get with a file, delete and list (key is the prefix) without. A result is
[true, keys or null] or [false, the client's words]. Endpoint and keys come from AWS's variables.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
ACCESS_KEY = os.environ["AWS_ACCESS_KEY_ID"]
SECRET_KEY = os.environ["AWS_SECRET_ACCESS_KEY"]
REGION = os.environ["AWS_REGION"]
CA = os.environ.get("AWS_CA_BUNDLE")
SECURE = ENDPOINT.startswith("https:")


class Boto3:
    def __init__(self, bucket: str) -> None:
        import boto3

        self.bucket = bucket
        self.s3 = boto3.client("s3")

    def put(self, key: str, file: str) -> None:
        self.s3.upload_file(file, self.bucket, key)

    def get(self, key: str, file: str) -> None:
        self.s3.download_file(self.bucket, key, file)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def list(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]


class Minio:
    def __init__(self, bucket: str) -> None:
        import minio
        import urllib3

        pool = urllib3.PoolManager(ca_certs=CA) if CA else None
        address = urlsplit(ENDPOINT).netloc
        self.bucket = bucket
        self.client = minio.Minio(
            address, ACCESS_KEY, SECRET_KEY, secure=SECURE, region=REGION, http_client=pool
        )

    def put(self, key: str, file: str) -> None:
        self.client.fput_object(self.bucket, key, file, part_size=5 << 20)

    def get(self, key: str, file: str) -> None:
        self.client.fget_object(self.bucket, key, file)

    def delete(self, key: str) -> None:
        self.client.remove_object(self.bucket, key)

    def list(self, prefix: str) -> list[str]:
        return [
            found.object_name
            for found in self.client.list_objects(self.bucket, prefix=prefix, recursive=True)
        ]


class Obstore:
    def __init__(self, bucket: str) -> None:
        import obstore
        from obstore.store import S3Store

        self.obstore = obstore
        self.store = S3Store(
            bucket,
            endpoint=ENDPOINT,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region=REGION,
            virtual_hosted_style_request=False,
            client_options={
                "allow_http": not SECURE,
                **({"root_certificate": Path(CA).read_text()} if CA else {}),
            },
        )

    def put(self, key: str, file: str) -> None:
        self.obstore.put(self.store, key, Path(file), chunk_size=5 << 20)

    def get(self, key: str, file: str) -> None:
        with Path(file).open("wb") as out:
            out.writelines(self.obstore.get(self.store, key))

    def delete(self, key: str) -> None:
        self.obstore.delete(self.store, key)

    def list(self, prefix: str) -> list[str]:
        return [found["path"] for page in self.obstore.list(self.store, prefix or None) for found in page]


class Opendal:
    def __init__(self, bucket: str) -> None:
        import opendal

        self.operator = opendal.Operator(
            "s3",
            bucket=bucket,
            endpoint=ENDPOINT,
            region=REGION,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
        )

    def put(self, key: str, file: str) -> None:
        self.operator.write(key, Path(file).read_bytes(), chunk=5 << 20)

    def get(self, key: str, file: str) -> None:
        Path(file).write_bytes(self.operator.read(key))

    def delete(self, key: str) -> None:
        self.operator.delete(key)

    def list(self, prefix: str) -> list[str]:
        return [found.path for found in self.operator.scan(prefix)]


class Pyarrow:
    def __init__(self, bucket: str) -> None:
        from pyarrow import fs

        if CA:
            fs.initialize_s3(fs.S3LogLevel.Fatal)
        self.bucket = bucket
        self.files = fs.S3FileSystem(
            endpoint_override=urlsplit(ENDPOINT).netloc,
            scheme="https" if SECURE else "http",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            region=REGION,
            **({"tls_ca_file_path": CA} if CA else {}),
        )
        self.selector = fs.FileSelector

    def put(self, key: str, file: str) -> None:
        with Path(file).open("rb") as source, self.files.open_output_stream(f"{self.bucket}/{key}") as out:
            shutil.copyfileobj(source, out, 1 << 20)

    def get(self, key: str, file: str) -> None:
        with self.files.open_input_stream(f"{self.bucket}/{key}") as source, Path(file).open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)

    def delete(self, key: str) -> None:
        self.files.delete_file(f"{self.bucket}/{key}")

    def list(self, prefix: str) -> list[str]:
        found = self.files.get_file_info(self.selector(f"{self.bucket}/{prefix.rstrip('/')}", recursive=True))
        return [one.path.partition("/")[2] for one in found if one.is_file]


class S3fs:
    def __init__(self, bucket: str) -> None:
        import s3fs

        self.bucket = bucket
        self.files = s3fs.S3FileSystem(use_listings_cache=False)

    def put(self, key: str, file: str) -> None:
        self.files.put_file(file, f"{self.bucket}/{key}", chunksize=6 << 20)

    def get(self, key: str, file: str) -> None:
        self.files.get_file(f"{self.bucket}/{key}", file)

    def delete(self, key: str) -> None:
        self.files.rm_file(f"{self.bucket}/{key}")

    def list(self, prefix: str) -> list[str]:
        return [path.partition("/")[2] for path in self.files.find(f"{self.bucket}/{prefix}")]


CLIENTS = {
    "boto3": Boto3,
    "minio": Minio,
    "obstore": Obstore,
    "opendal": Opendal,
    "pyarrow": Pyarrow,
    "s3fs": S3fs,
}


def main(name: str, bucket: str) -> None:
    client = CLIENTS[name](bucket)
    results = []
    for verb, key, file in json.load(sys.stdin):
        try:
            done = getattr(client, verb)(*([key, file] if verb in {"put", "get"} else [key]))
            results.append([True, done])
        except BaseException as error:  # noqa: BLE001 - Rust clients raise panics that are no Exception
            results.append([False, f"{type(error).__name__}: {error}"[:500]])
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
