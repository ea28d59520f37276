"""Addresses of objects: what is a URL, and that none carries a secret."""

import re

from ch4grid.errors import RecipeError
from ch4grid.redaction import redacted

SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z0-9+.:-]+)?://")
# What stands before an at sign in the host; Azure writes container@account there, which is no secret.
USER = re.compile(r"://[^/\s]*@")
CONTAINER = re.compile(r"^abfss?://[^/\s:@]+@[^/\s@]+")


def is_url(text: object) -> bool:
    """Whether a product or catalog is named by a URL rather than a path."""
    return SCHEME.match(str(text)) is not None


def checked(url: str) -> str:
    """The URL without a slash at its end.

    Raises:
        RecipeError: It is no URL, or carries a user, a password or a query, where secrets stand.
    """
    if not is_url(url):
        raise RecipeError(
            "this is no URL",
            where=redacted(url),
            expected="e.g. s3://bucket/folder/product.zarr",
            found="no scheme such as s3://",
            fix="A folder of this machine needs no mirror; copy it",
        )
    if "?" in url or (USER.search(url) and not CONTAINER.match(url)):
        raise RecipeError(
            "the URL carries credentials or a query, which would end up in logs and histories",
            where=redacted(url),
            expected="scheme, bucket and path only",
            found="something before an @ sign or after a question mark",
            fix="Put credentials into the environment or the configuration of the object store's client",
        )
    return url.rstrip("/")
