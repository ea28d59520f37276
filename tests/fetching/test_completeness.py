"""A file that ends early, anywhere, is never taken for whole; a whole one always is."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_files import archive, granule, grib, netcdf

from ch4grid.fetching import Offer, Order
from ch4grid.fetching.completeness import check, format_of
from ch4grid.fetching.offer import CutError, RefusedError, checksum_of

LST = ("LST_Day_CMG", "QC_Day")
WHOLE = {
    "NetCDF-4": netcdf(("t2m", "d2m")),
    "NetCDF classic": netcdf(("t2m", "d2m"), form="NETCDF3_CLASSIC"),
    "ZIP": archive(
        instant=netcdf(("t2m",)), accumulated=netcdf(("d2m",), form="NETCDF3_64BIT", time="time")
    ),
    "GRIB": grib(300, 280),
    "HDF4": granule(*LST),
}
HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)


def accept(folder: Path, body: bytes, order: Order, form: str, size: int | None = None) -> None:
    path = folder / "file"
    path.write_bytes(body)
    names = LST if form == "HDF4" else ("t2m", "d2m")
    wanted = replace(order, formats=(form,), names=names)
    check(path, Offer("file", "", size), wanted)


@pytest.mark.parametrize("form", WHOLE)
def test_a_whole_file_is_accepted_in_its_format(tmp_path: Path, order: Order, form: str) -> None:
    accept(tmp_path, WHOLE[form], order, form, len(WHOLE[form]))
    assert format_of(tmp_path / "file") == form


@pytest.mark.parametrize("form", ["NetCDF-4", "NetCDF classic", "ZIP", "GRIB"])
@HERE
@given(data=st.data())
def test_a_cut_file_is_refused_even_without_an_announced_size(
    tmp_path: Path, order: Order, form: str, data: st.DataObject
) -> None:
    body = WHOLE[form]
    # up to three bytes of padding end a classic file
    kept = data.draw(st.integers(0, len(body) - 4))
    with pytest.raises(RefusedError):
        accept(tmp_path, body[:kept], order, form)


@pytest.mark.parametrize("form", WHOLE)
@HERE
@given(data=st.data())
def test_a_cut_file_is_told_by_its_announced_size(
    tmp_path: Path, order: Order, form: str, data: st.DataObject
) -> None:
    body = WHOLE[form]
    kept = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises((RefusedError, CutError)):
        accept(tmp_path, body[:kept], order, form, len(body))


@pytest.mark.parametrize("edition", [1, 2])
def test_grib_messages_are_counted(tmp_path: Path, order: Order, edition: int) -> None:
    accept(tmp_path, grib(120, 90, edition=edition), order, "GRIB")
    with pytest.raises(RefusedError, match="holds 1 messages, 2 were asked for"):
        accept(tmp_path, grib(120, edition=edition), order, "GRIB")
    with pytest.raises(RefusedError, match="byte 120 does not begin a GRIB message"):
        accept(tmp_path, grib(120, edition=edition) + b"page" * 30, order, "GRIB")
    padded = grib(100, edition=edition) + bytes(20) + grib(110, edition=edition) + bytes(10)
    accept(tmp_path, padded, order, "GRIB")


def test_a_real_grib_file_of_the_store_is_whole(real_data: Path, order: Order) -> None:
    path = real_data / "era5" / "ERA5_t2m_hourly_2019-03_UK.grib"
    wanted = replace(order, formats=("GRIB",), names=("t2m",))
    check(path, Offer(path.name, "", path.stat().st_size), wanted)


def test_real_files_of_the_store_tell_their_month(real_data: Path, order: Order) -> None:
    path = real_data / "era5" / "ERA5Land_moda_CDS2024_5x6_Jan2025.nc"
    with pytest.raises(RefusedError, match="2025-01"):
        check(path, Offer(path.name, ""), replace(order, names=()))


def test_a_granule_without_its_data_set_is_refused(tmp_path: Path, order: Order) -> None:
    with pytest.raises(RefusedError, match="data sets asked for are not in it: LST_Day_CMG"):
        accept(tmp_path, granule("QC_Day"), order, "HDF4")


@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        ("1220" + "ab" * 32, ("sha256", "ab" * 32)),
        ("D50110" + "0f" * 16, ("md5", "0f" * 16)),
        ("1114" + "01" * 20, ("sha1", "01" * 20)),
        ("0f" * 16, ("md5", "0f" * 16)),
        ("ab" * 32, ("sha256", "ab" * 32)),
        ("not a digest", None),
        (None, None),
        ("abcd", None),
    ],
)
def test_checksums_are_read_as_multihash_and_bare(
    announced: object, expected: tuple[str, str] | None
) -> None:
    assert checksum_of(announced) == expected
