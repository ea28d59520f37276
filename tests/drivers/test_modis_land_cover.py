import numpy as np
import pytest
from hdfeos import write
from pydantic import ValidationError

from ch4grid.drivers.modis.landcover import GROUPS, MAJORITY, PERCENT, LandCover
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

SHAPE = (36, 72)
NAMES = tuple(GROUPS)


def percentages(seed):
    """Rounded percentages of 17 classes, which add up to 99 to 101."""
    shares = np.random.default_rng(seed).dirichlet(np.full(17, 0.2), SHAPE)
    return np.rint(100 * shares).astype("uint8")


def granule(folder, year, percent):
    fields = {PERCENT: (percent, {}), MAJORITY: (percent.argmax(axis=2).astype("uint8"), {})}
    return write(folder / f"MCD12C1.A{year}001.061.{year + 1}172062638.hdf", fields)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def cover(names=NAMES, **settings):
    return LandCover(path="*.hdf", variables=names, **settings)


def test_every_class_is_in_one_group():
    assert sorted(c for codes in GROUPS.values() for c in codes) == list(range(17))


@pytest.mark.parametrize("layer", ["percent", "majority"])
def test_fractions_sum_to_one_where_anything_is_classified(workspace, layer):
    percent = percentages(1)
    percent[3, 4:7] = 0
    granule(workspace.data, 2020, percent)
    source = cover(layer=layer)
    ds = source.open(workspace, NAMES, months(2020, 2020)[:2]).load()
    total = ds.to_dataarray().sum("variable", skipna=False)
    assert np.isnan(total[0, 3, 4:7]).all() or layer == "majority"
    np.testing.assert_allclose(total[0].values[~np.isnan(total[0].values)], 1.0, rtol=1e-6)
    on_grid = source.on_grid(workspace, NAMES, months(2020, 2020)[:2], Grid(10.0))
    total = on_grid.values.to_dataarray().sum("variable", skipna=False)
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)


def test_fractions_are_the_shares_of_their_classes(workspace):
    percent = percentages(2)
    granule(workspace.data, 2020, percent)
    ds = cover().open(workspace, ("forest_fraction", "crop_fraction"), months(2020, 2020)[:1])
    whole = percent.sum(axis=2, dtype=float)
    forest = percent[..., 1:6].sum(axis=2, dtype=float) / whole
    crops = (percent[..., 12].astype(float) + percent[..., 14]) / whole
    np.testing.assert_allclose(ds["forest_fraction"][0], forest, rtol=1e-6)
    np.testing.assert_allclose(ds["crop_fraction"][0], crops, rtol=1e-6)
    assert ds["latitude"].values[0] == 87.5


def test_a_year_holds_for_its_months_and_the_last_one_afterwards(workspace):
    for year in (2019, 2020):
        granule(workspace.data, year, percentages(year))
    wanted = months(2018, 2022)
    held = cover(("forest_fraction",)).survey(workspace, wanted)
    states = [h.state for h in held]
    assert states == ["missing"] * 12 + ["final"] * 24 + ["climatology"] * 24
    assert held[-1].reason == "MCD12C1 ends with 2020, which is held constant"
    assert "A2020001" in held[-1].files[0].name
    source = cover(("forest_fraction", "urban_fraction"))
    out = source.on_grid(workspace, ("forest_fraction",), wanted[12:], Grid(5.0))
    forest = out.values["forest_fraction"].values
    assert forest.shape[0] == 48
    assert (forest[0] == forest[11]).all()
    assert (forest[11] != forest[12]).any()
    assert (forest[12] == forest[-1]).all()
    assert out.valid["forest_fraction"].values == pytest.approx(1.0)
    with pytest.raises(InputError, match="no MCD12C1 of 2018"):
        source.open(workspace, ("forest_fraction",), wanted)


def test_a_damaged_last_year_is_damaged_and_the_whole_one_before_is_held(workspace):
    granule(workspace.data, 2019, percentages(1))
    path = granule(workspace.data, 2020, percentages(2))
    path.write_bytes(path.read_bytes()[:-400])
    held = cover(("forest_fraction",)).survey(workspace, months(2019, 2021))
    assert [h.state for h in held] == ["final"] * 12 + ["damaged"] * 12 + ["climatology"] * 12
    assert "ends with 2019" in held[-1].reason


def test_a_chosen_year_does_not_change(workspace):
    granule(workspace.data, 2020, percentages(3))
    source = cover(("ice_fraction",), year=2020)
    (held,) = source.survey(workspace, months(2001, 2002))
    assert (held.month, held.state) == (None, "final")
    native = source.statics(workspace)["ice_fraction"]
    assert native.dims == ("latitude", "longitude")
    mean = source.statics_on_grid(workspace, Grid(5.0)).values["ice_fraction"]
    np.testing.assert_allclose(mean, native.values[::-1], rtol=1e-6)
    assert not cover().statics(workspace).data_vars
    (held,) = cover(("ice_fraction",), year=2001).survey(workspace, months(2001, 2002))
    assert held.state == "missing"


def test_another_layout_is_refused_with_its_shape(workspace):
    write(workspace.data / "MCD12C1.A2020001.061.hdf", {PERCENT: (percentages(1)[..., :5], {})})
    with pytest.raises(InputError, match=r"another shape.*\(36, 72, 5\)"):
        cover().open(workspace, NAMES, months(2020, 2020)[:1])


def test_an_unknown_fraction_is_refused_with_the_choice():
    with pytest.raises(ValidationError, match="no variable rice_fraction; it has forest_fraction"):
        cover(("rice_fraction",))
