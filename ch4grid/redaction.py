"""Words without secrets: signatures and user names leave addresses, keys leave messages, and clients stay silent."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# A signed address carries its secret after the question mark, others before the at sign.
QUERY = re.compile(r"([\w+.-]+://[^\s?'\"<>]*|/[^\s?'\"<>]*)\?[^\s'\"<>)]+")
USER = re.compile(r"([\w+.-]+://)[^/\s@]+@")
BEARER = re.compile(r"(?i)\b(bearer|basic|private-token:?|apikey:?)\s+\S+")

# Loggers of the clients: at debug level, and some in warnings, they write headers and signed addresses.
CLIENTS = (
    "aiobotocore",
    "aiohttp",
    "asyncio",
    "botocore",
    "cdsapi",
    "earthaccess",
    "ecmwf",
    "fsspec",
    "gcsfs",
    "multiurl",
    "planetary_computer",
    "pystac_client",
    "requests",
    "s3fs",
    "urllib3",
)
SILENT = logging.CRITICAL + 1

# Names of environment variables that hold a secret, and the length from which a value is one.
SECRET_NAME = re.compile(r"(?i)secret|token|passw|credential|access_key|api_?key|account_key")
SHORTEST_SECRET = 6


def secrets_of_environment() -> tuple[str, ...]:
    """Values of environment variables whose names say that they are secret, longest first."""
    found = {v for name, v in os.environ.items() if SECRET_NAME.search(name)}
    return tuple(sorted((v for v in found if len(v) >= SHORTEST_SECRET), key=len, reverse=True))


def redacted(text: object, secrets: Iterable[str] = ()) -> str:
    """The text in one line, without secrets, signatures and user names of addresses."""
    told = " ".join(str(text).split())
    for secret in secrets:
        told = told.replace(secret, "***") if secret else told
    told = USER.sub(r"\1", told)
    told = BEARER.sub(r"\1 ***", told)
    return QUERY.sub(r"\1", told)


@contextmanager
def silent_clients() -> Iterator[None]:
    """Keep the loggers of the clients silent while the block runs, those that exist already included."""
    known = [n for n in logging.root.manager.loggerDict if n.split(".")[0] in CLIENTS]
    loggers = [logging.getLogger(n) for n in sorted({*known, *CLIENTS})]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(SILENT)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
