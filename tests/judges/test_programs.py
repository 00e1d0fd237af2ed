"""Programs that people point at S3, each doing what it is for."""

from __future__ import annotations

import json
import os
import random
import time
import urllib.request
from pathlib import Path

import pytest
from tests.judges.clients import rclone_settings, s3cmd_words
from tests.judges.cloud import Account, Endpoint
from tests.judges.expected import compare
from tests.judges.installed import PROGRAMS, program, python_of, run, succeed
from tests.judges.wire import Wire

MIB = 1 << 20
AN_HOUR_AGO = time.time() - 3600


CONFIG = """
[default]
s3 =
  preferred_transfer_client = {transfers}
  multipart_threshold = 8MB
  signature_version = s3v4
"""
"""Of the AWS CLI. It presigns by version 2 where it is not told."""


class Desk:
    """A program's place of work: a bucket, a folder, a tree of files in it."""

    def __init__(self, name: str, endpoint: Endpoint, account: Account, folder: Path) -> None:
        self.endpoint, self.account, self.folder = endpoint, account, folder
        self.environment = account.environment(endpoint)
        self.wire = Wire(endpoint, account)
        self.bucket = name
        assert self.wire.ask("PUT", f"/{name}").status == 200
        self.tree = folder / "tree"
        chance = random.Random(7)
        for path, size in (
            ("read me.txt", 100),
            ("empty", 0),
            ("a/b/c.bin", 70_000),
            ("a/b/d&e=f+g%h.bin", 5000),
            ("a/large.bin", 12 * MIB + 3),
            *((f"many/{number:03}", number) for number in range(60)),
        ):
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / path).write_bytes(chance.randbytes(size))
            # S3 tells times in whole seconds: what is younger looks newer than its copy, and is copied again.
            os.utime(self.tree / path, (AN_HOUR_AGO, AN_HOUR_AGO))

    def succeed(self, *command: str | Path, seconds: float = 120, **more: str) -> str:
        """What the command printed; it must end well."""
        return succeed(command, {**self.environment, **more}, folder=self.folder, seconds=seconds)

    def files(self, root: Path | None = None) -> dict[str, bytes]:
        """Contents by path below `root`, the tree by default."""
        top = root or self.tree
        return {
            str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()
        }


@pytest.fixture
def desk(
    request: pytest.FixtureRequest, endpoint: Endpoint, account: Account, this_run: str, tmp_path: Path
) -> Desk:
    """A bucket and a folder of the test's own."""
    name = request.function.__name__.removeprefix("test_").replace("_", "-")
    return Desk(f"{name}-{endpoint.scheme}-{this_run}"[:63], endpoint, account, tmp_path)


@pytest.mark.parametrize("transfers", ["classic", "crt"])
def test_aws_syncs_a_tree(desk: Desk, transfers: str) -> None:
    config = desk.folder / "config"
    config.write_text(CONFIG.format(transfers=transfers))
    url = f"s3://{desk.bucket}/{transfers}"

    def aws(*words: str | Path) -> str:
        return desk.succeed(python_of("clients"), program("aws"), *words, AWS_CONFIG_FILE=str(config))

    aws("s3", "sync", "--no-progress", desk.tree, url)
    assert aws("s3", "sync", "--no-progress", desk.tree, url) == "", "nothing is left to do"
    back = desk.folder / "back"
    aws("s3", "sync", "--no-progress", url, back)
    assert desk.files(back) == desk.files()
    (desk.tree / "empty").unlink()
    aws("s3", "sync", "--no-progress", "--delete", desk.tree, url)
    aws("s3", "mv", "--no-progress", f"{url}/a/large.bin", f"{url}/moved.bin")
    shown = aws("s3", "ls", "--recursive", f"{url}/")
    assert "moved.bin" in shown
    assert "/empty" not in shown
    assert "a/large.bin" not in shown
    link = aws("s3", "presign", f"{url}/read me.txt").strip()
    if desk.endpoint.ca is None:
        with urllib.request.urlopen(link) as answer:
            assert answer.read() == (desk.tree / "read me.txt").read_bytes()
    aws("s3", "rm", "--recursive", url)
    assert aws("s3", "ls", f"s3://{desk.bucket}") == ""


def test_aws_knows_every_setting_of_a_bucket(desk: Desk) -> None:
    def api(operation: str, *words: str) -> dict[str, object]:
        said = desk.succeed(
            python_of("clients"), program("aws"), "s3api", operation, "--bucket", desk.bucket, *words
        )
        return json.loads(said) if said.strip() else {}

    tags = {"TagSet": [{"Key": "team", "Value": "kelp"}]}
    api("put-bucket-tagging", "--tagging", json.dumps(tags))
    assert api("get-bucket-tagging") == tags
    api("put-bucket-versioning", "--versioning-configuration", "Status=Enabled")
    assert api("get-bucket-versioning") == {"Status": "Enabled"}
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}
    api("put-bucket-lifecycle-configuration", "--lifecycle-configuration", json.dumps({"Rules": [rule]}))
    assert api("get-bucket-lifecycle-configuration")["Rules"] == [rule]
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"]}]}
    api("put-bucket-cors", "--cors-configuration", json.dumps(cors))
    assert api("get-bucket-cors") == cors
    assert api("get-bucket-location") == {"LocationConstraint": None}
    api(
        "put-object", "--key", "k", "--body", str(desk.tree / "read me.txt"), "--checksum-algorithm", "SHA256"
    )
    attributes = api("get-object-attributes", "--key", "k", "--object-attributes", "ObjectSize", "Checksum")
    assert attributes["ObjectSize"] == 100
    api("delete-object", "--key", "k")
    versions = api("list-object-versions")
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (1, 1)


def test_rclone_copies_syncs_and_checks(desk: Desk) -> None:
    settings = rclone_settings(desk.endpoint)
    place = f"holdfast:{desk.bucket}/tree"

    def rclone(*words: str | Path) -> str:
        return desk.succeed(program("rclone"), "--retries=1", *words, **settings)

    rclone("copy", desk.tree, place)
    rclone("check", desk.tree, place)
    rclone("check", "--download", desk.tree, place)
    (desk.tree / "a" / "b" / "c.bin").unlink()
    (desk.tree / "new").write_text("new")
    rclone("sync", desk.tree, place)
    rclone("check", desk.tree, place)
    rclone("copy", place, f"holdfast:{desk.bucket}/again")
    rclone("check", place, f"holdfast:{desk.bucket}/again")
    rclone("sync", f"holdfast:{desk.bucket}/again", desk.folder / "back")
    assert desk.files(desk.folder / "back") == desk.files()
    assert json.loads(rclone("size", "--json", place))["count"] == len(desk.files())
    rclone("purge", f"holdfast:{desk.bucket}")
    assert desk.wire.ask("HEAD", f"/{desk.bucket}").status == 404


def test_rclone_finds_nothing_that_it_must_not_do(desk: Desk) -> None:
    said = desk.succeed(
        program("rclone"),
        "test",
        "info",
        "--check-control",
        "--check-normalization",
        "--check-streaming",
        "--write-json",
        desk.folder / "found.json",
        f"holdfast:{desk.bucket}/info",
        **rclone_settings(desk.endpoint),
    )
    found = json.loads((desk.folder / "found.json").read_text())
    assert found["CanStream"], said
    assert found["CanReadUnnormalized"], said
    assert found["CanWriteUnnormalized"], said
    refused = {name for name, result in (found["ControlCharacters"] or {}).items() if result["WriteError"]}
    assert refused == set(), said


def test_s5cmd_copies_with_wildcards(desk: Desk) -> None:
    def s5cmd(*words: str | Path) -> str:
        return desk.succeed(program("s5cmd"), "--endpoint-url", desk.endpoint.url, *words)

    url = f"s3://{desk.bucket}"
    s5cmd("cp", "--part-size", "5", f"{desk.tree}/", f"{url}/tree/")
    s5cmd("cp", f"{url}/tree/*", f"{desk.folder}/back/")
    assert desk.files(desk.folder / "back") == desk.files()
    assert s5cmd("sync", f"{desk.tree}/", f"{url}/tree/") == ""
    s5cmd("cp", f"{url}/tree/many/*", f"{url}/copies/")
    assert len(s5cmd("ls", f"{url}/copies/").splitlines()) == 60
    assert s5cmd("cat", f"{url}/tree/read me.txt") is not None
    s5cmd("rm", f"{url}/*")
    assert list(desk.wire.keys(desk.bucket)) == []


def test_s3cmd_syncs_and_knows_what_it_stored(desk: Desk) -> None:
    words = s3cmd_words(desk.endpoint, desk.account)

    def s3cmd(*more: str | Path) -> str:
        return desk.succeed(*words, *more)

    url = f"s3://{desk.bucket}"
    s3cmd("sync", "--multipart-chunk-size-mb=5", f"{desk.tree}/", f"{url}/tree/")
    s3cmd("sync", f"{url}/tree/", f"{desk.folder}/back/")
    assert desk.files(desk.folder / "back") == desk.files()
    s3cmd("cp", f"{url}/tree/a/large.bin", f"{url}/copy.bin")
    assert "12582915" in s3cmd("info", f"{url}/copy.bin")
    s3cmd("setacl", "--acl-public", f"{url}/copy.bin")
    assert "READ" in s3cmd("info", f"{url}/copy.bin")
    s3cmd("modify", "--add-header=x-amz-meta-colour:brown", f"{url}/copy.bin")
    assert "brown" in s3cmd("info", f"{url}/copy.bin")
    assert f"{url}/copy.bin" in s3cmd("ls", url)
    assert s3cmd("du", url)
    s3cmd("del", "--recursive", "--force", url)
    s3cmd("rb", url)


def test_restic_backs_up_checks_and_restores(desk: Desk) -> None:
    where = {"RESTIC_REPOSITORY": f"s3:{desk.endpoint.url}/{desk.bucket}/backups", "RESTIC_PASSWORD": "kelp"}
    trust = ["--cacert", str(desk.endpoint.ca)] if desk.endpoint.ca else []

    def restic(*words: str | Path) -> str:
        return desk.succeed(program("restic"), "--no-cache", *trust, *words, **where)

    restic("init")
    restic("backup", "tree")
    (desk.tree / "later").write_text("second backup")
    restic("backup", "tree")
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target", "back")
    assert desk.files(desk.folder / "back" / "tree") == desk.files()
    restic("forget", "--keep-last", "1", "--prune")
    assert len(json.loads(restic("snapshots", "--json"))) == 1
    assert "no errors were found" in restic("check", "--read-data")


def test_juicefs_finds_its_object_store(desk: Desk) -> None:
    ended = run(
        [
            program("juicefs"),
            "objbench",
            "--storage=s3",
            f"--access-key={desk.account.access_key}",
            f"--secret-key={desk.account.secret_key}",
            "--skip-functional-tests=false",
            "--big-object-size=16",
            "--small-objects=20",
            "--block-size=4096",
            "--threads=2",
            f"{desk.endpoint.url}/{desk.bucket}",
        ],
        desk.environment,
        folder=desk.folder,
        seconds=180,
    )
    assert ended.status == 0, ended.said
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in ended.out.splitlines() if "|" in line]
    told = {f"{kind} {test}": result for kind, test, result in rows if kind in {"basic", "sync"}}
    passed = {name for name, result in told.items() if result == "pass"}
    assert len(passed) > 10, ended.said
    assert compare("juicefs", passed, {name: told[name] for name in set(told) - passed}) == []


@pytest.mark.parametrize(
    ("library", "environment"), [("pandas", "s3fs"), ("pyarrow", "clients"), ("duckdb", "clients")]
)
def test_tables_are_written_and_read_back(desk: Desk, library: str, environment: str) -> None:
    desk.succeed(python_of(environment), PROGRAMS / "tables.py", library, desk.bucket)


def test_rust_and_python_locks_hold(desk: Desk) -> None:
    desk.succeed(python_of("clients"), PROGRAMS / "locks.py", desk.bucket)
