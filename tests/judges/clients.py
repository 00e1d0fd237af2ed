"""Programs that store and fetch objects, all with the same few verbs.

A job is (verb, key, file): put and get with a file, delete and list (the key is the prefix) without.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.judges.cloud import Account, Endpoint
from tests.judges.installed import PROGRAMS, program, python_of, run, succeed

Job = tuple[str, str, str]


class Outcome(NamedTuple):
    """Of one job: whether it went well, the keys of a list, and else the program's words."""

    well: bool
    keys: list[str]
    words: str


class Seat(NamedTuple):
    """Where a program works: the door, as whom, on what bucket, in what folder of this disk."""

    endpoint: Endpoint
    account: Account
    bucket: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return self.account.environment(self.endpoint)


Work = Callable[[Seat, Sequence[Job]], list[Outcome]]


def python_client(name: str, environment: str) -> Work:
    """A Python library: all jobs in one process."""

    def work(seat: Seat, jobs: Sequence[Job]) -> list[Outcome]:
        said = succeed(
            [python_of(environment), PROGRAMS / "object_jobs.py", name, seat.bucket],
            seat.environment,
            folder=seat.folder,
            stdin=json.dumps(jobs),
            seconds=300,
        )
        results = json.loads(said)
        assert len(results) == len(jobs), said
        return [
            Outcome(well, sorted(found) if well and found else [], "" if well else found)
            for well, found in results
        ]

    return work


def commands(
    command_of: Callable[[Seat, Job], list[str]], keys_of: Callable[[Seat, str], list[str]], **more: str
) -> Work:
    """A command line program: a process for each job. `keys_of` reads what its listing prints."""

    def work(seat: Seat, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes = []
        for job in jobs:
            ended = run(command_of(seat, job), {**seat.environment, **more}, folder=seat.folder)
            well = ended.status == 0
            keys = sorted(keys_of(seat, ended.out)) if well and job[0] == "list" else []
            outcomes.append(Outcome(well, keys, "" if well else ended.said))
        return outcomes

    return work


# --- AWS CLI --------------------------------------------------------------------------------------------


def _aws(seat: Seat, job: Job) -> list[str]:
    verb, key, file = job
    url = f"s3://{seat.bucket}/{key}"
    words = {
        "put": ["s3", "cp", "--no-progress", file, url],
        "get": ["s3", "cp", "--no-progress", url, file],
        "delete": ["s3", "rm", url],
        "list": ["s3api", "list-objects-v2", "--bucket", seat.bucket, "--prefix", key, "--output", "json"],
    }[verb]
    return [str(python_of("clients")), program("aws"), *words]


def _aws_keys(seat: Seat, out: str) -> list[str]:
    return [found["Key"] for found in json.loads(out or "{}").get("Contents", [])]


# --- rclone ---------------------------------------------------------------------------------------------


def rclone_settings(endpoint: Endpoint) -> dict[str, str]:
    """A remote named `holdfast`, by environment variables."""
    return {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_HOLDFAST_TYPE": "s3",
        "RCLONE_CONFIG_HOLDFAST_PROVIDER": "Other",
        "RCLONE_CONFIG_HOLDFAST_ENV_AUTH": "true",
        "RCLONE_CONFIG_HOLDFAST_ENDPOINT": endpoint.url,
        "RCLONE_CONFIG_HOLDFAST_REGION": endpoint.region,
        "RCLONE_S3_UPLOAD_CUTOFF": "6Mi",
        "RCLONE_S3_CHUNK_SIZE": "5Mi",
        **({"RCLONE_CA_CERT": str(endpoint.ca)} if endpoint.ca else {}),
    }


def _rclone(seat: Seat, job: Job) -> list[str]:
    verb, key, file = job
    path = f"holdfast:{seat.bucket}/{key}"
    return [
        program("rclone"),
        "--retries=1",
        *{
            "put": ["copyto", file, path],
            "get": ["copyto", path, file],
            "delete": ["deletefile", path],
            "list": ["lsjson", "-R", "--files-only", path.rstrip("/")],
        }[verb],
    ]


def _rclone_work(seat: Seat, jobs: Sequence[Job]) -> list[Outcome]:
    outcomes = []
    for job in jobs:
        ended = run(
            _rclone(seat, job), {**seat.environment, **rclone_settings(seat.endpoint)}, folder=seat.folder
        )
        well = ended.status == 0
        listed = json.loads(ended.out) if well and job[0] == "list" else []
        prefix = f"{job[1].rstrip('/')}/" if job[1] else ""
        outcomes.append(
            Outcome(well, sorted(f"{prefix}{found['Path']}" for found in listed), "" if well else ended.said)
        )
    return outcomes


# --- s5cmd ----------------------------------------------------------------------------------------------


def _s5cmd(seat: Seat, job: Job) -> list[str]:
    verb, key, file = job
    url = f"s3://{seat.bucket}/{key}"
    return [
        program("s5cmd"),
        "--json",
        "--endpoint-url",
        seat.endpoint.url,
        *{
            "put": ["cp", "--raw", "--part-size", "5", file, url],
            "get": ["cp", "--raw", url, file],
            "delete": ["rm", "--raw", url],
            "list": ["ls", f"{url}*"],
        }[verb],
    ]


def _s5cmd_keys(seat: Seat, out: str) -> list[str]:
    found = [json.loads(line)["key"] for line in out.splitlines() if line.strip()]
    return [key.removeprefix(f"s3://{seat.bucket}/") for key in found]


# --- s3cmd ----------------------------------------------------------------------------------------------


def s3cmd_words(endpoint: Endpoint, account: Account) -> list[str]:
    """The command and the options that it takes from no environment variable."""
    return [
        str(python_of("clients")),
        program("s3cmd"),
        "--no-progress",
        "--config=/dev/null",
        f"--host={endpoint.address}",
        f"--host-bucket={endpoint.address}",
        f"--region={endpoint.region}",
        f"--access_key={account.access_key}",
        f"--secret_key={account.secret_key}",
        *(["--ssl", f"--ca-certs={endpoint.ca}"] if endpoint.ca else ["--no-ssl"]),
    ]


def _s3cmd(seat: Seat, job: Job) -> list[str]:
    verb, key, file = job
    url = f"s3://{seat.bucket}/{key}"
    return (
        s3cmd_words(seat.endpoint, seat.account)
        + {
            "put": ["put", "--multipart-chunk-size-mb=5", file, url],
            "get": ["get", "--force", url, file],
            "delete": ["del", url],
            "list": ["ls", "--recursive", url],
        }[verb]
    )


def _s3cmd_keys(seat: Seat, out: str) -> list[str]:
    mark = f"s3://{seat.bucket}/"
    return [line.partition(mark)[2] for line in out.splitlines() if mark in line]


CLIENTS: Final[dict[str, Work]] = {
    "aws": commands(_aws, _aws_keys),
    "boto3": python_client("boto3", "clients"),
    "minio": python_client("minio", "clients"),
    "obstore": python_client("obstore", "clients"),
    "opendal": python_client("opendal", "clients"),
    "pyarrow": python_client("pyarrow", "clients"),
    "rclone": _rclone_work,
    "s3cmd": commands(_s3cmd, _s3cmd_keys),
    "s3fs": python_client("s3fs", "s3fs"),
    "s5cmd": commands(_s5cmd, _s5cmd_keys),
}
