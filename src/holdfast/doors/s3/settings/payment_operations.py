"""Who pays for requests: the bucket's owner, or whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, cast

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import choice, done, expect, need_leaf, save, sent, shown
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response
    from holdfast.files.records import Bucket
    from holdfast.tenants.identity import Identity

PAYER_HEADER: Final = "x-amz-request-payer"

Payer = Literal["Requester", "BucketOwner"]


def read_payer(root: Node) -> Payer:
    """A `<RequestPaymentConfiguration>`'s payer; raises S3Error MalformedXML."""
    expect(root, one="Payer")
    return cast("Payer", choice(need_leaf(root, "Payer"), "Requester", "BucketOwner"))


def demand_payer(identity: Identity, record: Bucket, headers: Mapping[str, str]) -> bool:
    """Whether the one who asks pays; raises S3Error AccessDenied for one that should and does not say so.

    Nobody is sent a bill here: it is what programs expect, and what owners mean by the setting.
    """
    if record.parsed.request_payer != "Requester" or identity.tenant_id == record.tenant:
        return False
    if identity.anonymous or headers.get(PAYER_HEADER, "").lower() != "requester":
        raise S3Error("AccessDenied")
    return True


async def get_bucket_request_payment(_door: Door, request: S3Request) -> S3Response:
    """GET ?requestPayment."""
    payer = request.bucket.parsed.request_payer or "BucketOwner"
    return shown("RequestPaymentConfiguration", element("Payer", payer))


async def put_bucket_request_payment(door: Door, request: S3Request) -> S3Response:
    """PUT ?requestPayment."""
    payer = read_payer(await sent(request, "RequestPaymentConfiguration"))
    await save(door, request, request_payer=payer)
    return done()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketRequestPayment": get_bucket_request_payment,
    "PutBucketRequestPayment": put_bucket_request_payment,
}
