"""The two files of a checkpoint as bytes: read, recognised, and refused with a reason."""

import hashlib
import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ch4grid.errors import InputError

Arrays = dict[str, NDArray[Any]]

FORMAT = "ch4grid-checkpoint-1"
ARRAYS = "model.safetensors"
DOCUMENT = "checkpoint.json"


def read(folder: Path) -> dict[str, bytes]:
    """Both files by name.

    Raises:
        InputError: One cannot be read.
    """
    content = {}
    for name in (ARRAYS, DOCUMENT):
        try:
            content[name] = (folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                "this is no checkpoint",
                where=folder,
                expected=f"the files {ARRAYS} and {DOCUMENT}",
                found=f"no readable {name} ({error.strerror})",
                fix="Name the folder of a checkpoint, or train one with 'ch4grid train'",
            ) from error
    return content


def document_of(content: bytes, folder: Path) -> dict[str, Any]:
    """The document of its bytes.

    Raises:
        InputError: It is no JSON or of another format.
    """
    try:
        document = json.loads(content)
    except ValueError as error:
        raise damaged(folder / DOCUMENT, "JSON", str(error)) from error
    found = document.get("format") if isinstance(document, dict) else type(document).__name__
    if found != FORMAT:
        raise damaged(folder / DOCUMENT, f"format {FORMAT}", f"{found!r}")
    return dict(document)


def damaged(where: Path, expected: str, found: str) -> InputError:
    """The error for a file that is not as it was written."""
    return InputError(
        "the checkpoint is damaged or of another version",
        where=where,
        expected=expected,
        found=found,
        fix="Copy it again from where it was trained, or train it anew",
    )


def sha256(content: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def below(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
