"""The public access block of a bucket: four switches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import done, expect, gone, leaf, save, sent, shown, truth
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import truth as truth_element
from holdfast.files.bucket_settings import PublicAccessBlock

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response


def read_block(root: Node) -> PublicAccessBlock:
    """A `<PublicAccessBlockConfiguration>`; switches that are not named are off."""
    expect(root, one="BlockPublicAcls IgnorePublicAcls BlockPublicPolicy RestrictPublicBuckets")
    return PublicAccessBlock(
        block_acls=bool(truth(leaf(root, "BlockPublicAcls"))),
        ignore_acls=bool(truth(leaf(root, "IgnorePublicAcls"))),
        block_policy=bool(truth(leaf(root, "BlockPublicPolicy"))),
        restrict=bool(truth(leaf(root, "RestrictPublicBuckets"))),
    )


async def get_public_access_block(_door: Door, request: S3Request) -> S3Response:
    """GET ?publicAccessBlock."""
    request.access.demand("s3:GetBucketPublicAccessBlock")
    block = request.bucket.parsed.public_access_block
    if block is None:
        raise S3Error("NoSuchPublicAccessBlockConfiguration", BucketName=request.bucket.name)
    return shown(
        "PublicAccessBlockConfiguration",
        truth_element("BlockPublicAcls", block.block_acls),
        truth_element("IgnorePublicAcls", block.ignore_acls),
        truth_element("BlockPublicPolicy", block.block_policy),
        truth_element("RestrictPublicBuckets", block.restrict),
    )


async def put_public_access_block(door: Door, request: S3Request) -> S3Response:
    """PUT ?publicAccessBlock. What is public already stays set, and is judged by the new switches."""
    request.access.demand("s3:PutBucketPublicAccessBlock")
    block = read_block(await sent(request, "PublicAccessBlockConfiguration"))
    await save(door, request, public_access_block=block)
    return done()


async def delete_public_access_block(door: Door, request: S3Request) -> S3Response:
    """DELETE ?publicAccessBlock."""
    request.access.demand("s3:PutBucketPublicAccessBlock")
    if request.bucket.parsed.public_access_block is not None:
        await save(door, request, public_access_block=None)
    return gone()


HANDLERS: Final[dict[str, Handler]] = {
    "DeletePublicAccessBlock": delete_public_access_block,
    "GetPublicAccessBlock": get_public_access_block,
    "PutPublicAccessBlock": put_public_access_block,
}
