"""Copies, parts and moves between classes: what shares bytes, what is sealed again, what stays in the end."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests.gateway.cloud import AnyBody, GatewayCloud, told

from holdfast.files.attributes import Attributes
from holdfast.files.records import Multipart, NewVersion, Part, Piece, Version
from holdfast.gateway import digests
from holdfast.gateway.body import BytesBody
from holdfast.gateway.wish import PutWish
from holdfast.world.errors import Failure, Refusal
from holdfast.world.simulated.chance import SimulatedChance

MB = 1 << 20
chance = SimulatedChance("contents")


async def multipart(cloud: GatewayCloud, key: str, contents: list[bytes], **changes: Any) -> Version:
    """A version of these parts."""
    upload = await cloud.multiparts.create(cloud.bucket, key, "small", Attributes())
    parts = [
        await cloud.gateway.put_part(upload, number, AnyBody(content), PutWish(**changes))
        for number, content in enumerate(contents, 1)
    ]
    return await complete(cloud, upload, parts)


async def complete(cloud: GatewayCloud, upload: Multipart, parts: list[Part]) -> Version:
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    etag = f"{hashlib.md5(joined).hexdigest()}-{len(parts)}"
    return await cloud.multiparts.complete(cloud.bucket, upload, parts, etag, Attributes())


def test_parts_are_read_in_order_as_one_whole_or_in_ranges() -> None:
    async def story(cloud: GatewayCloud) -> None:
        contents = [chance.bytes(size) for size in (5 * MB, 100, 3 * MB + 1, 70_000, 0, 2 * MB, 9)]
        version = await multipart(cloud, "many", contents)
        whole = b"".join(contents)
        assert (version.size, version.part_count) == (len(whole), len(contents))
        assert await cloud.get(version) == whole
        edges = [0]
        for content in contents:
            edges.append(edges[-1] + len(content))
        for start in edges[:-1]:
            for stop in (start, start + 1, edges[3] + 7, version.size - 3, version.size):
                if start <= stop <= version.size:
                    assert await cloud.get(version, start, stop) == whole[start:stop], (start, stop)

    told(story)


def test_a_part_carries_its_own_etag_and_checksum() -> None:
    async def story(cloud: GatewayCloud) -> None:
        upload = await cloud.multiparts.create(cloud.bucket, "key", "small", Attributes())
        for number, content in enumerate([chance.bytes(1000), chance.bytes(200_000)], 1):
            wish = PutWish(checksum="SHA256", expected={"MD5": hashlib.md5(content).hexdigest()})
            part = await cloud.gateway.put_part(upload, number, BytesBody(content), wish)
            sha = digests.base64_of(hashlib.sha256(content).digest())
            assert (part.number, part.etag, part.checksum_value, part.size) == (
                number,
                hashlib.md5(content).hexdigest(),
                sha,
                len(content),
            )
        assert await cloud.multiparts.all_parts(upload) == [
            *(await cloud.multiparts.parts(upload, 0, 1)),
            part,
        ]

    told(story)


@pytest.mark.parametrize("kind", ["empty", "small", "stream", "parts"])
def test_a_copy_outlives_its_source_in_another_tenants_bucket(kind: str) -> None:
    async def story(cloud: GatewayCloud) -> tuple[int, bool]:
        other = await cloud.cluster.rooms.people.create("another tenant")
        elsewhere = await cloud.buckets.create(other.tenant_id, "elsewhere", "small")
        content = chance.bytes({"empty": 0, "small": 1000, "stream": 2 * MB, "parts": 5 * MB + 9}[kind])
        if kind == "parts":
            source = await multipart(cloud, "source", [content[: 5 * MB], content[5 * MB :]])
        else:
            source = await cloud.put("source", content)
        wish = PutWish(attributes=Attributes(metadata={"new": "words"}))
        copy = await cloud.gateway.copy(source, cloud.bucket, elsewhere, "copy", wish)
        assert copy.parsed.metadata == {"new": "words"}
        assert copy.parsed.checksum_value == digests.base64_of(digests.digest_of("CRC64NVME", content))
        assert copy.tenant == other.tenant_id
        shared = copy.stream == source.stream is not None
        await cloud.histories.delete(cloud.bucket, "source")
        await cloud.world_turns(200)
        assert await cloud.get(copy) == content
        await cloud.histories.delete(elsewhere, "copy")
        await cloud.world_turns(200)
        return await cloud.shards(), shared

    # A small last part makes the copy of parts one that is sealed again.
    assert told(story) == (0, kind == "stream")


def test_a_copy_of_large_parts_refers_to_all_of_them() -> None:
    async def story(cloud: GatewayCloud) -> None:
        contents = [chance.bytes(5 * MB), chance.bytes(80_000)]
        source = await multipart(cloud, "source", contents)
        pieces = await cloud.histories.pieces(source)
        copy = await cloud.gateway.copy(source, cloud.bucket, cloud.bucket, "copy", PutWish())
        assert [piece.stream for piece in await cloud.histories.pieces(copy)] == [
            piece.stream for piece in pieces
        ]
        assert copy.etag == source.etag
        await cloud.histories.delete(cloud.bucket, "source")
        await cloud.world_turns(200)
        assert await cloud.get(copy) == b"".join(contents)
        again = await cloud.gateway.copy(copy, cloud.bucket, cloud.bucket, "copy", PutWish())
        assert await cloud.get(again, 5 * MB - 5, 5 * MB + 5) == contents[0][-5:] + contents[1][:5]

    told(story)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"storage_class": "tiny"}, "another redundancy"),
        ({"customer_key": bytes(32)}, "a customer's key"),
        ({"checksum": "SHA256"}, "a digest that nobody knows yet"),
    ],
)
def test_what_cannot_be_shared_is_sealed_again(changes: dict[str, Any], why: str) -> None:
    async def story(cloud: GatewayCloud) -> None:
        content = chance.bytes(MB)
        source = await cloud.put("source", content)
        copy = await cloud.gateway.copy(source, cloud.bucket, cloud.bucket, "copy", PutWish(**changes))
        assert copy.stream != source.stream, why
        assert copy.etag == source.etag
        assert await cloud.get(copy, customer_key=changes.get("customer_key")) == content
        if "checksum" in changes:
            assert copy.parsed.checksum_value == digests.base64_of(hashlib.sha256(content).digest())

    told(story)


def test_a_part_is_copied_whole_without_moving_or_as_a_range() -> None:
    async def story(cloud: GatewayCloud) -> None:
        content = chance.bytes(6 * MB)
        source = await cloud.put("source", content)
        upload = await cloud.multiparts.create(cloud.bucket, "made", "small", Attributes())
        gateway = cloud.gateway
        whole = await gateway.copy_part(upload, 1, source, 0, source.size, PutWish())
        assert (whole.stream, whole.etag) == (source.stream, source.etag)
        ranged = await gateway.copy_part(upload, 2, source, 5, MB, PutWish())
        assert ranged.stream not in {None, source.stream}
        small = await gateway.copy_part(upload, 3, source, 7, 19, PutWish())
        assert small.small is not None
        await cloud.histories.delete(cloud.bucket, "source")
        await cloud.world_turns(200)
        made = await complete(cloud, upload, [whole, ranged, small])
        assert await cloud.get(made) == content + content[5:MB] + content[7:19]

    told(story)


@pytest.mark.parametrize("kind", ["small", "stream", "parts"])
def test_a_version_moves_to_another_class_and_shows_the_same(kind: str) -> None:
    async def story(cloud: GatewayCloud) -> int:
        content = chance.bytes({"small": 1000, "stream": 2 * MB, "parts": 5 * MB + 9}[kind])
        if kind == "parts":
            before = await multipart(cloud, "key", [content[: 5 * MB], content[5 * MB :]])
        else:
            before = await cloud.put("key", content, attributes=Attributes(metadata={"a": "b"}))
        after = await cloud.gateway.rewrite(before, "tiny")
        assert after == await cloud.histories.find(cloud.bucket, "key")
        assert (after.storage_class, after.k, after.n) == ("tiny", 4, 6)
        kept = ("version_id", "etag", "size", "attributes", "created", "modified", "state", "sequence")
        assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
        assert await cloud.get(after) == content
        # Read while it was moved, it would have been moved in vain.
        with pytest.raises(Failure) as failed:
            await cloud.gateway.rewrite(before, "replicated")
        told_of = {"small": "object.unknown", "stream": "precondition.conflict", "parts": "database.busy"}
        assert failed.value.code == told_of[kind]
        return await cloud.shards()

    assert told(story) == (0 if kind == "small" else 6)


@pytest.mark.parametrize("kind", ["stream", "parts"])
def test_a_copy_of_what_is_moved_meanwhile_is_of_where_it_is_now(kind: str) -> None:
    async def story(cloud: GatewayCloud) -> int:
        content = chance.bytes({"stream": 2 * MB, "parts": 5 * MB + 90_000}[kind])
        if kind == "parts":
            seen = await multipart(cloud, "key", [content[: 5 * MB], content[5 * MB :]])
        else:
            seen = await cloud.put("key", content)
        upload = await cloud.multiparts.create(cloud.bucket, "made of parts", "small", Attributes())
        spans = [await cloud.gateway.places.spans(seen, 0, seen.size)]
        await cloud.gateway.rewrite(seen, "tiny")
        if kind == "parts":
            # Seen together with its pieces, before they went.
            streams = [span.content.stream for span in spans[0]]
            copied = NewVersion(
                seen.content, Attributes(), "e", copied_from=seen.id,
                pieces=[Piece(0, n, 0, "", "", *span.content) for n, span in enumerate(spans[0], 1)],
            )  # fmt: skip
            assert len(streams) == 2
            with pytest.raises(Refusal) as refused:
                await cloud.histories.add(cloud.bucket, "copy", copied)
            assert (refused.value.code, refused.value.facts["moved"]) == ("precondition.conflict", True)
            return 0
        copy = await cloud.gateway.copy(seen, cloud.bucket, cloud.bucket, "copy", PutWish())
        part = await cloud.gateway.copy_part(upload, 1, seen, 0, seen.size, PutWish())
        made = await complete(cloud, upload, [part])
        await cloud.world_turns(200)
        assert await cloud.get(copy) == content
        assert await cloud.get(made) == content
        return 1

    told(story)


def test_what_no_gateway_can_open_stays_where_it_is() -> None:
    async def story(cloud: GatewayCloud) -> None:
        secret = await cloud.put("secret", chance.bytes(MB), customer_key=bytes(32), etag="opaque")
        assert await cloud.gateway.rewrite(secret, "tiny") == secret
        await cloud.cluster.session.put(chance.bytes(MB), "photos", "sealed")
        sealed = await cloud.histories.find(cloud.bucket, "sealed")
        assert await cloud.gateway.rewrite(sealed, "tiny") == sealed

    told(story)


@pytest.mark.parametrize("kind", ["small", "packed", "stream", "parts"])
def test_a_renamed_object_opens_under_its_new_name(kind: str) -> None:
    async def story(cloud: GatewayCloud) -> None:
        content = chance.bytes({"small": 1000, "packed": 1000, "stream": 200_000, "parts": 5 * MB + 9}[kind])
        if kind == "parts":
            await multipart(cloud, "before", [content[: 5 * MB], content[5 * MB :]])
        else:
            await cloud.put("before", content)
        if kind == "packed":
            await cloud.packing()
        await cloud.histories.rename(cloud.bucket, "before", "after")
        renamed = await cloud.histories.find(cloud.bucket, "after")
        assert await cloud.get(renamed) == content
        await cloud.histories.rename(cloud.bucket, "after", "at last")
        last = await cloud.histories.find(cloud.bucket, "at last")
        assert await cloud.get(last) == content
        copy = await cloud.gateway.copy(last, cloud.bucket, cloud.bucket, "copy", PutWish())
        assert await cloud.get(copy) == content

    told(story)
