"""No export loses or gains a gram: totals from the files by brute force against the budget, for any field."""

import math
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import planted_cells as cells
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.errors import RunError
from ch4grid.exports import EXPORTS
from ch4grid.exports.closure import proved
from ch4grid.exports.contract import TOTALS
from ch4grid.exports.grids import GRIDS
from ch4grid.exports.imi import deviation, regridded
from ch4grid.exports.source import Source
from ch4grid.grid import Grid
from ch4grid.regridding import Cells
from ch4grid.regridding.weights import conservative_weights
from ch4grid.vocabulary import ECOSYSTEMS

CH4_KG_PER_MOL = 0.0160425
SPHERE = 6371007.2
# name of the consumer, variable of the sum, kilograms of its unit of amount
SUMS = {
    "geoschem": ("emi_ch4", 1.0),
    "icos": ("CH4", 1.0),
    "openghg": ("flux", CH4_KG_PER_MOL),
}
choices = st.one_of(
    st.just(((), None)),
    st.tuples(st.sets(st.sampled_from(ECOSYSTEMS), min_size=1).map(tuple), st.none()),
    st.tuples(st.just(()), st.integers(0, cells.MEMBERS - 1)),
)


def made(name: str, source: Source, request, folder: Path) -> Path:
    """The first file of an export, which proves itself while it is made."""
    piece = next(EXPORTS[name].pieces(source, request))
    piece.make(folder / piece.name)
    return folder / piece.name


@settings(max_examples=12)
@given(
    name=st.sampled_from(sorted(SUMS)),
    seed=st.integers(0, 10**6),
    resolution=st.sampled_from([10.0, 15.0, 30.0]),
    choice=choices,
)
def test_monthly_totals_of_a_file_are_the_budget(name, seed, resolution, choice):
    source = cells.source(seed, resolution)
    names = tuple(e for e in source.ecosystems if e in choice[0])
    request = cells.request(source, *names, member=choice[1])
    variable, kg = SUMS[name]
    with TemporaryDirectory() as folder:
        path = made(name, source, request, Path(folder))
        found = cells.masses(path, variable, source.grid.cell_area, kg)
    table = source.ds["ch4_budget"].sel(ecosystem=list(request.ecosystems))
    table = table.mean("member") if choice[1] is None else table.sel(member=choice[1])
    expected = table.sum(("ecosystem", "region")).values
    scale = cells.gross(source, 2004, request.ecosystems)
    assert (np.abs(found - expected) <= TOTALS * np.maximum(scale, np.abs(expected))).all()


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["2x2.5", "4x5"]), wetland=st.booleans())
def test_monthly_totals_on_a_grid_of_geos_chem_are_the_budget(seed, name, wetland):
    source = cells.source(seed, 15.0)
    names = ("boreal-peatland", "coastal") if wetland else ()
    request = cells.request(source, *names, grid=name)
    with TemporaryDirectory() as folder:
        path = made("imi", source, request, Path(folder))
        found = cells.masses(path, "emis_ch4", sphere_areas(name))
    table = source.ds["ch4_budget"].sel(ecosystem=list(request.ecosystems)).mean("member")
    expected = table.sum(("ecosystem", "region")).values
    scale = cells.gross(source, 2004, request.ecosystems)
    assert (np.abs(found - expected) <= TOTALS * np.maximum(scale, np.abs(expected))).all()


def sphere_areas(name: str) -> np.ndarray:
    """Areas of a grid of GEOS-Chem from its name alone [m2]."""
    high, wide = (float(v) for v in name.split("x"))
    edges = [-90.0, *np.arange(-90 + high / 2, 90, high), 90.0]
    rows = [
        SPHERE**2 * math.radians(wide) * (math.sin(math.radians(n)) - math.sin(math.radians(s)))
        for s, n in pairwise(edges)
    ]
    return np.repeat(np.array(rows)[:, None], round(360 / wide), axis=1)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    resolution=st.sampled_from([3.0, 5.0, 7.5, 20.0]),
    name=st.sampled_from(["2x2.5", "4x5"]),
)
def test_regridding_to_a_grid_of_geos_chem_keeps_the_mass_and_a_constant(seed, resolution, name):
    source, grid = Grid(resolution), GRIDS[name]
    weights = conservative_weights(Cells.of_grid(source), grid.cells, "wgs84")
    field = np.random.default_rng(seed).normal(0.0, 1.0, (1, *source.shape))
    mass = (regridded(field, weights, grid) * sphere_areas(name)).sum()
    assert abs(mass - (field * source.cell_area).sum()) < 1e-12 * source.cell_area.sum()
    flat = regridded(np.ones((1, *source.shape)), weights, grid)
    np.testing.assert_allclose(flat[0], np.broadcast_to(grid.flattening, flat[0].shape), rtol=1e-12)


def test_a_point_source_stays_where_it_is_on_a_grid_of_geos_chem():
    source, grid = Grid(1.0), GRIDS["4x5"]
    weights = conservative_weights(Cells.of_grid(source), grid.cells, "wgs84")
    field = np.zeros((1, *source.shape))
    row, column = (int(v[0]) for v in source.cell_of(np.array([62.5]), np.array([-179.5])))
    field[0, row, column] = 1.0
    found = regridded(field, weights, grid)[0]
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert (grid.latitude[y], grid.longitude[x]) == (62.0, -180.0)
    assert np.count_nonzero(found) == 1


def test_grids_of_geos_chem_have_the_centres_of_its_archives():
    known = {
        "4x5": ((-89.0, -86.0, 89.0), 46, (-180.0, 175.0), 72),
        "2x2.5": ((-89.5, -88.0, 89.5), 91, (-180.0, 177.5), 144),
        "0.5x0.625": ((-89.875, -89.5, 89.875), 361, (-180.0, 179.375), 576),
        "0.25x0.3125": ((-89.9375, -89.75, 89.9375), 721, (-180.0, 179.6875), 1152),
    }
    for name, (north, rows, east, columns) in known.items():
        grid = GRIDS[name]
        assert tuple(grid.latitude[[0, 1, -1]]) == north
        assert tuple(grid.longitude[[0, -1]]) == east
        assert (grid.latitude.size, grid.longitude.size) == (rows, columns)
        np.testing.assert_allclose(grid.area, sphere_areas(name), rtol=1e-9)


def test_the_deviation_of_a_regridded_flux_is_that_of_dense_weights():
    source, grid = Grid(30.0), GRIDS["4x5"]
    weights = conservative_weights(Cells.of_grid(source), grid.cells, "wgs84")
    rng = np.random.default_rng(7)
    members, excess = rng.normal(0, 1, (4, 2, *source.shape)), rng.random((2, *source.shape))
    rows, columns = weights.rows.matrix, weights.columns.matrix
    found = deviation(members, excess, rows, columns)
    dense = np.einsum("ry,cx->rcyx", rows.toarray(), columns.toarray())
    each = np.einsum("rcyx,mtyx->mtrc", dense, members)
    own = np.einsum("rcyx,tyx->trc", dense**2, excess)
    np.testing.assert_allclose(found, np.sqrt(each.var(axis=0, ddof=1) + own), rtol=1e-10)


def test_errors_that_cells_share_do_not_cancel_and_their_own_do():
    source, grid = Grid(0.5), GRIDS["4x5"]
    weights = conservative_weights(Cells.of_grid(source), grid.cells, "wgs84")
    rows, columns = weights.rows.matrix, weights.columns.matrix
    shared = np.array([-1.0, 1.0]).reshape(2, 1, 1, 1) * np.ones((2, 1, *source.shape))
    none = np.zeros((1, *source.shape))
    np.testing.assert_allclose(deviation(shared, none, rows, columns), np.sqrt(2.0), rtol=1e-9)
    own = deviation(0 * shared, none + 1.0, rows, columns)
    # 8 x 10 cells of nearly one size
    assert own[0, 23, 10] == pytest.approx(1 / np.sqrt(80), rel=0.01)


def test_moles_times_molar_mass_are_the_flux_of_the_product(tmp_path):
    import xarray as xr

    source = cells.source(3, 15.0)
    path = made("openghg", source, cells.request(source), tmp_path)
    with xr.open_dataset(path) as read:
        back = read["flux"].values.astype(np.float64) * CH4_KG_PER_MOL
        assert read["flux"].attrs["units"] == "mol/m2/s"
    flux = np.nan_to_num(source.ds["ch4_flux"].values.astype(np.float64))
    np.testing.assert_allclose(back, flux, rtol=1.2e-7, atol=0)


@pytest.mark.parametrize(("name", "kg"), [("icos", 1.0), ("openghg", 0.0440095)])
def test_another_gas_has_its_own_name_and_molar_mass(name, kg, tmp_path):
    source = cells.of_gas(cells.source(4, 30.0), "co2")
    path = made(name, source, cells.request(source), tmp_path)
    variable = "CO2" if name == "icos" else "flux"
    found = cells.masses(path, variable, source.grid.cell_area, kg)
    expected = source.ds["co2_budget"].mean("member").sum(("ecosystem", "region")).values
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert path.name.lower().startswith("co2")


@settings(max_examples=25)
@given(st.floats(2e-6, 1.0), st.sampled_from([-1, 1]), st.integers(0, 11))
def test_a_total_that_departs_by_more_than_the_contract_is_refused(share, sign, month):
    expected = np.linspace(1.0, 2.0, 12)
    total = expected.copy()
    total[month] += sign * share * expected[month]
    with pytest.raises(RunError, match=rf"budget of the product\. .*in month {month + 1},"):
        proved(Path("x.nc"), total, expected, expected)
    assert proved(Path("x.nc"), expected, expected, expected) == 0.0


def test_a_total_that_is_no_number_is_refused():
    with pytest.raises(RunError, match="budget of the product"):
        proved(Path("x.nc"), np.full(12, np.nan), np.ones(12), np.ones(12))


@pytest.mark.parametrize("name", ["geoschem", "icos", "imi", "openghg"])
def test_a_file_with_a_wrong_month_is_refused(name, tmp_path, monkeypatch):
    source = cells.source(5, 30.0)
    true = Source.flux

    def wrong(self, year, request, rows=slice(None)):
        flux = true(self, year, request, rows).copy()
        flux[6] *= 31 / 30
        return flux

    monkeypatch.setattr(Source, "flux", wrong)
    with pytest.raises(RunError, match="does not hold the budget of the product"):
        made(name, source, cells.request(source, grid="4x5"), tmp_path)
