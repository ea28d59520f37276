"""Any model makes a checkpoint that a product can be made with: kept, opened again, calibrated, the same every time."""

from pathlib import Path

import numpy as np
import pytest
from planted_model import SMALL, known_graph, settings, towers

from ch4grid import training
from ch4grid.models import Checkpoint
from ch4grid.models.learner import Learner
from ch4grid.models.stacking import Stack
from ch4grid.models.tabular import ExtraTrees, Ridge
from ch4grid.models.transfer.config import Transfer

TREES = ExtraTrees(trees=20, min_leaf=5)
TRANSFER = Transfer(source_steps=60, steps=60)
MODELS = [TREES, Stack(of=(SMALL, Ridge(), TREES)), TRANSFER]


def _fitted(model: Learner) -> Checkpoint:
    told = settings(model=model, members=3, simulation=towers())
    return training.fit(towers(), towers(), **told)


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: model.architecture)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return _fitted(request.param)


def test_a_checkpoint_opens_as_it_was_saved(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.save(tmp_path)
    again = Checkpoint.load(tmp_path)
    assert again.digest == checkpoint.digest
    assert again.config == checkpoint.config
    for name in ("location", "scale", "quantile_location"):
        np.testing.assert_array_equal(
            again.predict(towers(), last=12)[name], checkpoint.predict(towers(), last=12)[name]
        )


def test_a_model_that_learns_from_a_simulation_opens_without_it_and_without_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _fitted(TRANSFER)
    made.save(tmp_path)

    def refused(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(Transfer, "fit", refused)
    opened = Checkpoint.load(tmp_path)
    assert opened.refit is not None
    assert opened.refit.training.simulation is None
    said = opened.predict(towers(), last=12)["location"]
    np.testing.assert_array_equal(said, made.predict(towers(), last=12)["location"])


def test_members_differ_and_their_number_is_asked_for(checkpoint: Checkpoint) -> None:
    location = checkpoint.predict(towers())["location"].values
    assert len(location) == len(checkpoint.members) == 3
    assert np.ptp(location, axis=0).max() > 0.01
    assert np.isfinite(location).all()


def test_the_checkpoint_is_calibrated_and_tells_its_skill(checkpoint: Checkpoint) -> None:
    assert checkpoint.calibration["clusters"] > 2
    assert checkpoint.skill[0]["asinh_nse"] > 0.3
    assert checkpoint.structure is not None


def test_points_do_not_depend_on_the_points_beside_them(checkpoint: Checkpoint) -> None:
    points = towers()
    alone = checkpoint.predict(points.isel(site=[3]), last=12)["location"].values
    beside = checkpoint.predict(points, last=12)["location"].values[:, 3:4]
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_weights_of_a_stack_sum_to_one_and_its_law_is_their_mean(tmp_path: Path) -> None:
    found = _fitted(MODELS[1])
    assert sum(found.weights) == pytest.approx(1.0)
    assert len(found.parts) == 3
    parts = [part.predict(towers())["location"].values for part in found.parts]
    mean = np.tensordot(np.array(found.weights), np.stack(parts), axes=1)
    np.testing.assert_allclose(found.predict(towers())["location"], mean, atol=1e-5)


def test_a_fold_is_discovered_without_its_clusters() -> None:
    seen = []

    def watched(series, **how):
        seen.append(set(series["site"].values.tolist()))
        return known_graph(series, **how)

    training.fit(towers(), towers(), **settings(model=Ridge(), members=2, discoverer=watched))
    everyone = set(towers()["site"].values.tolist())
    assert seen[0] == everyone
    assert all(len(part) < len(everyone) for part in seen[1:])


def test_locations_stay_within_what_the_class_has_shown() -> None:
    found = _fitted(Ridge(alpha=0.1))
    hot = towers().assign(tas=towers()["tas"] + 200.0)
    location = found.predict(hot)["location"].values
    assert found.refit is not None
    codes = towers()["ecosystem"].values.astype(int)
    assert (location <= found.refit.limits[1, codes, None] + 1e-5).all()
    assert (location >= found.refit.limits[0, codes, None] - 1e-5).all()
