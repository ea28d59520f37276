"""What lacks becomes requests: one per month, into files that the recipe's path matches, nothing asked for twice."""

from pathlib import Path

import pandas as pd
import pytest
from planted_sources import Cmg, Planted, Tiles

from ch4grid.drivers import ERA5, MODIS, LandCover
from ch4grid.drivers.era5.source import SOURCES as ERA5_SOURCES
from ch4grid.drivers.modis import layers
from ch4grid.drivers.source import Holding
from ch4grid.errors import RecipeError
from ch4grid.fetching.orders import CDS, CMG, NATIVE, TILES, orders_of
from ch4grid.stores import Workspace

MAY, JUNE = pd.Timestamp("2024-05-01"), pd.Timestamp("2024-06-01")


def holding(name: str, month: pd.Timestamp | None, state: str = "missing", *files: Path) -> Holding:
    return Holding("era5", name, month, state, tuple(files))  # type: ignore[arg-type]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path / "products")


def test_each_month_is_one_request_of_its_own(workspace: Workspace) -> None:
    found = [holding(n, m) for n in ("tas", "vpd", "pr") for m in (MAY, JUNE)]
    orders = orders_of(Planted(), found, workspace, JUNE)
    assert [o.target for o in orders] == ["era5_2024-05.nc", "era5_2024-06.nc"]
    assert orders[0].asked == ("2m_temperature", "2m_dewpoint_temperature", "total_precipitation")
    assert orders[0].names == ("t2m", "d2m", "tp")
    assert orders[0].folder == workspace.data / "era5"
    assert orders[0].collection == "reanalysis-era5-single-levels-monthly-means"


def test_nothing_is_ordered_where_nothing_lacks(workspace: Workspace) -> None:
    held = [holding("tas", MAY, "final", Path("a.nc")), holding("evi", MAY, "climatology")]
    assert orders_of(Planted(), held, workspace, MAY) == []


def test_the_land_reanalysis_has_components_of_the_wind_and_its_own_snow(
    workspace: Workspace,
) -> None:
    source = Planted(path="era5-land/*.nc", variables=("sfcWind", "snw"))
    found = [holding("sfcWind", MAY), holding("snw", MAY)]
    (order,) = orders_of(source, found, workspace, MAY)
    assert order.collection == "reanalysis-era5-land-monthly-means"
    assert order.asked == (
        "10m_u_component_of_wind",
        "10m_v_component_of_wind",
        "snow_depth_water_equivalent",
    )
    assert order.target == "era5-land_2024-05.nc"


def test_a_short_name_that_another_file_holds_is_not_asked_for(workspace: Workspace) -> None:
    other = workspace.data / "era5" / "t2m_all.nc"
    found = [holding("tas", MAY, "final", other), holding("vpd", MAY)]
    (order,) = orders_of(Planted(), found, workspace, MAY)
    assert order.names == ("d2m",)


def test_a_file_that_is_replaced_keeps_what_it_held(workspace: Workspace) -> None:
    same = workspace.data / "era5" / "era5_2024-05.nc"
    found = [holding("tas", MAY, "final", same), holding("pr", MAY)]
    (order,) = orders_of(Planted(), found, workspace, MAY)
    assert order.names == ("t2m", "tp")


def test_damaged_and_preliminary_files_are_fetched_anew(workspace: Workspace) -> None:
    file = workspace.data / "era5" / "era5_2024-05.nc"
    for state in ("damaged", "preliminary"):
        (order,) = orders_of(Planted(), [holding("tas", MAY, state, file)], workspace, MAY)
        assert order.stale == {"era5_2024-05.nc"}


@pytest.mark.parametrize(
    ("pattern", "name", "formats"),
    [
        ("era5/*.nc", "era5_2024-05.nc", 3),
        ("era5/monthly-*.nc", "monthly-2024-05.nc", 3),
        ("era5/*", "era5_2024-05.nc", 3),
        ("era5/*.grib", "era5_2024-05.grib", 1),
    ],
)
def test_the_file_is_named_as_the_path_wants(
    workspace: Workspace, pattern: str, name: str, formats: int
) -> None:
    (order,) = orders_of(Planted(path=pattern), [holding("tas", MAY)], workspace, MAY)
    assert (order.target, len(order.formats)) == (name, formats)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("era5/all.nc", "leaves no room for a file per month"),
        ("*/era5/*.nc", "the folder of a source is a pattern"),
        ("https://host/era5.zarr", "read in place"),
    ],
)
def test_a_path_without_room_for_new_files_is_said(
    workspace: Workspace, path: str, words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        orders_of(Planted(path=path), [holding("tas", MAY)], workspace, MAY)


def test_granules_are_ordered_by_product_and_month(workspace: Workspace) -> None:
    found = [holding(n, m) for n in ("evi", "ndvi", "lst_day") for m in (MAY, JUNE)]
    orders = orders_of(Cmg(variables=("evi", "ndvi", "lst_day")), found, workspace, JUNE)
    assert [(o.collection, o.prefix) for o in orders] == [
        ("MOD11C3", "MOD11C3.A2024122"),
        ("MOD11C3", "MOD11C3.A2024153"),
        ("MOD13C2", "MOD13C2.A2024122"),
        ("MOD13C2", "MOD13C2.A2024153"),
    ]
    assert orders[2].names == ("CMG 0.05 Deg Monthly EVI", "CMG 0.05 Deg Monthly NDVI")
    aqua = Cmg(path="modis/MYD*.hdf", variables=("evi",))
    assert orders_of(aqua, [holding("evi", MAY)], workspace, MAY)[0].collection == "MYD13C2"


def test_land_cover_is_ordered_by_year(workspace: Workspace) -> None:
    found = [holding("forest_fraction", m) for m in (MAY, JUNE)]
    source = LandCover(path="cover/*.hdf", variables=("forest_fraction",))
    (order,) = orders_of(source, found, workspace, JUNE)
    assert (order.collection, order.period, order.prefix) == ("MCD12C1", "2024", "MCD12C1.A2024")
    chosen = LandCover(path="cover/*.hdf", variables=("forest_fraction",), year=2010)
    (order,) = orders_of(chosen, [holding("forest_fraction", None)], workspace, JUNE)
    assert order.period == "2010"


def test_the_platform_of_the_recipe_decides(workspace: Workspace) -> None:
    for told, expected in (
        (None, ["MOD13C2"]),
        ("terra", ["MOD13C2"]),
        ("aqua", ["MYD13C2"]),
        ("both", ["MOD13C2", "MYD13C2"]),
    ):
        source = MODIS(path="modis/*.hdf", variables=("evi",), platform=told)  # type: ignore[arg-type]
        orders = orders_of(source, [holding("evi", MAY)], workspace, MAY)
        assert [o.collection for o in orders] == expected


def test_wrong_accumulations_of_the_land_reanalysis_come_by_hour_of_day(
    workspace: Workspace,
) -> None:
    wrong, right = pd.Timestamp("2023-01-01"), pd.Timestamp("2024-03-01")
    source = ERA5(path="era5-land/*.nc", variables=("tas", "pr"))
    found = [holding(n, m) for n in ("tas", "pr") for m in (wrong, right)]
    orders = orders_of(source, found, workspace, right)
    assert [(o.target, o.asked, o.variant) for o in orders] == [
        ("era5-land_2023-01.nc", ("2m_temperature",), ""),
        (
            "era5-land_2023-01_by-hour-of-day.nc",
            ("total_precipitation",),
            "monthly_averaged_reanalysis_by_hour_of_day",
        ),
        ("era5-land_2024-03.nc", ("2m_temperature", "total_precipitation"), ""),
    ]


def test_the_key_of_the_recipe_tells_the_land_reanalysis(workspace: Workspace) -> None:
    for dataset, path, collection in (
        ("era5-land", "era5/*.nc", "reanalysis-era5-land-monthly-means"),
        ("era5", "land/*.nc", "reanalysis-era5-single-levels-monthly-means"),
    ):
        source = ERA5(path=path, variables=("tas",), dataset=dataset)  # type: ignore[arg-type]
        (order,) = orders_of(source, [holding("tas", MAY)], workspace, MAY)
        assert order.collection == collection


def test_hours_and_days_are_not_fetched(workspace: Workspace) -> None:
    source = ERA5(path="era5/*.nc", variables=("tas",), frequency="hourly")
    with pytest.raises(RecipeError, match="only monthly means are fetched"):
        orders_of(source, [holding("tas", MAY)], workspace, MAY)


def test_a_pressure_anomaly_needs_the_altitude_unless_it_has_a_reference(
    workspace: Workspace,
) -> None:
    for reference, names in ((None, ("sp", "z")), ((2001, 2010), ("sp",))):
        source = ERA5(path="era5/*.nc", variables=("psa",), reference=reference)
        (order,) = orders_of(source, [holding("psa", MAY)], workspace, MAY)
        assert order.names == names


def test_tiles_are_ordered_with_their_quality(workspace: Workspace) -> None:
    source = Tiles(variables=("lai", "gpp"))
    orders = orders_of(source, [holding("lai", MAY), holding("gpp", MAY)], workspace, MAY)
    assert [(o.collection, o.asked) for o in orders] == [
        ("modis-15A2H-061", ("Lai_500m", "FparLai_QC")),
        ("modis-17A2HGF-061", ("Gpp_500m", "Psn_QC_500m")),
    ]
    named = Tiles(path="tiles/MYD17A2H.*.hdf", variables=("gpp",))
    (order,) = orders_of(named, [holding("gpp", MAY)], workspace, MAY)
    assert (order.collection, order.asked, order.prefix) == (
        "modis-17A2H-061",
        ("hdf",),
        "MYD17A2H.",
    )


def test_every_variable_of_the_readers_can_be_ordered() -> None:
    assert set(NATIVE) == set(ERA5_SOURCES)
    assert {n for names in NATIVE.values() for n in names} <= set(CDS)
    assert set(CMG) == set(layers.variables_of(layers.CMG))
    assert set(TILES) == set(layers.variables_of(layers.TILES))


def test_every_data_set_ordered_is_the_one_that_is_read() -> None:
    for name, (product, sets) in CMG.items():
        assert layers.CMG[product].layers[name].name == sets[0]
    for name, (product, assets) in TILES.items():
        layer = layers.TILES[product].layers[name]
        assert tuple(map(layers.plain, assets)) == (
            layers.plain(layer.name),
            layers.plain(layer.quality),
        )
