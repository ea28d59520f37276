"""The account of a region: laws over masks, the sum by hand, bounded reading, and what naive rules make of it."""

import json
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import planted_product as planted
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import ch4grid
from ch4grid import account, budgets
from ch4grid.cli import app
from ch4grid.errors import InputError
from ch4grid.grid import Grid, great_circle_km
from ch4grid.vocabulary import months

GRID = Grid(10.0)
BOX = {
    "type": "Polygon",
    "coordinates": [[[-33, -7], [58, -7], [58, 43], [-33, 43], [-33, -7]]],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("product")
    return planted.write_years(output, 2001, 2002, grid=GRID)


@pytest.fixture(scope="module")
def product(store: Path) -> xr.Dataset:
    return ch4grid.open(store).load()


def by_hand(ds: xr.Dataset, share: np.ndarray) -> np.ndarray:
    """Annual masses by year and member [Tg], one cell after the other."""
    time = pd.DatetimeIndex(ds["time"].values)
    seconds = time.days_in_month.values * 86400.0
    flux = np.nan_to_num(ds["ch4_flux_member"].values.astype(float))
    total: dict[int, np.ndarray] = {}
    for k, year in enumerate(time.year):
        for row, column in zip(*np.nonzero(share), strict=True):
            mass = flux[:, k, row, column] * share[row, column] * GRID.cell_area[row, column]
            total[year] = total.get(year, 0.0) + mass * seconds[k] / 1e9
    return np.stack([total[y] for y in sorted(total)])


@given(st.integers(0, 2**32 - 1))
def test_masses_of_disjoint_regions_add_up(product: xr.Dataset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([0.3, 0.3, 0.3], GRID.shape).transpose(2, 0, 1)
    shares *= rng.random((3, *GRID.shape)) < 0.2
    regions = xr.DataArray(shares, dims=("part", "latitude", "longitude"))
    parts = [account.monthly(product, account.Place("", r)) for r in regions]
    together = account.monthly(product, account.Place("", regions.sum("part")))
    np.testing.assert_allclose(sum(parts), together, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_a_region_and_its_complement_are_the_globe(product: xr.Dataset, seed: int) -> None:
    share = xr.DataArray(
        np.random.default_rng(seed).random(GRID.shape), dims=("latitude", "longitude")
    )
    inside, outside = (account.monthly(product, account.Place("", s)) for s in (share, 1 - share))
    globe = account.monthly(product, account.place_of(product))
    np.testing.assert_allclose(inside + outside, globe, rtol=1e-9, atol=1e-12)


def test_an_annual_budget_of_a_polygon_is_that_of_its_members_summed_by_hand(store: Path) -> None:
    ds = ch4grid.open(store)
    found = ch4grid.budget(ds, region=BOX, years=[2002, 2001])
    totals = by_hand(ds, ch4grid.regions.region_share(BOX, GRID).values)
    factor = float(ds.attrs.get(budgets.INFLATION, 1.0))
    expected = budgets.interval(xr.DataArray(totals, dims=("year", "member")), inflation=factor)
    assert list(found.mean["year"].values) == [2001, 2002]
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)
    mean = budgets.interval(xr.DataArray(totals.mean(0), dims="member"), inflation=factor)
    for got, wanted in zip(found.period, mean, strict=True):
        assert float(got) == pytest.approx(float(wanted), rel=1e-9)


def test_a_region_of_the_product_by_name_is_its_share_and_its_table(product: xr.Dataset) -> None:
    for name in ("globe", "tropics"):
        share = product["region_fraction"].sel(region=name, drop=True)
        for year in (2001, [2001, 2002]):
            found = ch4grid.budget(product, region=name, years=year)
            masked = ch4grid.budget(product, region=share, years=year)
            for got, wanted in zip([*found, *found.period], [*masked, *masked.period], strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-9)
    monthly = ch4grid.budget(product, region="tropics")
    assert monthly.mean.dims == ("time",)


def test_only_chunks_of_the_region_and_the_years_are_read(store: Path) -> None:
    read: list[tuple[int, ...]] = []

    def seen(block: np.ndarray) -> np.ndarray:
        if block.ndim == 4 and block.size:
            read.append(block.shape)
        return block

    ds = ch4grid.open(store)
    members = ds["ch4_flux_member"].chunk(time=12, latitude=6, longitude=6)
    members.data = members.data.map_blocks(seen, dtype=members.dtype, meta=np.empty((0, 0, 0, 0)))
    ds["ch4_flux_member"] = members
    small = {"type": "Polygon", "coordinates": [[[1, 1], [29, 1], [29, 19], [1, 19], [1, 1]]]}
    with dask.config.set(scheduler="synchronous"):
        ch4grid.budget(ds, region=small, years=2002)
    assert read == [(planted.MEMBERS, 12, 6, 6)]


def test_a_product_that_was_cut_answers_for_regions_inside_it(product: xr.Dataset) -> None:
    cut = product.sel(latitude=slice(-40, 60), longitude=slice(-60, 90))
    whole, part = (ch4grid.budget(ds, region=BOX, years=2001) for ds in (product, cut))
    np.testing.assert_allclose(whole.mean, part.mean, rtol=1e-9)
    total = ch4grid.budget(cut, years=2001).mean
    share = xr.zeros_like(product["cell_area"]) + xr.ones_like(cut["cell_area"])
    share = share.reindex_like(product["cell_area"]).fillna(0)
    share = share.where(share == 0, 1.0)
    np.testing.assert_allclose(total, ch4grid.budget(product, region=share, years=2001).mean)
    with pytest.raises(InputError, match=r"reaches beyond the product.*of its area outside"):
        ch4grid.budget(cut.sel(latitude=slice(0, 60)), region=BOX)


@pytest.mark.parametrize(
    ("region", "years", "message"),
    [
        ("atlantis", None, "neither one of the product nor a file.*globe, southern"),
        (BOX, 2007, r"lacks a year.*Expected some of 2001, 2002.*Found 2007"),
        (xr.DataArray(np.ones(5), dims="latitude"), None, "grid"),
        (xr.DataArray(np.full(GRID.shape, 2.0), dims=("latitude", "longitude")), None, "share"),
    ],
)
def test_what_the_product_has_not_is_refused(product, region, years, message) -> None:
    with pytest.raises(InputError, match=message):
        ch4grid.budget(product, region=region, years=years)


@pytest.mark.parametrize("region", [None, "tropics", xr.DataArray(1.0)])
def test_a_feature_of_what_is_no_geojson_is_refused(product: xr.Dataset, region) -> None:
    with pytest.raises(InputError, match=r"only be taken from GeoJSON.*Found Peru"):
        ch4grid.budget(product, region=region, feature="Peru")


def test_a_product_turned_north_up_gives_the_same(product: xr.Dataset) -> None:
    turned = product.isel(latitude=slice(None, None, -1))
    found, expected = (ch4grid.budget(ds, region=BOX, years=2001) for ds in (turned, product))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)


def test_a_product_on_another_grid_takes_no_polygon(product: xr.Dataset) -> None:
    moved = product.assign_coords(longitude=product["longitude"] + 3.0)
    with pytest.raises(InputError, match="not on a regular global grid"):
        ch4grid.budget(moved, region=BOX)


def test_classes_of_a_polygon_add_up_to_its_mean(product: xr.Dataset) -> None:
    place = account.place_of(product, BOX)
    mean = account.monthly(product, place).mean("member")
    assert account.by_class(product, place).dims == ("time", "ecosystem")
    np.testing.assert_allclose(
        account.by_class(product, place).sum("ecosystem"), mean, rtol=2e-5, atol=1e-6
    )
    tropics = account.by_class(product, account.place_of(product, "tropics"))
    assert set(tropics.dims) == {"member", "time", "ecosystem"}


def correlated_product(box: tuple[int, int, int, int], members: int) -> xr.Dataset:
    """One degree, one year of errors that do not change in time, correlated as exp(-distance / 500 km) in a box."""
    grid, (west, south, east, north) = Grid(1.0), box
    rows, columns = slice(south + 90, north + 90), slice(west + 180, east + 180)
    latitude, longitude = grid.latitude[rows], grid.longitude[columns]
    y, x = (v.ravel() for v in np.meshgrid(latitude, longitude, indexing="ij"))
    distance = great_circle_km(y[:, None], x[:, None], y, x)
    root = np.linalg.cholesky(np.exp(-distance / 500.0) + 1e-9 * np.eye(y.size))
    draws = np.random.default_rng(7).normal(size=(members, y.size)) @ root.T
    shape = (12, latitude.size, longitude.size)
    plane = ("latitude", "longitude")
    flux = 1e-9 * (3 + draws.reshape(members, 1, *shape[1:]))
    return xr.Dataset(
        {
            "ch4_flux_member": (
                ("member", "time", *plane),
                np.broadcast_to(flux, (members, *shape)),
            ),
            "ch4_flux_standard_error": (("time", *plane), np.full(shape, 1e-9)),
            "cell_area": (plane, grid.cell_area[rows, columns]),
        },
        coords={"time": months(2001, 2001), "latitude": latitude, "longitude": longitude},
    )


@pytest.mark.parametrize(
    ("box", "independent", "correlated"),
    # peers' arithmetic at 0.25 degrees: 39.1 and 2.0; 34.0 and 2.6. A degree has a sixteenth of the cells.
    [((10, 50, 30, 70), 39.1 / 4, 2.0), ((-75, -15, -50, 5), 34.0 / 4, 2.6)],
)
def test_independence_understates_and_full_correlation_overstates(
    box, independent, correlated
) -> None:
    ds = correlated_product(box, members=400)
    told = ch4grid.spreads(ds).isel(year=0)
    # in space as planted; errors that stay through the year make independence of months worse by the root of twelve
    assert float(told["understated"]) / np.sqrt(12) == pytest.approx(independent, rel=0.12)
    assert float(told["overstated"]) == pytest.approx(correlated, rel=0.12)
    found = ch4grid.budget(ds, years=2001)
    half = float((found.upper - found.mean).sel(year=2001))
    # the interval at 90 % is that of the planted spread: 1.645 standard deviations within 5 %
    assert half / float(told["members"]) == pytest.approx(1.645, rel=0.05)


def test_spreads_of_independent_cells_are_those_of_quadrature() -> None:
    rng, grid = np.random.default_rng(3), Grid(10.0)
    plane, time = ("latitude", "longitude"), months(2001, 2001)
    error = rng.uniform(0.5e-9, 2e-9, (12, *grid.shape))
    members = error * rng.normal(size=(300, 12, *grid.shape))
    ds = xr.Dataset(
        {
            "ch4_flux_member": (("member", "time", *plane), members),
            "ch4_flux_standard_error": (("time", *plane), error),
            "cell_area": (plane, grid.cell_area),
        },
        coords={"time": time, **grid.coords},
    )
    told = ch4grid.spreads(ds, region=BOX)
    assert float(told["understated"].isel(year=0)) == pytest.approx(1.0, abs=0.12)
    assert float(told["overstated"].isel(year=0)) > 10


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["budget", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_prints_years_and_their_mean(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "box.geojson"
    file.write_text(json.dumps({"type": "Feature", "properties": {"n": "Box"}, "geometry": BOX}))
    told = json.loads(run(str(store), "--region", str(file), "--feature", "Box", "--json"))
    found = ch4grid.budget(ch4grid.open(store), region=BOX, years=[2001, 2002])
    assert [r["years"] for r in told["rows"]] == ["2001", "2002", "mean of 2"]
    assert told["rows"][0]["lower"] == pytest.approx(float(found.lower.sel(year=2001)), rel=1e-12)
    assert told["rows"][2]["upper"] == pytest.approx(float(found.period.upper), rel=1e-12)
    assert (told["units"], told["level"], told["years"]) == ("Tg per year", 0.9, [2001, 2002])
    text = run(str(store), "--region", str(file), "--by-class")
    assert "rice-paddy" in text
    assert "name the region in the recipe" in text


def test_the_command_shows_classes_and_naive_rules_of_a_named_region(store: Path) -> None:
    told = json.loads(
        run(
            str(store), "--region", "tropics", "--year", "2002", "--by-class", "--compare", "--json"
        )
    )
    first, *classes = told["rows"]
    assert first["understated"] == pytest.approx(first["members"] / first["independent"])
    assert len(classes) == 7
    assert sum(c["mean"] for c in classes) == pytest.approx(first["mean"], rel=1e-9)
    assert all(c["lower"] <= c["mean"] <= c["upper"] for c in classes)
    assert "overstated" in run(str(store), "--year", "2002", "--compare")
