"""One fold: settings, law of errors and model come from training towers alone."""

from dataclasses import replace
from typing import Literal, Self

import numpy as np
import planted_fits as planted
import pytest
import xarray as xr

from ch4grid.conformal import LEVELS
from ch4grid.errors import InputError
from ch4grid.evaluation import cross_fit, table
from ch4grid.evaluation.crossfit import columns, held_out_loss, measured_only
from ch4grid.evaluation.scoring import QUANTILES
from ch4grid.models.learner import Law, Learner, TrainingSet, out_of_fold, without_flux
from ch4grid.models.samples import Targets
from ch4grid.models.tabular import Climatology, Ridge

GAS = planted.GAS
C = GAS.asinh_scale


class Line(Learner):
    """The planted line plus an error of its own; it remembers every training set."""

    architecture: Literal["line"] = "line"
    error: float = 0.0
    scaled: bool = False
    others: tuple[float, ...] = ()

    def fit(self, training: TrainingSet) -> "Line":
        """Nothing to learn."""
        SEEN.append(set(training.samples["site"].values.tolist()))
        return self

    def candidates(self) -> tuple[Self, ...]:
        """The same line with other errors."""
        return (self, *(self.varied(error=error) for error in self.others))

    @property
    def parameters(self) -> int:
        """None."""
        return 0

    def predict(self, points: xr.Dataset) -> Law:
        """The line; its own scale is a tenth of the temperature above 270 K."""
        tas = points["tas"].values
        location = planted.LEVEL + planted.SLOPE * (tas - 280) + self.error
        return Law(location, 0.1 * np.maximum(tas - 270, 1.0) if self.scaled else None)


SEEN: list[set[str]] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    SEEN.clear()


def scored(fitted_to: TrainingSet, held: xr.Dataset, learner: Learner, **how: int) -> xr.Dataset:
    return cross_fit(learner, fitted_to, **how).predict(without_flux(held, GAS))


def inside(predicted: xr.Dataset, held: xr.Dataset) -> float:
    flux = held["ch4_flux"].values / GAS.kg_per_nmol
    low, high = (predicted["quantile_flux"].isel(quantile=i).values for i in (0, -1))
    good = np.isfinite(flux)
    return float(((flux >= low) & (flux <= high))[good].mean())


def test_settings_are_chosen_by_their_held_out_errors_among_as_many_as_allowed() -> None:
    training, _ = planted.apart(planted.towers(12), 12)
    line = Line(error=0.5, others=(0.1, 0.0))
    assert [
        cross_fit(line, training, candidates=number).learner.error  # type: ignore[attr-defined]
        for number in (1, 2, 3)
    ] == [0.5, 0.1, 0.0]


@pytest.mark.parametrize(("candidates", "fits"), [(1, 4), (2, 7)])
def test_every_fit_but_the_last_leaves_whole_clusters_out(candidates: int, fits: int) -> None:
    data = planted.towers(12)
    home = dict(zip(data["site"].values.tolist(), data["cluster"].values.tolist(), strict=True))
    line = Line(error=0.5, others=(0.1,))
    cross_fit(line, planted.apart(data, 12)[0], candidates=candidates, groups=3)
    assert len(SEEN) == fits
    for seen in (s for s in SEEN if len(s) < 12):
        assert not {home[s] for s in seen} & {home[s] for s in set(home) - seen}
    assert sum(len(s) == 12 for s in SEEN) == 1


@pytest.mark.parametrize("scaled", [False, True])
def test_intervals_hold_nine_in_ten_months_of_unseen_clusters(scaled: bool) -> None:
    training, held = planted.apart(planted.towers(60, seed=2), 40)
    predicted = scored(training, held, Line(scaled=scaled), candidates=1, groups=4)
    assert 0.84 < inside(predicted, held) < 0.98


def test_the_bias_of_a_model_is_learnt_away_from_its_law_and_not_from_its_location() -> None:
    training, held = planted.apart(planted.towers(60, seed=2), 40)
    straight, biased = (
        scored(training, held, Line(error=error), candidates=1) for error in (0.0, 1.0)
    )
    np.testing.assert_allclose(biased["location"], straight["location"] + 1.0)
    np.testing.assert_allclose(
        biased["quantile_flux"], straight["quantile_flux"], rtol=0.05, atol=1
    )
    assert 0.84 < inside(biased, held) < 0.98


def test_the_mean_lies_above_the_median_where_the_law_is_skewed() -> None:
    training, held = planted.apart(planted.towers(40), 32)
    predicted = scored(training, held, Line(), candidates=1)
    median = predicted["quantile_flux"].sel(quantile=0.5)
    warm = median > C
    assert (predicted["flux"] > median).where(warm, other=True).mean() > 0.9
    assert (predicted["quantile_flux"].diff("quantile") >= 0).all()


def test_a_held_out_tower_changes_nothing() -> None:
    data = planted.towers(16)
    training, held = planted.apart(data, 12)
    first = scored(training, held, Ridge())
    shuffled = held.assign(ch4_flux=held["ch4_flux"] * -7.0)
    xr.testing.assert_equal(first, scored(training, shuffled, Ridge()))


@pytest.mark.parametrize("clusters", [1, 2, 3])
def test_too_few_clusters_give_a_model_without_a_law(clusters: int) -> None:
    training, held = planted.apart(planted.towers(12), 2 * clusters)
    fitted = cross_fit(Line(error=0.5, others=(0.0,)), training, groups=3)
    assert fitted.conformal is None
    assert fitted.learner == Line(error=0.5, others=(0.0,))
    predicted = fitted.predict(without_flux(held, GAS))
    assert predicted["quantile_flux"].isnull().all()
    np.testing.assert_allclose(predicted["flux"], C * np.sinh(predicted["location"]))


def test_no_groups_is_one_fit() -> None:
    training, _ = planted.apart(planted.towers(12), 12)
    assert cross_fit(Line(), training, groups=0).conformal is None
    assert len(SEEN) == 1


def test_towers_that_measured_nothing_teach_nothing() -> None:
    data = planted.towers(12)
    hidden = data["ch4_flux"].where(data["cluster"] != 3)
    training = TrainingSet(data.assign(ch4_flux=hidden), series=data)
    kept = measured_only(training)
    assert set(kept.samples["cluster"].values) == {0, 1, 2, 4, 5}
    assert kept.series is not None
    assert kept.series.sizes["site"] == 10
    cross_fit(Line(), training)
    assert not any({"XX-06", "XX-07"} & seen for seen in SEEN)
    with pytest.raises(InputError, match="no month is measured well enough"):
        cross_fit(Line(), replace(training, samples=data.assign(ch4_flux=hidden * np.nan)))


def test_the_loss_is_zero_at_the_truth_and_grows_with_the_error() -> None:
    training, _ = planted.apart(planted.towers(12), 12)
    truth = Targets.of(training.samples, GAS).transformed
    assert held_out_loss(Law(truth), training) == 0.0
    assert held_out_loss(Law(truth + 0.5), training) == pytest.approx(0.25)
    assert held_out_loss(Law(truth - 1.0), training) == pytest.approx(1.0)


def test_out_of_fold_laws_are_those_of_models_that_miss_the_fold() -> None:
    training, _ = planted.apart(planted.towers(12), 12)
    fold = np.arange(12) // 2 % 3
    law = out_of_fold(Climatology(), training, fold)
    points = without_flux(training.samples, GAS)
    for k in range(3):
        left = training.subset(np.flatnonzero(fold != k))
        expected = Climatology().fit(left).predict(points.isel(site=fold == k))
        np.testing.assert_array_equal(law.location[fold == k], expected.location)
    assert law.scale is None
    scaled = out_of_fold(Line(scaled=True), training, fold)
    np.testing.assert_array_equal(scaled.scale, Line(scaled=True).predict(points).scale)


def test_the_same_training_set_gives_the_same_predictions() -> None:
    training, held = planted.apart(planted.towers(16), 12)
    xr.testing.assert_equal(*(scored(training, held, Ridge()) for _ in range(2)))


def test_a_table_has_the_months_of_the_mask_and_the_columns_that_scores_read() -> None:
    training, held = planted.apart(planted.towers(16), 12)
    predicted = scored(training, held, Line())
    at = np.isfinite(held["ch4_flux"].values)
    frame = table(predicted, at)
    assert len(frame) == at.sum()
    assert tuple(columns()) == QUANTILES
    assert list(frame) == ["predicted", "predicted_asinh", *QUANTILES]
    assert len(LEVELS) == len(QUANTILES)
    site, month = (int(i[5]) for i in np.nonzero(at))
    assert frame["predicted"][5] == float(predicted["flux"][site, month])
    assert frame["q95"][5] == float(predicted["quantile_flux"][-1, site, month])
