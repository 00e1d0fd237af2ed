"""Bodies in AWS's chunks and browser forms, broken in every way: stored as they were meant, or refused."""

from __future__ import annotations

import hmac
import json
import zlib
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.doors.s3.program import S3Cloud, s3_story
from tests.doors.s3.raw_requests import Raw, Said, ask, judge, parted, signed

from holdfast.doors.s3.failures import KINDS
from holdfast.protocol import sigv4
from holdfast.tenants.keys import NewAccessKey

pytestmark = pytest.mark.slow

STORIES = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
CUTS = st.lists(st.integers(0, 100_000), max_size=5)
CONTENT = st.binary(min_size=1, max_size=80) | st.integers(1, 200_000).map(
    lambda size: b"kelp" * (size // 4 + 1)
)
FRAMES = st.lists(st.integers(1, 70_000), min_size=1, max_size=5)
EDITS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 3), st.binary(max_size=4)), max_size=3)


def framed(content: bytes, sizes: list[int], *, newline: bytes = b"\n") -> bytes:
    """The content in unsigned chunks, with its CRC32 behind them."""
    frames, at, turn = [], 0, 0
    while at < len(content):
        piece = content[at : at + sizes[turn % len(sizes)]]
        frames.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        at, turn = at + len(piece), turn + 1
    crc = b64encode(zlib.crc32(content).to_bytes(4, "big"))
    return b"".join(frames) + b"0\r\nx-amz-checksum-crc32:" + crc + b"\r" + newline + b"\r\n"


def edited(body: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """The body with a few pieces of it cut out or put in."""
    changed = bytearray(body)
    for place, taken, put in edits:
        at = place % (len(changed) + 1)
        changed[at : at + taken] = put
    return bytes(changed)


async def upload(cloud: S3Cloud, key: NewAccessKey, content: bytes, body: bytes, cuts: list[int]) -> Said:
    headers = (
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", str(len(content))),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-length", str(len(body))),
    )
    raw = Raw("PUT", "/photos/framed", "", headers, parted(body, cuts))
    raw = signed(raw, key, cloud.door.clock.now(), "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    said = await ask(cloud.application, raw)
    judge(raw, said, KINDS)
    return said


@given(st.lists(st.tuples(CONTENT, FRAMES, CUTS, EDITS), min_size=12, max_size=12))
@STORIES
def test_a_chunked_body_is_stored_whole_or_refused(
    drawn: list[tuple[bytes, list[int], list[int], list[tuple[int, int, bytes]]]],
) -> None:
    async def story(cloud: S3Cloud) -> None:
        key = await cloud.cluster.rooms.keys.create_access_key(cloud.cluster.tenant_id)
        for content, sizes, cuts, edits in drawn:
            good = framed(content, sizes)
            body = edited(good, edits)
            said = await upload(cloud, key, content, body, cuts)
            if body == good:
                assert said.status == 200, said
            if said.status == 200:
                fetched = signed(Raw("GET", "/photos/framed"), key, cloud.door.clock.now())
                assert (await ask(cloud.application, fetched)).body == content

    s3_story(story)


def form(key: NewAccessKey, now: int, content: bytes, extra: dict[str, str]) -> bytes:
    """A browser's upload with a signed policy."""
    moment = datetime.fromtimestamp(now / 1e6, UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    credential = f"{key.access_key}/{day}/us-east-1/s3/aws4_request"
    fields = {
        "key": "formed",
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": credential,
        "x-amz-date": stamp,
        **extra,
    }
    conditions = [{"bucket": "photos"}, ["starts-with", "$key", ""], ["content-length-range", 0, 1 << 20]]
    conditions += [[("starts-with"), f"${name}", ""] for name in fields if name != "key"]
    expiration = f"{moment.year + 1}-01-01T00:00:00.000Z"
    policy = b64encode(json.dumps({"expiration": expiration, "conditions": conditions}).encode()).decode()
    signing = sigv4.signing_key(key.secret, day, "us-east-1", "s3")
    fields |= {"policy": policy, "x-amz-signature": hmac.new(signing, policy.encode(), "sha256").hexdigest()}
    parts = [
        f'--kelp\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = b'--kelp\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
    return b"".join(parts) + head + b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n--kelp--\r\n"


EXTRAS = st.dictionaries(
    st.sampled_from(("Content-Type", "acl", "success_action_status", "x-amz-meta-a", "tagging")),
    st.sampled_from(("text/plain", "private", "201", "", "<Tagging/>", "\xe9")),
    max_size=2,
)


@given(st.lists(st.tuples(CONTENT, CUTS, EDITS, EXTRAS), min_size=12, max_size=12))
@STORIES
def test_a_browser_form_is_stored_whole_or_refused(
    drawn: list[tuple[bytes, list[int], list[tuple[int, int, bytes]], dict[str, str]]],
) -> None:
    async def story(cloud: S3Cloud) -> None:
        key = await cloud.cluster.rooms.keys.create_access_key(cloud.cluster.tenant_id)
        for content, cuts, edits, extra in drawn:
            good = form(key, cloud.door.clock.now(), content, extra)
            body = edited(good, edits)
            headers = (
                ("content-type", "multipart/form-data; boundary=kelp"),
                ("content-length", str(len(body))),
            )
            raw = Raw("POST", "/photos", "", headers, parted(body, cuts))
            said = await ask(cloud.application, raw)
            judge(raw, said, KINDS)
            if body == good and not extra:
                assert said.status == 204, said
                fetched = signed(Raw("GET", "/photos/formed"), key, cloud.door.clock.now())
                assert (await ask(cloud.application, fetched)).body == content

    s3_story(story)
