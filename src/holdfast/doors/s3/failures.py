"""S3's errors: every code with its status and words, and what each failure of the house is in S3's language.

A handler raises `S3Error`; a room raises a `Failure`, which `as_s3_error` translates. Anything else that is
raised is our fault and becomes InternalError. What the client did wrong is never answered with 500: clients
repeat those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.world.errors import Failure, Refusal


class Kind(NamedTuple):
    """The HTTP status of an error code, and what it says unless something better is known."""

    status: int
    message: str


KINDS: Final[dict[str, Kind]] = {
    "AccessControlListNotSupported": Kind(400, "The bucket does not allow ACLs"),
    "AccessDenied": Kind(403, "Access Denied"),
    "AccessForbidden": Kind(403, "CORSResponse: CORS is not enabled for this bucket."),
    "AccountProblem": Kind(403, "There is a problem with your account."),
    "AllAccessDisabled": Kind(403, "All access to this resource has been disabled."),
    "AmbiguousGrantByEmailAddress": Kind(400, "The email address belongs to more than one account."),
    "AuthorizationHeaderMalformed": Kind(400, "The authorization header that you provided is not valid."),
    "AuthorizationQueryParametersError": Kind(400, "The authorization query parameters are not valid."),
    "BadDigest": Kind(
        400, "The Content-MD5 or checksum value that you specified did not match what we received."
    ),
    "BadRequest": Kind(400, "Bad Request"),
    "BucketAlreadyExists": Kind(
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of "
        "the system. Please select a different name and try again.",
    ),
    "BucketAlreadyOwnedByYou": Kind(
        409, "Your previous request to create the named bucket succeeded and you already own it."
    ),
    "BucketNotEmpty": Kind(409, "The bucket you tried to delete is not empty"),
    "ConditionalRequestConflict": Kind(
        409, "The conditional request cannot succeed due to a conflicting operation against this resource."
    ),
    "ContentSHA256Mismatch": Kind(
        400, "The provided 'x-amz-content-sha256' header does not match what was computed."
    ),
    "CredentialsNotSupported": Kind(400, "This request does not support credentials."),
    "CrossLocationLoggingProhibited": Kind(403, "Cross-location logging not allowed."),
    "EntityTooLarge": Kind(400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": Kind(400, "Your proposed upload is smaller than the minimum allowed size"),
    "ExpiredToken": Kind(400, "The provided token has expired."),
    "IllegalLocationConstraintException": Kind(
        400, "The specified location constraint is incompatible for the region specific endpoint."
    ),
    "IllegalVersioningConfigurationException": Kind(
        400, "The versioning configuration specified in the request is not valid."
    ),
    "IncompleteBody": Kind(
        400, "You did not provide the number of bytes specified by the Content-Length HTTP header"
    ),
    "IncorrectEndpoint": Kind(400, "The specified bucket exists in another Region."),
    "IncorrectNumberOfFilesInPostRequest": Kind(400, "POST requires exactly one file upload per request."),
    "InlineDataTooLarge": Kind(400, "Inline data exceeds the maximum allowed size."),
    "InternalError": Kind(500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": Kind(403, "The AWS Access Key Id you provided does not exist in our records."),
    "InvalidAccessPoint": Kind(400, "The specified access point name or account is not valid."),
    "InvalidArgument": Kind(400, "Invalid Argument"),
    "InvalidBucketAclWithObjectOwnership": Kind(
        400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
    ),
    "InvalidBucketName": Kind(400, "The specified bucket is not valid."),
    "InvalidBucketOwnerAWSAccountID": Kind(
        400, "The value of the expected bucket owner parameter must be an account id."
    ),
    "InvalidBucketState": Kind(409, "The request is not valid for the current state of the bucket."),
    "InvalidChunkSizeError": Kind(403, "Only the last chunk is allowed to have a size less than 8192 bytes"),
    "InvalidDigest": Kind(400, "The Content-MD5 you specified was invalid."),
    "InvalidEncryptionAlgorithmError": Kind(400, "The encryption request that you specified is not valid."),
    "InvalidLocationConstraint": Kind(400, "The specified location-constraint is not valid"),
    "InvalidObjectState": Kind(403, "The operation is not valid for the current state of the object."),
    "InvalidPart": Kind(
        400,
        "One or more of the specified parts could not be found. The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartNumber": Kind(416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": Kind(
        400,
        "The list of parts was not in ascending order. The parts list must be specified in order by "
        "part number.",
    ),
    "InvalidPayer": Kind(403, "All access to this object has been disabled."),
    "InvalidPolicyDocument": Kind(
        400, "The content of the form does not meet the conditions specified in the policy document."
    ),
    "InvalidRange": Kind(416, "The requested range is not satisfiable"),
    "InvalidRedirectLocation": Kind(400, "The website redirect location is not valid."),
    "InvalidRegion": Kind(403, "The region is not valid."),
    "InvalidRequest": Kind(400, "Invalid Request"),
    "InvalidRetentionPeriod": Kind(400, "The retention period specified must be a positive integer."),
    "InvalidSecurity": Kind(403, "The provided security credentials are not valid."),
    "InvalidSignature": Kind(400, "The request signature is not valid."),
    "InvalidSOAPRequest": Kind(400, "The SOAP request body is not valid."),
    "InvalidStorageClass": Kind(400, "The storage class you specified is not valid"),
    "InvalidTag": Kind(400, "The tag provided was not a valid tag."),
    "InvalidTargetBucketForLogging": Kind(
        400, "The target bucket for logging does not exist or may not be written."
    ),
    "InvalidToken": Kind(400, "The provided token is malformed or otherwise invalid."),
    "InvalidURI": Kind(400, "Couldn't parse the specified URI."),
    "KeyTooLongError": Kind(400, "Your key is too long"),
    "KMS.DisabledException": Kind(
        400, "The request was rejected because the specified KMS key is not enabled."
    ),
    "KMS.InvalidKeyUsageException": Kind(400, "The KMS key cannot be used in this way."),
    "KMS.KMSInvalidStateException": Kind(400, "The state of the KMS key is not valid for this request."),
    "KMS.NotFoundException": Kind(400, "Invalid keyId"),
    "MalformedACLError": Kind(
        400, "The XML you provided was not well-formed or did not validate against our published schema"
    ),
    "MalformedPolicy": Kind(400, "Policies must be valid JSON and the first byte must be '{'"),
    "MalformedPOSTRequest": Kind(
        400, "The body of your POST request is not well-formed multipart/form-data."
    ),
    "MalformedTrailerError": Kind(
        400,
        "The request contained trailing data that was not well-formed or did not conform to our "
        "published schema.",
    ),
    "MalformedXML": Kind(
        400, "The XML you provided was not well-formed or did not validate against our published schema"
    ),
    "MaxMessageLengthExceeded": Kind(400, "Your request was too big."),
    "MaxPostPreDataLengthExceededError": Kind(
        400, "Your POST request fields preceding the upload file were too large."
    ),
    "MetadataTooLarge": Kind(400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": Kind(405, "The specified method is not allowed against this resource."),
    "MissingAttachment": Kind(400, "A SOAP attachment was expected, but none was found."),
    "MissingAuthenticationToken": Kind(403, "The request was not signed."),
    "MissingContentLength": Kind(411, "You must provide the Content-Length HTTP header."),
    "MissingRequestBodyError": Kind(400, "Request body is empty."),
    "MissingSecurityElement": Kind(400, "The SOAP request is missing a security element."),
    "MissingSecurityHeader": Kind(400, "Your request was missing a required header"),
    "NoLoggingStatusForKey": Kind(400, "There is no such thing as a logging status subresource for a key."),
    "NoSuchAccessPoint": Kind(404, "The specified access point does not exist."),
    "NoSuchBucket": Kind(404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": Kind(404, "The bucket policy does not exist"),
    "NoSuchConfiguration": Kind(404, "The specified configuration does not exist."),
    "NoSuchCORSConfiguration": Kind(404, "The CORS configuration does not exist"),
    "NoSuchKey": Kind(404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": Kind(404, "The lifecycle configuration does not exist"),
    "NoSuchObjectLockConfiguration": Kind(
        404, "The specified object does not have a ObjectLock configuration"
    ),
    "NoSuchPublicAccessBlockConfiguration": Kind(404, "The public access block configuration was not found"),
    "NoSuchTagSet": Kind(404, "The TagSet does not exist"),
    "NoSuchUpload": Kind(
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
        "been aborted or completed.",
    ),
    "NoSuchVersion": Kind(404, "The specified version does not exist."),
    "NoSuchWebsiteConfiguration": Kind(404, "The specified bucket does not have a website configuration"),
    "NotDeviceOwnerError": Kind(400, "The device is not owned by the caller."),
    "NotImplemented": Kind(
        501, "A header or operation you provided implies functionality that is not implemented."
    ),
    "NotModified": Kind(304, "Not Modified"),
    "NotSignedUp": Kind(403, "Your account is not signed up for the service."),
    "ObjectAlreadyInActiveTierError": Kind(403, "This object is already in the active tier."),
    "ObjectLockConfigurationNotFoundError": Kind(
        404, "Object Lock configuration does not exist for this bucket"
    ),
    "OperationAborted": Kind(
        409,
        "A conflicting conditional operation is currently in progress against this resource. Try again.",
    ),
    "OwnershipControlsNotFoundError": Kind(404, "The bucket ownership controls were not found"),
    "PermanentRedirect": Kind(
        301, "The bucket you are attempting to access must be addressed using another endpoint."
    ),
    "PreconditionFailed": Kind(412, "At least one of the pre-conditions you specified did not hold"),
    "Redirect": Kind(307, "Please re-send this request to the specified temporary endpoint."),
    "ReplicationConfigurationNotFoundError": Kind(404, "The replication configuration was not found"),
    "RequestHeaderSectionTooLarge": Kind(400, "The request headers exceed the maximum allowed size."),
    "RequestIsNotMultiPartContent": Kind(
        412, "Bucket POST must be of the enclosure-type multipart/form-data."
    ),
    "RequestTimeout": Kind(
        400,
        "Your socket connection to the server was not read from or written to within the timeout period.",
    ),
    "RequestTimeTooSkewed": Kind(
        403, "The difference between the request time and the current time is too large."
    ),
    "RequestTorrentOfBucketError": Kind(400, "Requesting the torrent file of a bucket is not permitted."),
    "ResponseInterrupted": Kind(400, "The response was interrupted."),
    "RestoreAlreadyInProgress": Kind(409, "Object restore is already in progress"),
    "ServerSideEncryptionConfigurationNotFoundError": Kind(
        404, "The server side encryption configuration was not found"
    ),
    "ServiceUnavailable": Kind(503, "Service is unable to handle request."),
    "SignatureDoesNotMatch": Kind(
        403,
        "The request signature we calculated does not match the signature you provided. Check your "
        "key and signing method.",
    ),
    "SlowDown": Kind(503, "Please reduce your request rate."),
    "TagPolicyException": Kind(
        400, "The tag policy does not allow the specified value for the following tag key."
    ),
    "TemporaryRedirect": Kind(
        307, "You are being redirected to the bucket while the DNS server is being updated."
    ),
    "TokenCodeInvalidError": Kind(400, "The serial number and/or token code you provided is not valid."),
    "TokenRefreshRequired": Kind(400, "The provided token must be refreshed."),
    "TooManyAccessPoints": Kind(400, "You have attempted to create more access points than are allowed."),
    "TooManyBuckets": Kind(400, "You have attempted to create more buckets than allowed"),
    "TooManyConfigurations": Kind(
        400, "You are attempting to create a new configuration but have already reached the limit."
    ),
    "TooManyParts": Kind(400, "You have attempted to upload more parts than allowed."),
    "UnauthorizedAccess": Kind(403, "You are not authorized to access this resource."),
    "UnexpectedContent": Kind(400, "This request does not support content"),
    "UnresolvableGrantByEmailAddress": Kind(
        400, "The e-mail address you provided does not match any account on record."
    ),
    "UnsupportedArgument": Kind(400, "The request contained an unsupported argument."),
    "UnsupportedSignature": Kind(
        400,
        "The provided request is signed with an unsupported STS Token version or the signature "
        "version is not supported.",
    ),
    "UserKeyMustBeSpecified": Kind(
        400,
        "The bucket POST must contain the specified field name. If it is specified, check the order "
        "of the fields.",
    ),
    "VersionIdMarkerWithoutKeyMarker": Kind(
        400, "A version-id marker cannot be specified without a key marker."
    ),
    "XAmzContentChecksumMismatch": Kind(400, "The provided checksum does not match what was computed."),
    "XAmzContentSHA256Mismatch": Kind(
        400, "The provided 'x-amz-content-sha256' header does not match what was computed."
    ),
}


class S3Error(Exception):
    """What S3 answers instead of success: a code, words, a status, and further elements of the answer.

    `fields` become elements of the error document by their names (`BucketName=...`); `headers` are sent with
    it.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        status: int | None = None,
        *,
        headers: Sequence[tuple[str, str]] = (),
        **fields: str | int,
    ) -> None:
        kind = KINDS[code]
        self.code = code
        self.message = message or kind.message
        self.status = kind.status if status is None else status
        self.headers = headers
        self.fields = fields
        super().__init__(f"{code}: {self.message}")

    def telling(self, **fields: str | int) -> S3Error:
        """The same, with these elements too; for names that are no Python: `telling(**{"Token-0": ...})`."""
        self.fields.update(fields)
        return self


OF_THE_HOUSE: Final[dict[str, str]] = {
    # What a caller can mend.
    "access.denied": "AccessDenied",
    "access.unknown": "InvalidAccessKeyId",
    "bucket.exists": "BucketAlreadyExists",
    "bucket.invalid": "InvalidBucketName",
    "bucket.not_empty": "BucketNotEmpty",
    "bucket.unknown": "NoSuchBucket",
    "class.unknown": "InvalidStorageClass",
    "clock.skewed": "RequestTimeTooSkewed",
    "config.invalid": "InternalError",
    "config.missing": "InternalError",
    "digest.wrong": "BadDigest",
    "fleet.too_small": "ServiceUnavailable",
    "format.invalid": "InternalError",
    "format.newer": "InternalError",
    "grant.expired": "InternalError",
    "grant.foreign": "InternalError",
    "grant.oversized": "InternalError",
    "grant.unsigned": "InternalError",
    "grant.used": "InternalError",
    "invitation.invalid": "InvalidRequest",
    "key.unknown": "InvalidObjectState",
    "key.mismatch": "InvalidRequest",
    "key.wrong": "AccessDenied",
    "multipart.unknown": "NoSuchUpload",
    "name.invalid": "InvalidArgument",
    "node.unknown": "InternalError",
    "node.full": "ServiceUnavailable",
    "node.running": "InternalError",
    "node.state": "InternalError",
    "object.unknown": "NoSuchKey",
    "part.unknown": "InvalidPart",
    "path.escapes": "InvalidArgument",
    "policy.malformed": "MalformedPolicy",
    "precondition.conflict": "ConditionalRequestConflict",
    "precondition.failed": "PreconditionFailed",
    "request.incomplete": "IncompleteBody",
    "request.invalid": "InvalidRequest",
    "request.too_large": "EntityTooLarge",
    "shard.exists": "InternalError",
    "shard.unknown": "InternalError",
    "signature.invalid": "SignatureDoesNotMatch",
    "source.changed": "OperationAborted",
    "tenant.exists": "InvalidRequest",
    "tenant.unknown": "InvalidAccessKeyId",
    "upload.incomplete": "InternalError",
    "upload.unknown": "RequestTimeout",
    "user.exists": "InvalidRequest",
    "user.unknown": "InvalidRequest",
    "version.locked": "AccessDenied",
    "version.unsupported": "InvalidRequest",
    # What the world did.
    "chunk.lost": "ServiceUnavailable",
    "database.busy": "SlowDown",
    "database.unreachable": "ServiceUnavailable",
    "disk.failed": "InternalError",
    "disk.full": "ServiceUnavailable",
    "endpoint.unreachable": "ServiceUnavailable",
    "metadata.forged": "InternalError",
    "node.unreachable": "ServiceUnavailable",
    "node.corrupt": "ServiceUnavailable",
    "target.refused": "ServiceUnavailable",
    "internal": "InternalError",
}
"""What each failure of the house is called in S3."""

_IN_OUR_WORDS: Final = frozenset(
    {"AccessDenied", "InvalidArgument", "InvalidObjectState", "InvalidRequest", "RequestTimeTooSkewed"}
)
"""Codes that mean little without the sentence of the room that refused."""


def as_s3_error(failure: Failure) -> S3Error:
    """The failure in S3's language. What it tells of our inside (paths, nodes) stays in the log."""
    code = OF_THE_HOUSE[failure.code]
    if failure.code == "bucket.exists" and failure.facts.get("yours"):
        code = "BucketAlreadyOwnedByYou"
    spoken = isinstance(failure, Refusal) and code in _IN_OUR_WORDS
    error = S3Error(code, failure.message if spoken else "")
    facts = failure.facts
    if code == "PreconditionFailed" and "condition" in facts:
        # Programs look for it, to know a lost race from another failure.
        error.fields["Condition"] = str(facts["condition"])
    elif code == "IncompleteBody" and "announced" in facts:
        return incomplete_body(int(str(facts["announced"])), int(str(facts["came"])))
    return error


def incomplete_body(announced: int, came: int) -> S3Error:
    """A body has fewer or more bytes than were announced."""
    return S3Error("IncompleteBody", NumberBytesExpected=announced, NumberBytesProvided=came)
