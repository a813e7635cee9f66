"""Objects in a bucket of S3, or of a server that speaks its protocol and its conditional puts (`If-None-Match`)."""

from __future__ import annotations

from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import S3Store

from nearline.schema.errors import NearlineError
from nearline.stores.adapters import shown
from nearline.stores.bucket import CLIENT, RETRY, BucketObjects


def open_objects(url: str, folder: Path) -> BucketObjects:
    """Open s3://bucket/prefix; key, secret, region and endpoint are where AWS tools look (`AWS_ACCESS_KEY_ID`, ...)."""
    try:
        return BucketObjects(S3Store.from_url(url, client_options=CLIENT, retry_config=RETRY), url)
    except (BaseError, ValueError) as error:
        remedy = f"write s3://bucket/prefix, and see the AWS_ variables of the environment: {str(error).splitlines()[0]}"
        raise NearlineError("storage", shown(url), remedy) from error
