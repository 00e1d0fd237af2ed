"""Who pays for requests: the bucket's owner, or whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

from holdfast.doors.s3.settings_documents import choice, done, expect, need_leaf, save, sent, shown
from holdfast.doors.s3.xml_reading import Node
from holdfast.doors.s3.xml_writing import element

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response

Payer = Literal["Requester", "BucketOwner"]


def read_payer(root: Node) -> Payer:
    """A `<RequestPaymentConfiguration>`'s payer; raises S3Error MalformedXML."""
    expect(root, one="Payer")
    return cast("Payer", choice(need_leaf(root, "Payer"), "Requester", "BucketOwner"))


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
