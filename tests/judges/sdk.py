"""boto3 in this process, for what is quicker said with an SDK than by bytes."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from tests.judges.cloud import Account, Endpoint


def boto3_client(endpoint: Endpoint, account: Account, **more: Any) -> Any:
    """An S3 client that does not hide a failure by trying again."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=account.access_key,
        aws_secret_access_key=account.secret_key,
        verify=str(endpoint.ca) if endpoint.ca else None,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **more),
    )
