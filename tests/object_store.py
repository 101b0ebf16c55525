"""A real S3 interface on this machine: moto's server, over HTTP."""

from __future__ import annotations

import uuid


class S3:
    """Its one bucket, in which each `address` is a folder of its own."""

    def __init__(self, endpoint: str) -> None:
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def address(self) -> str:
        """A folder that nobody has used."""
        return f"s3://bucket/{uuid.uuid4().hex}"
