"""The data of the interactive map: what it loses, lists and draws anew, and that its bytes are determined."""

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np
import planted_product as planted
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ch4grid.graph import CausalGraph
from ch4grid.pages.atlas import BLOCK, MANIFEST, MEAN, sweep, write_atlas
from ch4grid.pages.causes import causes_of
from ch4grid.pages.packets import Field, script
from ch4grid.pages.snippets import snippets
from ch4grid.vocabulary import ECOSYSTEMS, GASES

CH4 = GASES["ch4"]
MG_PER_DAY = 86400e6
TYPES = {"u1": np.uint8, "u2": np.uint16, "u4": np.uint32, "b2": np.uint16, "f4": np.uint32}


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    """The fields of a packet, decoded as its documentation says."""
    match = re.fullmatch(r"ch4grid\.receive\((\".*?\"), (\{.*\})\);\n", content.decode())
    told = json.loads(match.group(2))
    body, start, found = zlib.decompress(base64.b64decode(told["data"])), 0, {}
    for field in told["fields"]:
        dtype = np.dtype(TYPES[field["kind"]])
        count = int(np.prod(field["shape"]))
        planes = np.frombuffer(body, np.uint8, count * dtype.itemsize, start)
        start += count * dtype.itemsize
        bits = planes.reshape(dtype.itemsize, count).T.copy().view(dtype).reshape(field["shape"])
        numbers = np.cumsum(bits, axis=-1, dtype=dtype)
        if field["kind"] == "b2":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        found[field["name"]] = numbers.view(np.float32) if field["kind"] == "f4" else numbers
    assert start == len(body)
    return found


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=1, max_dims=2, max_side=7),
        elements=st.floats(-(2.0**99), 2.0**99, width=32).filter(
            lambda v: v == 0 or abs(v) > 2.0**-99
        )
        | st.just(np.nan),
    )
)
def test_floats_come_back_within_the_stated_bound_and_missing_ones_missing(
    values: np.ndarray,
) -> None:
    for kind, bound in (("b2", 2**-8), ("f4", 2**-11)):
        back = unpacked(script("x", [Field("v", kind, values)]))["v"]
        np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
        np.testing.assert_allclose(back, values, rtol=bound)


@given(arrays(np.uint32, array_shapes(min_dims=1, max_dims=2, max_side=7)))
def test_integers_come_back_as_they_were(values: np.ndarray) -> None:
    for kind in ("u1", "u2", "u4"):
        told = values.astype(TYPES[kind])
        back = unpacked(script("x", [Field("v", kind, told), Field("w", kind, told)]))
        np.testing.assert_array_equal(back["v"], told)
        np.testing.assert_array_equal(back["w"], told)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    store = planted.write_years(tmp_path_factory.mktemp("made"), 2001, 2002)
    return xr.open_zarr(store, consolidated=True, chunks=None).load()


@pytest.fixture(scope="module")
def drawn(product: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "page"
    write_atlas(folder, product, CH4, [2001, 2002], {2001: "a", 2002: "b"})
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_maps_hold_the_cells_that_have_a_value_and_their_mean(
    drawn: Path, product: xr.Dataset
) -> None:
    flux = product["ch4_flux"].sel(latitude=slice(-60, 90)) * MG_PER_DAY
    for name, expected in (
        ("flux-2002", flux.sel(time="2002")),
        (f"flux-{MEAN}", flux.groupby("time.month").mean()),
    ):
        found = unpacked((drawn / f"maps/{name}.js").read_bytes())
        flat = expected.values.reshape(12, -1)
        there = np.flatnonzero(np.isfinite(flat).any(0))
        np.testing.assert_array_equal(found["cell"], there)
        np.testing.assert_allclose(found["value"], flat[:, there].T, rtol=2**-8)


def test_maps_of_flags_and_classes_hold_the_numbers_of_the_store(
    drawn: Path, product: xr.Dataset
) -> None:
    year = product.sel(time="2002", latitude=slice(-60, 90))
    by_class = abs(year["ecosystem_fraction"] * year["ch4_flux_density"]).transpose(
        "ecosystem", "time", "latitude", "longitude"
    )
    flux = np.nan_to_num(by_class.values)
    flag = year["quality_flag"].values
    for name, numbers, there in (
        ("quality", flag, flag != 1),
        ("main-class", flux.argmax(0), flux.max(0) > 0),
    ):
        found = unpacked((drawn / f"maps/{name}-2002.js").read_bytes())
        there = there.reshape(12, -1)
        np.testing.assert_array_equal(found["cell"], np.flatnonzero(there.any(0)))
        there, numbers = (a.reshape(12, -1)[:, found["cell"]].T for a in (there, numbers))
        np.testing.assert_array_equal(found["value"][there], numbers[there])
        assert np.isnan(found["value"][~there]).all()


def test_every_cell_on_land_is_in_one_block(drawn: Path, product: xr.Dataset) -> None:
    flag = product["quality_flag"].sel(time="2001", latitude=slice(-60, 90)).values
    seen = np.zeros(flag.shape[1:], dtype=int)
    for path in (drawn / "cells/2001").glob("*.js"):
        top, left = (BLOCK * int(n) for n in path.stem.split("-"))
        block = unpacked(path.read_bytes())
        for i, cell in enumerate(block["cell"]):
            at = (top + cell // BLOCK, left + cell % BLOCK)
            seen[at] += 1
            np.testing.assert_array_equal(block["flag"][i], flag[(slice(None), *at)])
    np.testing.assert_array_equal(seen, (flag != 1).any(0))


def test_the_list_names_every_file_with_its_size(drawn: Path) -> None:
    years = json.loads((drawn / MANIFEST).read_bytes())["years"]
    told = {name: row["bytes"] for year in years.values() for name, row in year["files"].items()}
    found = {name: len(content) for name, content in files(drawn).items() if name != MANIFEST}
    assert told == found


def test_the_same_product_gives_the_same_bytes(
    drawn: Path, product: xr.Dataset, tmp_path: Path
) -> None:
    write_atlas(tmp_path / "page", product, CH4, [2001, 2002], {2001: "a", 2002: "b"})
    assert files(tmp_path / "page") == files(drawn)


def test_a_year_is_drawn_again_only_when_its_values_or_files_changed(
    product: xr.Dataset, tmp_path: Path
) -> None:
    def draw(**sources: str) -> set[str]:
        for path in tmp_path.rglob("*.js"):
            path.write_bytes(path.read_bytes() + b"#")  # longer than listed only if drawn before
            path.write_bytes(path.read_bytes()[:-1])
        before = {p: p.stat().st_ino for p in tmp_path.rglob("*.js")}
        told = {int(name[1:]): digest for name, digest in sources.items()}
        write_atlas(tmp_path, changed if told[2002] == "c" else product, CH4, sorted(told), told)
        return {
            p.relative_to(tmp_path).as_posix()
            for p in tmp_path.rglob("*.js")
            if before.get(p) != p.stat().st_ino
        }

    changed = product.copy()
    changed["ch4_flux"] = product["ch4_flux"].where(product.time.dt.year < 2002, 2e-9)
    assert len(draw(y2001="a", y2002="b")) > 10
    assert draw(y2001="a", y2002="b") == set()
    assert {n for n in draw(y2001="a", y2002="c") if "2001" in n} == set()
    (tmp_path / "maps/flux-2001.js").write_bytes(b"cut")
    assert draw(y2001="a", y2002="c") == {"maps/flux-2001.js"}


def test_what_is_of_no_year_goes(product: xr.Dataset, tmp_path: Path) -> None:
    write_atlas(tmp_path, product, CH4, [2001, 2002], {})
    write_atlas(tmp_path, product, CH4, [2001], {})
    (tmp_path / "maps/.flux.partial").write_bytes(b"")
    sweep(tmp_path)
    assert not (tmp_path / "cells/2002").exists()
    assert {p.stem for p in (tmp_path / "maps").iterdir() if "flux" in p.name} == {
        "flux-2001",
        f"flux-{MEAN}",
    }


def test_the_page_is_told_the_grid_the_years_and_the_classes(
    product: xr.Dataset, tmp_path: Path
) -> None:
    atlas = write_atlas(tmp_path / "x", product, CH4, [2001], {})
    told = json.loads(atlas.as_json())
    assert (told["south"], told["west"], told["step"], told["columns"]) == (-62.0, -180.0, 4.0, 90)
    keys = [q["key"] for q in told["quantities"]]
    classes = [f"class-{e}" for e in ECOSYSTEMS]
    assert keys == ["flux", "standard-error", "width", *classes, "main-class", "quality"]
    assert "<" not in atlas.as_json()


def test_causes_are_the_likeliest_lags() -> None:
    probability = np.zeros((1, 3, 2, 3))
    probability[0, 2, 0] = [0.2, 0.85, 0.1]
    probability[0, 2, 1] = [0.05, 0.01, 0.0]
    graph = CausalGraph(("tas", "pr"), "ch4_flux", ("upland",), probability)
    table = causes_of(graph)
    assert table.columns == ("upland",)
    (warm, (likely,)), (_, (rare,)) = table.rows
    assert warm == "air temperature at 2 m"
    assert (likely.text, likely.lag) == ("85\N{NO-BREAK SPACE}%", 1)
    assert rare.text == ""
    (picture,) = table.networks
    assert [(e.label, e.style) for e in picture.edges] == [("1", "unsigned")]
    assert "air temp. acts on flux 1 months later (probability 85%)" in picture.description
    assert causes_of(None) is None


def test_the_python_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = planted.write_years(tmp_path, 2001)
    monkeypatch.chdir(tmp_path)
    _, netcdf, r, cdo = snippets(store.relative_to(tmp_path).as_posix(), CH4, 2001)
    exec(netcdf.code, {})
    with xr.open_dataset("ch4-2001.nc") as ds, xr.open_zarr(store, chunks=None) as whole:
        np.testing.assert_array_equal(ds["ch4_flux"], whole["ch4_flux"])
    assert "ch4-2001.nc" in r.code
    assert "ch4-2001.nc" in cdo.code
