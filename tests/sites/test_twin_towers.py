import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ch4grid.schema import check_sites
from ch4grid.sites.twin import TwinTowers
from ch4grid.stores import Workspace
from ch4grid.twin import Twin, network, true_flux
from ch4grid.twin.surface import CITIES
from ch4grid.vocabulary import ECOSYSTEMS, GASES

CH4 = GASES["ch4"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    base = tmp_path_factory.mktemp("twin")
    return Workspace(base, base)


def distance_km(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    cosine = np.sin(phi)[:, None] * np.sin(phi) + np.cos(phi)[:, None] * np.cos(phi) * np.cos(
        lam[:, None] - lam
    )
    return 6371.0 * np.arccos(np.clip(cosine, -1, 1))


def test_towers_are_sites(workspace: Workspace) -> None:
    sites = TwinTowers(seed=5).open(workspace, CH4)
    check_sites(sites.assign_coords(cluster=("site", np.arange(sites.sizes["site"]))), CH4)
    assert sites.sizes == {"site": 40, "time": 48}
    assert sites["ch4_flux_coverage"].min() >= 0
    assert sites["ch4_flux_coverage"].max() <= 1


@settings(max_examples=6)
@given(st.integers(0, 10_000))
def test_every_class_has_two_regions_and_europe_and_north_america_most_towers(seed: int) -> None:
    towers = network(Twin(seed=seed, resolution=4.0))
    apart = distance_km(towers["latitude"].to_numpy(), towers["longitude"].to_numpy()) > 300
    for name in ECOSYSTEMS:
        members = (towers["ecosystem"] == name).to_numpy()
        assert members.sum() >= 2
        assert apart[np.ix_(members, members)].any()
    assert (towers["latitude"].abs() < 30).sum() < 15


def test_some_towers_share_a_region_and_many_regions_are_seen() -> None:
    towers = network(Twin(seed=5))
    near = distance_km(towers["latitude"].to_numpy(), towers["longitude"].to_numpy()) < 300
    assert 5 <= (near.sum(axis=1) > 1).sum() <= 25
    assert np.unique(near.argmax(axis=1)).size >= 22


def test_towers_stand_where_their_class_is() -> None:
    twin = Twin(seed=5)
    for _, tower in network(twin).iterrows():
        fraction = twin.surface.fractions[ECOSYSTEMS.index(tower["ecosystem"])]
        assert fraction[:, tower["row"], tower["column"]].mean() > 0
    urban = network(twin).query("ecosystem == 'urban'")
    nearest = [
        min(np.hypot(t.latitude - a, t.longitude - o) for a, o in CITIES)
        for t in urban.itertuples()
    ]
    assert max(nearest) < 3


def test_measurements_scatter_about_the_true_flux_of_the_class(workspace: Workspace) -> None:
    source = TwinTowers(seed=5)
    sites = source.open(workspace, CH4)
    truth = true_flux(source.twin, network(source.twin), 2001, 2004)
    true = np.stack([truth[str(s)][1] for s in sites["site"].values])
    seen = sites["ch4_flux"].values / CH4.kg_per_nmol
    offset = np.arcsinh(seen / CH4.asinh_scale) - np.arcsinh(true / CH4.asinh_scale)
    assert abs(np.nanmean(offset)) < 0.06
    assert 0.08 < np.nanstd(offset) < 0.3
    within = offset - np.nanmean(offset, axis=1, keepdims=True)
    standard = within[np.isfinite(within)] / np.nanstd(within)
    assert (standard**4).mean() > 3.5  # heavier tails than the normal distribution


def test_a_fifth_to_a_third_of_the_months_are_not_measured(workspace: Workspace) -> None:
    sites = TwinTowers(seed=5).open(workspace, CH4)
    missing = np.isnan(sites["ch4_flux"].values)
    assert 0.15 < missing.mean() < 0.33
    assert (sites["ch4_flux_coverage"].values[~missing] >= 0.2).all()


def test_a_year_is_the_same_in_every_period(workspace: Workspace) -> None:
    long = TwinTowers(seed=5, resolution=4.0).open(workspace, CH4)
    short = TwinTowers(seed=5, resolution=4.0, period=(2003, 2003)).open(workspace, CH4)
    np.testing.assert_array_equal(short["ch4_flux"], long["ch4_flux"].sel(time="2003"))


def test_fewer_towers_are_the_first_of_more() -> None:
    few, many = (network(Twin(seed=5, resolution=4.0, towers=n)) for n in (14, 50))
    assert few.equals(many.iloc[:14])
    assert set(few["ecosystem"]) == set(ECOSYSTEMS)


def test_a_recipe_line_decodes_and_years_beyond_the_planet_are_refused() -> None:
    adapter = TypeAdapter(TwinTowers)
    assert adapter.validate_python({"source": "twin", "period": [2001, 2003]}).period == (
        2001,
        2003,
    )
    with pytest.raises(ValidationError, match="within 1999 to 2008, found 2001 to 2012"):
        adapter.validate_python({"source": "twin", "period": [2001, 2012]})
