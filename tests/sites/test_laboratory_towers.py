"""The laboratory as a source of towers."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from ch4grid.sites import TwinLaboratory, assemble
from ch4grid.stores import Workspace
from ch4grid.twin import Twin, laboratory
from ch4grid.vocabulary import GASES

CH4 = GASES["ch4"]


def _opened(folder: Path, **how: object):  # type: ignore[no-untyped-def]
    source = TwinLaboratory(towers=2, period=(2001, 2001), **how)
    return assemble([source], Workspace(folder, folder), CH4)


def test_every_class_has_its_towers_with_drivers_and_clusters(tmp_path: Path) -> None:
    sites = _opened(tmp_path)
    assert sites.sizes == {"site": 14, "time": 12}
    assert {"ch4_flux", "ch4_flux_coverage", "tas", "evi", "urban_fraction"} <= set(sites.data_vars)
    assert sites["cluster"].dims == ("site",)
    assert list(tmp_path.iterdir()) == []


def test_it_measures_what_the_laboratory_of_its_planet_measures(tmp_path: Path) -> None:
    sites = _opened(tmp_path, ecosystems=["urban"], gradient=True, urban_reversal=False)
    planet = Twin(seed=1, first_year=2001, last_year=2001, urban_reversal=False)
    direct = laboratory(planet, ecosystems=["urban"], towers=2, gradient=True)
    np.testing.assert_array_equal(sites["ch4_flux"], direct.sortby("site")["ch4_flux"])


def test_another_gas_is_measured_at_the_same_places(tmp_path: Path) -> None:
    source = TwinLaboratory(towers=2, period=(2001, 2001), ecosystems=("upland",))
    methane, carbon = (source.open(Workspace(tmp_path, tmp_path), GASES[g]) for g in ("ch4", "co2"))
    assert "co2_flux" in carbon
    np.testing.assert_array_equal(methane["latitude"], carbon["latitude"])


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"ecosystems": ["lake"]}, "no such class: lake"),
        ({"period": [2003, 2001]}, "ends \\(2001\\) before it begins \\(2003\\)"),
        ({"towers": 1}, "greater than or equal to 2"),
    ],
)
def test_wrong_settings_are_refused(how: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TwinLaboratory(**how)  # type: ignore[arg-type]
