"""Another gas from towers to catalog: the recipe of methane with another row of the gas table."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from ch4grid import catalog
from ch4grid.recipe import load
from ch4grid.running import run, verify
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = {
    "period": [2001, 2001],
    "grid": {"resolution": 10.0},
    "training": {"period": [2001, 2002], "folds": 2, "fold_members": 2, "seed": 1},
    "discovery": {"settings": {"bootstraps": 5, "driver_bootstraps": 2}},
    "model": {"architecture": "ctgat", "members": 2, "steps": 10},
}


@pytest.mark.slow
@pytest.mark.parametrize("gas", ["co2", "n2o"])
def test_a_recipe_of_another_gas_gives_a_product_of_that_gas(gas: str, tmp_path: Path) -> None:
    document = yaml.safe_load((RECIPES / f"{gas}-twin.yaml").read_text()) | SMALL
    for source in (*document["drivers"], *document["sites"], *document["ecosystems"]["areas"]):
        source["resolution"] = 5.0
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    run(load(path), Workspace(data=tmp_path, output=tmp_path / "products"), cluster="local:1")
    store = tmp_path / f"products/{gas}-twin/v1/historical.zarr"
    assert verify(store) == []
    assert catalog.validate(tmp_path / "products/catalog") == []
    flux = GASES[gas].flux
    with xr.open_zarr(store) as opened:
        ds = opened.load()
    assert not [name for name in map(str, ds.data_vars) if name.startswith("ch4")]
    assert ds[flux].attrs["units"] == "kg m-2 s-1"
    assert GASES[gas].long_name in ds[flux].attrs["long_name"]
    assert ds[f"{gas}_budget"].attrs["units"] == "Tg"
    members = ds[f"{flux}_member"].astype(float)
    seconds = ds["time"].dt.days_in_month * 86400.0
    mass = (members * ds["cell_area"] * seconds).sum(("latitude", "longitude")) / 1e9
    table = ds[f"{gas}_budget"].sel(region="globe").sum("ecosystem")
    np.testing.assert_allclose(table, mass.transpose(*table.dims), rtol=1e-9)
    for page in (tmp_path / "products").rglob("*.html"):
        text = page.read_text().lower()
        assert "methane flux" not in text
        assert page.name != "historical.html" or GASES[gas].long_name in text
