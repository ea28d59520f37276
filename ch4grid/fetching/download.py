"""One file from an address to its place: resumed where it was cut, tried again when that helps, whole or not at all.

Bytes go to a partial file beside the target. Only after size, checksum, format and records have been checked does it
take the target's name.
"""

import email.utils
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ch4grid.errors import RunError
from ch4grid.fetching.completeness import check, is_page
from ch4grid.fetching.offer import Archive, CutError, Offer, Order, Patience, RefusedError, Ticket
from ch4grid.redaction import redacted
from ch4grid.stores import sha256_file, sha256_json

# A block that a cut leaves unfinished is lost, so blocks are small [bytes].
BLOCK = 1 << 16
# Statuses after which the same request may succeed.
BUSY = (408, 425, 429, 500, 502, 503, 504)
# An expired signature, or a wrong key: signed anew, the request may succeed once more.
UNSIGNED = (401, 403)
RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download(
    archive: Archive, order: Order, offer: Offer, ticket: Ticket, patience: Patience
) -> tuple[int, str]:
    """Size [bytes] and SHA-256 of the file, complete and in its place.

    Raises:
        RefusedError: It cannot be had; nothing is left but a partial file that a rerun goes on with.
        RunError: The disk is full or refuses; the partial file is removed.
    """
    target = order.folder / offer.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(target, offer, ticket)
        _attempts(archive, order, offer, ticket, patience, partial)
        size, digest = partial.stat().st_size, sha256_file(partial)
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            for left in target.parent.glob(f".{_literal(target.name)}.*.partial"):
                left.unlink(missing_ok=True)
        raise RunError(
            "cannot write a download",
            where=target,
            expected="a writable folder with free space",
            found=error.strerror or type(error).__name__,
            fix="Free space in the data folder; a rerun fetches what is still missing",
        ) from None
    return size, digest


def _partial(target: Path, offer: Offer, ticket: Ticket) -> Path:
    """The partial file of exactly this offer; those of others are removed.

    One from an earlier run is trusted only if a tag or checksum will tell that the remote's file is still the same.
    """
    bare = redacted(offer.address)
    identity = sha256_json([bare, offer.bytes, offer.checksum])[:8]
    partial = target.with_name(f".{target.name}.{identity}.partial")
    trusted = bool(ticket.etag) or offer.checksum is not None
    for left in target.parent.glob(f".{_literal(target.name)}.*.partial"):
        if left != partial or not trusted:
            left.unlink(missing_ok=True)
    return partial


def _literal(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _attempts(
    archive: Archive,
    order: Order,
    offer: Offer,
    ticket: Ticket,
    patience: Patience,
    partial: Path,
) -> None:
    """Transfer and check until the partial file is whole.

    Raises:
        RefusedError: It never was.
    """
    failure, wait, unsigned = "", None, 0
    with archive.session() as session:
        for attempt in range(patience.tries):
            if attempt:
                patience.pause(attempt, wait)
            try:
                _transfer(_Source(archive, session, patience.timeout), offer, ticket, partial)
                check(partial, offer, order)
                return
            except CutError as cut:
                failure, wait = redacted(cut, archive.secrets()), cut.wait
                unsigned += cut.unsigned
                if cut.fresh:
                    partial.unlink(missing_ok=True)
                if unsigned > 1:  # a fresh signature did not help
                    raise RefusedError(failure) from None
            except RefusedError:
                partial.unlink(missing_ok=True)
                raise
    raise RefusedError(f"{failure}; given up after {patience.tries} attempts")


class _Source(NamedTuple):
    """Where bytes come from: the archive, a session of it, and the silence after which it counts as lost [s]."""

    archive: Archive
    session: Any
    timeout: float


def _transfer(source: _Source, offer: Offer, ticket: Ticket, partial: Path) -> None:
    """Bring the partial file to its end from where it is.

    Raises:
        CutError: The connection or the server failed.
        RefusedError: The server will not give the file.
    """
    have = partial.stat().st_size if partial.exists() else 0
    if have and have == offer.bytes:
        return
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": ticket.etag} if ticket.etag else {}
    with _response(source, offer, headers) as response:
        _accept(response, source.archive)
        start = _start(response, have)
        tag = response.headers.get("ETag", "")
        if start and ticket.etag and tag not in ("", ticket.etag):
            raise CutError("the file on the server has changed", fresh=True)
        if tag != ticket.etag:
            ticket.note(etag=tag)
        with partial.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            for block in _blocks(response, start):
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())


def _response(source: _Source, offer: Offer, headers: dict[str, str]) -> Any:
    import requests

    try:
        address = source.archive.sign(offer.address)
        return source.session.get(address, headers=headers, stream=True, timeout=source.timeout)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise CutError(f"no connection ({type(error).__name__})") from None
    except requests.RequestException as error:
        told = redacted(f"{type(error).__name__}: {error}", source.archive.secrets())
        raise RefusedError(told) from None


def _accept(response: Any, archive: Archive) -> None:
    """Accept a response that carries bytes of the file.

    Raises:
        CutError: The server is busy, the signature has expired, or the partial file does not fit.
        RefusedError: The server will not give the file, or gives a page for people.
    """
    status = int(response.status_code)
    if status in BUSY:
        raise CutError(f"the server answers {status}", wait=_asked_wait(response))
    if status in UNSIGNED:
        told = f"the server answers {status}: the credentials or their signature are not accepted"
        raise CutError(told, unsigned=True)
    if status == 416:
        raise CutError("the file on the server is not as long as announced", fresh=True)
    if status not in (200, 206):
        raise RefusedError(
            redacted(f"the server answers {status} {response.reason}", archive.secrets())
        )
    if "text/html" in response.headers.get("Content-Type", ""):
        raise RefusedError("the server sends an HTML page instead of the file")


def _asked_wait(response: Any) -> float | None:
    """The pause of a Retry-After header [s]: seconds, or a date."""
    told = response.headers.get("Retry-After", "")
    if told.isdigit():
        return float(told)
    with suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    return None


def _start(response: Any, have: int) -> int:
    """The byte from which a response goes on: 0 where the server knows no ranges or the file has changed.

    Raises:
        CutError: It goes on from another byte than the one asked for.
    """
    if response.status_code == 200:
        return 0
    match = RANGE.match(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have:
        raise CutError("the server goes on from another byte than the one asked for", fresh=True)
    return have


def _blocks(response: Any, start: int) -> Iterator[bytes]:
    """The body in blocks.

    Raises:
        CutError: The connection was cut, or fewer bytes came than the server stated.
        RefusedError: It is a page for people.
    """
    import requests

    stated = response.headers.get("Content-Length", "")
    count = 0
    try:
        for block in response.iter_content(BLOCK):
            if not count and not start and is_page(block):
                raise RefusedError("the server sends an HTML page instead of the file")
            count += len(block)
            yield block
    except requests.RequestException as error:
        told = f"the connection was cut after {start + count} bytes ({type(error).__name__})"
        raise CutError(told) from None
    if stated.isdigit() and count != int(stated):
        raise CutError(f"{count} bytes came, the server stated {stated}")
