"""The ledger: one row per object, the same bytes for the same rows."""

import numpy as np
import planted_product as planted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ch4grid import ledger
from ch4grid.errors import InputError
from ch4grid.stores import sha256_file


def row(key: str, year: int | None, state: str = "published") -> ledger.Row:
    made = ledger.row(key.split("/")[0], key, key.encode(), np.arange(3.0), year=year, inputs="i")
    return ledger.in_state([made], state)[0]


def test_statistics_leave_missing_values_out():
    values = np.array([np.nan, 1.0, 3.0], dtype=np.float32)
    found = ledger.row("v", "v/c/0", b"x", values, year=2001, inputs="i")
    assert (found.n_valid, found.min, found.mean, found.max) == (2, 1.0, 2.0, 3.0)
    empty = ledger.row("v", "v/c/0", b"x", values[:1], year=2001, inputs="i")
    assert (empty.n_valid, empty.mean) == (0, None)
    words = ledger.row("v", "v/c/0", b"x", np.array(["a"], dtype=object), year=None, inputs="i")
    assert words.n_valid == 1


@given(st.permutations([row(f"v/c/{i}", y) for i, y in enumerate([None, 2001, 2002, 2003])]))
def test_the_file_depends_on_the_rows_and_not_on_their_order(tmp_path_factory, rows):
    store = tmp_path_factory.mktemp("ledger") / "a.zarr"
    ledger.write(store, rows, root_sha256="r")
    first = ledger.path_of(store).read_bytes()
    ledger.write(store, reversed(rows), root_sha256="r")
    assert ledger.path_of(store).read_bytes() == first
    assert ledger.rows_of(store) == ledger.merge([], rows)
    assert ledger.root_digest(store) == "r"


def test_merging_replaces_rows_of_the_same_key():
    old, new = row("v/c/0", 2001, "written"), row("v/c/0", 2001, "verified")
    assert ledger.merge([old, row("v/c/1", 2002)], [new])[0].state == "verified"


def test_a_year_is_published_when_all_its_data_are(tmp_path):
    store = tmp_path / "a.zarr"
    rows = [
        row("v/c/0", 2001),
        row("v/c/1", 2002),
        row("w/c/1", 2002, "verified"),
        row("time/c/2", 2003),
    ]
    ledger.write(store, rows, root_sha256=None)
    assert ledger.published_years(store) == (2001,)


def test_the_ledger_of_a_product_describes_every_object(tmp_path):
    store = planted.write_years(tmp_path, 2001)
    table = ledger.read(store)
    files = {p.relative_to(store).as_posix() for p in store.rglob("*") if p.is_file()}
    assert set(table["key"]) == {f for f in files if not f.endswith("zarr.json")}
    assert set(table["state"]) == {"published"}
    for key, digest, size in zip(table["key"], table["sha256"], table["bytes"], strict=True):
        assert sha256_file(store / key) == digest
        assert (store / key).stat().st_size == size
    assert table.loc[table["variable"] == "cell_area", "year"].isna().all()


def test_no_ledger_is_no_rows_and_a_broken_one_is_an_error(tmp_path):
    store = tmp_path / "a.zarr"
    assert ledger.rows_of(store) == []
    assert ledger.published_years(store) == ()
    assert ledger.root_digest(store) is None
    ledger.path_of(store).write_bytes(b"not parquet")
    with pytest.raises(InputError, match="ledger cannot be read"):
        ledger.read(store)
