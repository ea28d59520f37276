"""Calls over a network: what passes is tried again with growing pauses, what lasts becomes one error in words."""

import errno
from collections.abc import Callable
from typing import NoReturn, TypeVar

from ch4grid.errors import RunError
from ch4grid.redaction import redacted, secrets_of_environment

T = TypeVar("T")
Pause = Callable[[float], None]

# With pauses of 0.5, 1, 2 and 4 s, on top of what the clients try themselves.
ATTEMPTS = 5
FIRST_PAUSE = 0.5

LASTING = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)
LASTING_NUMBERS = {
    errno.EACCES,
    errno.EINVAL,
    errno.EMSGSIZE,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOSYS,
    errno.EPERM,
}
# Exceptions of the clients that are no OSError, by the package that raises them: importing it here would load it.
PASSING = {"aiohttp.ClientError", "botocore.HTTPClientError", "botocore.ConnectionError"}
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


class CorruptedError(Exception):
    """An object was read back with other bytes than were sent."""


def passing(error: Exception) -> bool:
    """Whether the same call may succeed a moment later."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status >= SERVER_ERROR or status == TOO_MANY_REQUESTS
    if isinstance(error, (ConnectionError, TimeoutError, CorruptedError)):
        return True
    if isinstance(error, OSError):
        return not isinstance(error, LASTING) and error.errno not in LASTING_NUMBERS
    names = (f"{c.__module__.partition('.')[0]}.{c.__name__}" for c in type(error).__mro__)
    return bool(PASSING & set(names))


def attempt(call: Callable[[], T], pause: Pause) -> T:
    """The result of `call`, tried again while its errors are passing ones.

    Raises:
        Exception: The last error, unchanged.
    """
    for turn in range(ATTEMPTS - 1):
        try:
            return call()
        except Exception as error:
            if not passing(error):
                raise
        pause(FIRST_PAUSE * 2**turn)
    return call()


def refuse(address: str, error: Exception) -> NoReturn:
    """Say in words, without secrets, why an object store did not do what it was asked.

    Raises:
        RunError: Always.
    """
    told = redacted(str(error) or type(error).__name__, secrets_of_environment())
    if isinstance(error, CorruptedError):
        what, fix = "what was read back is not what was sent", "Check the network and run it again"
    elif isinstance(error, PermissionError) or "redential" in type(error).__name__:
        what = "the object store refuses access"
        fix = (
            "Check the credentials in the environment or the configuration of the client; "
            "for a public bucket of S3 set FSSPEC_S3_ANON=true"
        )
    elif isinstance(error, FileNotFoundError):
        what, fix = "there is no such bucket or object", "Check the URL; a bucket must exist"
    else:
        what = "the object store does not answer as it should"
        fix = "Check the network and the URL, then run it again: what was sent stays"
    # the original stays out of tracebacks and logs: clients put requests and headers into its words
    raise RunError(
        what,
        where=redacted(address),
        expected="an answer",
        found=f"{type(error).__name__}: {told[:300]}",
        fix=fix,
    ) from None
