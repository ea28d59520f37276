"""What is wrong with a document that does not decode, in one sentence and in the words of the document."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# The most telling finding comes first; what follows from others, last.
RANK = {"extra_forbidden": 0, "missing": 2, "too_short": 3}


def first_problem(error: ValidationError, document: dict[str, Any], kind: type[BaseModel]) -> str:
    """One sentence for the most telling of pydantic's findings.

    Args:
        error: What decoding found.
        document: What was decoded.
        kind: What it should be; its keys are those that a misspelt one is compared with.
    """
    problems = [
        p for p in error.errors() if not _of_other_branch(p["loc"], document)
    ] or error.errors()
    problem = min(problems, key=lambda p: RANK.get(p["type"], 1))
    place = _place(problem["loc"], document)
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(kind.model_json_schema())
            return f"unknown key {place!r}{_alike(str(problem['loc'][-1]), known)}"
        case "missing":
            return f"key {place!r} is missing"
        case "union_tag_not_found":
            return f"key {_discriminator(problem, document)!r} is missing"
        case "union_tag_invalid":
            return _unknown_tag(problem, document)
    found = problem.get("input")
    shown = f", found {found!r}" if isinstance(found, str | int | float | bool | type(None)) else ""
    return (
        f"key {place!r}: {problem['msg'].removeprefix('Value error, ')}{shown}"
        if place
        else str(problem["msg"])
    )


def _unknown_tag(problem: ErrorDetails, document: dict[str, Any]) -> str:
    """An unknown kind of model, source, ... with the name that was perhaps meant and all that there are."""
    context = problem["ctx"]
    known = context["expected_tags"].replace("'", "").split(", ")
    tag = str(context["tag"])
    return (
        f"key {_discriminator(problem, document)!r}: unknown {tag!r}{_alike(tag, known)}; "
        f"known are {', '.join(known)}"
    )


def _discriminator(problem: ErrorDetails, document: dict[str, Any]) -> str:
    """The place of the key that tells kinds apart."""
    loc = tuple(s for s in problem["loc"] if not str(s).startswith("tagged-union["))
    place, key = _place(loc, document), problem["ctx"]["discriminator"].strip("'")
    return f"{place}.{key}" if place else key


def _alike(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}" if close else ""


def _of_other_branch(loc: tuple[int | str, ...], document: dict[str, Any]) -> bool:
    """Whether a finding belongs to a kind of model that the recipe does not mean."""
    if len(loc) < 2 or loc[0] != "model" or not isinstance(document.get("model"), dict):
        return False
    keys = {"ModelCheckpoint": "checkpoint", "ModelFile": "recipe", "ModelBest": "best"}
    meant = next((k for k in keys.values() if k in document["model"]), "")
    branch = keys.get(str(loc[1]), "")
    return branch != meant


def _place(loc: tuple[int | str, ...], document: dict[str, Any]) -> str:
    """The path of a key as a user would write it: union tags, which pydantic inserts, are left out."""
    place = ""
    node: object = document
    for step in loc:
        if isinstance(step, int):
            place += f"[{step}]"
            node = node[step] if isinstance(node, list) and step < len(node) else None
        elif (isinstance(node, dict) and step in node) or step == loc[-1]:
            place += f".{step}" if place else step
            node = node.get(step) if isinstance(node, dict) else None
    return place


def _known_keys(node: object) -> Iterator[str]:
    """Every key that some part of a JSON Schema knows."""
    if isinstance(node, dict):
        yield from node.get("properties", {})
        for value in node.values():
            yield from _known_keys(value) if isinstance(value, dict | list) else ()
    elif isinstance(node, list):
        for value in node:
            yield from _known_keys(value) if isinstance(value, dict | list) else ()
