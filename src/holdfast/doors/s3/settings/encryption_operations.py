"""The default encryption of a bucket's new objects. There always is one: without a setting it is AES256."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import (
    choice,
    done,
    expect,
    gone,
    invalid,
    leaf,
    malformed,
    need_leaf,
    save,
    sent,
    shown,
    truth,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group, optional
from holdfast.doors.s3.wire.xml_writing import truth as truth_element
from holdfast.files.bucket_settings import Encryption

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response

Algorithm = Literal["AES256", "aws:kms", "aws:kms:dsse"]

ALGORITHMS: Final = ("AES256", "aws:kms", "aws:kms:dsse")
KEY_ID_LENGTH_MAX: Final = 2048
WITHOUT_SETTING: Final = Encryption(algorithm="AES256")


def read_encryption(root: Node) -> Encryption:
    """A `<ServerSideEncryptionConfiguration>`; raises S3Error MalformedXML, InvalidArgument."""
    expect(root, many="Rule")
    if len(root.children) != 1:
        malformed()
    rule = root.children[0]
    expect(rule, one="ApplyServerSideEncryptionByDefault BucketKeyEnabled BlockedEncryptionTypes")
    _check_blocked(rule.find("BlockedEncryptionTypes"))
    bucket_key = truth(leaf(rule, "BucketKeyEnabled"))
    default = rule.need("ApplyServerSideEncryptionByDefault")
    expect(default, one="SSEAlgorithm KMSMasterKeyID")
    algorithm = choice(need_leaf(default, "SSEAlgorithm"), *ALGORITHMS)
    key_id = leaf(default, "KMSMasterKeyID")
    if key_id is not None:
        _check_key_id(algorithm, key_id)
    return Encryption(
        algorithm=cast("Algorithm", algorithm),
        kms_key_id=key_id or "",
        bucket_key=bool(bucket_key),
        bucket_key_given=bucket_key is not None,
    )


def _check_key_id(algorithm: str, key_id: str) -> None:
    if algorithm == "AES256":
        invalid(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
            "KMSMasterKeyID",
            key_id[:200],
        )
    if not key_id or len(key_id) > KEY_ID_LENGTH_MAX or not key_id.isprintable():
        invalid("The KMSMasterKeyID is not well formed.", "KMSMasterKeyID", key_id[:200])


def _check_blocked(node: Node | None) -> None:
    """Writers cannot be kept here from bringing keys of their own: only NONE may be blocked."""
    if node is None:
        return
    expect(node, many="EncryptionType")
    for each in node.children:
        if choice(each.text, "NONE", "SSE-C") == "SSE-C":
            raise S3Error("NotImplemented")


def encryption_elements(setting: Encryption) -> str:
    """`<Rule>`."""
    default = group(
        "ApplyServerSideEncryptionByDefault",
        element("SSEAlgorithm", setting.algorithm),
        optional("KMSMasterKeyID", setting.kms_key_id),
    )
    return group("Rule", default, truth_element("BucketKeyEnabled", setting.bucket_key))


async def get_bucket_encryption(_door: Door, request: S3Request) -> S3Response:
    """GET ?encryption."""
    setting = request.bucket.parsed.encryption or WITHOUT_SETTING
    return shown("ServerSideEncryptionConfiguration", encryption_elements(setting))


async def put_bucket_encryption(door: Door, request: S3Request) -> S3Response:
    """PUT ?encryption."""
    setting = read_encryption(await sent(request, "ServerSideEncryptionConfiguration"))
    await save(door, request, encryption=setting)
    return done()


async def delete_bucket_encryption(door: Door, request: S3Request) -> S3Response:
    """DELETE ?encryption: back to AES256."""
    await save(door, request, encryption=None)
    return gone()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketEncryption": get_bucket_encryption,
    "PutBucketEncryption": put_bucket_encryption,
    "DeleteBucketEncryption": delete_bucket_encryption,
}
