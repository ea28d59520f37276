"""Parts that only some commands need: whether they are installed, and how to get them."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from ch4grid.environment.check import Check

GROUP = "optional"


@dataclass(frozen=True)
class Part:
    """A part of the package that is left out by default.

    Args:
        extra: Its name in `pip install 'ch4grid[...]'`.
        packages: Packages that it takes.
        purpose: What it is for.
    """

    extra: str
    packages: tuple[str, ...]
    purpose: str


PARTS = (
    Part(
        "fetch",
        ("earthaccess", "ecmwf-datastores-client", "planetary-computer", "pystac-client"),
        "fetch",
    ),
    Part("cloud", ("aiohttp", "fsspec", "gcsfs", "s3fs"), "mirror, stores behind URLs"),
    Part("cluster", ("dask-jobqueue", "dask-kubernetes"), "--cluster slurm and kubernetes"),
    Part("esmf", ("xesmf",), "curvilinear grids"),
)


def optional() -> Iterator[Check]:
    """Every part, and ESMF itself, which is no Python package alone."""
    yield from map(_part, PARTS)
    yield _esmf()


def _part(part: Part) -> Check:
    found = {p: _version(p) for p in part.packages}
    lacking = [p for p, v in found.items() if v is None]
    if lacking:
        fix = (
            "conda env create -f deploy/environment.yml"
            if part.extra == "esmf"
            else f"pip install 'ch4grid[{part.extra}]'"
        )
        told = f"no {', '.join(lacking)}; for: {part.purpose}"
        return Check(GROUP, part.extra, "warn", told, fix)
    return Check(GROUP, part.extra, "ok", ", ".join(f"{p} {v}" for p, v in found.items()))


def _esmf() -> Check:
    """Whether esmpy can be imported: it can be installed and still not find its library."""
    try:
        module = import_module("esmpy")
    except ImportError:
        return Check(
            GROUP,
            "esmpy",
            "warn",
            "not importable; for: curvilinear grids",
            "conda env create -f deploy/environment.yml; it is on conda-forge only",
        )
    except (
        Exception
    ) as error:  # ESMFMKFILE unset or a library of another build: KeyError, OSError, ...
        told = " ".join(str(error).split())[:120]
        return Check(
            GROUP,
            "esmpy",
            "warn",
            f"{type(error).__name__}: {told}",
            "Activate the conda environment, which sets ESMFMKFILE",
        )
    return Check(GROUP, "esmpy", "ok", str(getattr(module, "__version__", "importable")))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
