from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.structure import StructuralModel
from ch4grid.twin.causes import DRIVERS, lag_matrices, lasting_response

NAMES = ("tas", "pr", "evi")


def model(seed: int = 0, **changed: object) -> StructuralModel:
    rng = np.random.default_rng(seed)
    coefficient = rng.uniform(-0.15, 0.15, (3, 4, 3, 3)).round(6)
    for table in coefficient:
        table[:3, :, 0] = np.tril(table[:3, :, 0], k=-1)
    parts = {
        "coefficient": coefficient,
        "error": np.abs(coefficient) / 4,
        "spread": np.ones((3, 4)),
        "modification": {"urban_fraction": rng.normal(size=(3, 3, 3)).round(6)},
    } | changed
    return StructuralModel(NAMES, "ch4_flux", ("urban", "upland"), provenance={"n": 3}, **parts)


def planted() -> StructuralModel:
    """The driver equations of the twin as a model of one class."""
    now, before = lag_matrices()
    size = len(DRIVERS)
    coefficient = np.zeros((2, size + 1, size, 2))
    coefficient[:, :size] = np.stack([now, before], axis=-1)
    return StructuralModel(
        DRIVERS,
        "ch4_flux",
        ("upland",),
        coefficient,
        np.zeros_like(coefficient),
        np.ones((2, size + 1)),
    )


@given(st.integers(0, 1000))
def test_json_gives_the_model_back(seed: int) -> None:
    first = model(seed)
    again = StructuralModel.from_json(first.to_json())
    for name in ("coefficient", "error", "spread"):
        np.testing.assert_allclose(getattr(again, name), getattr(first, name), atol=1e-8)
    np.testing.assert_array_equal(
        again.modification["urban_fraction"], first.modification["urban_fraction"]
    )
    assert (again.nodes, again.ecosystems, again.provenance) == (
        (*NAMES, "ch4_flux"),
        ("urban", "upland"),
        {"n": 3},
    )


@given(st.integers(0, 1000), st.sets(st.sampled_from(NAMES), min_size=1))
def test_what_is_kept_up_long_enough_becomes_the_lasting_change(
    seed: int, forced: set[str]
) -> None:
    one = model(seed)
    names = sorted(forced)
    sizes = np.random.default_rng(seed).normal(size=len(names))
    path = one.transient({n: np.full(80, s) for n, s in zip(names, sizes, strict=True)}, "upland")
    lasting = one.lasting(names, "upland")
    expected = sum(lasting[:, NAMES.index(n)] * s for n, s in zip(names, sizes, strict=True))
    np.testing.assert_allclose(path[-1], expected, atol=1e-9)


@given(st.integers(0, 1000), st.sets(st.sampled_from(NAMES), min_size=1))
def test_a_forced_driver_keeps_what_it_is_given(seed: int, forced: set[str]) -> None:
    lasting = model(seed).lasting(sorted(forced), "urban")
    for name in NAMES:
        at = NAMES.index(name)
        if name in forced:
            np.testing.assert_allclose(lasting[at], np.eye(3)[at], atol=1e-12)
        else:
            np.testing.assert_array_equal(lasting[:, at], 0.0)


@pytest.mark.parametrize("forced", [["tas"], ["pr", "tas"], ["ps"], ["evi"]])
def test_the_lasting_response_is_that_of_the_twin(forced: list[str]) -> None:
    np.testing.assert_allclose(planted().lasting(forced), lasting_response(forced), atol=1e-12)


def test_an_impulse_runs_through_the_lags_by_hand() -> None:
    one = planted()
    path = one.transient({"tas": np.array([1.0, 0.0, 0.0])})
    tsl, evi = path[:, DRIVERS.index("tsl")], path[:, DRIVERS.index("evi")]
    np.testing.assert_allclose(tsl, [0.45, 0.45 * 0.35, 0.45 * 0.35**2])
    np.testing.assert_allclose(evi, [0.0, 0.25, 0.25 * 0.35])


def test_changes_run_through_every_place_at_once() -> None:
    sizes = np.random.default_rng(0).normal(size=(6, 5))
    together = model().transient({"tas": sizes}, "urban")
    alone = [model().transient({"tas": column}, "urban") for column in sizes.T]
    np.testing.assert_allclose(together, np.stack(alone, axis=-1))


@given(st.floats(1e-5, 1e3))
def test_transforms_are_inverse_to_each_other(value: float) -> None:
    one, values = model(), np.array([value])
    for name in ("tas", "mrsos"):
        assert one.transform(name, values) is values
    for name, floor in (("pr", 0.1 / 86400), ("sfcWind", 0.1), ("rsds", 1.0)):
        back = one.inverse(name, one.transform(name, values))
        np.testing.assert_allclose(back, max(value, floor))


def test_dry_calm_and_dark_months_stay_finite() -> None:
    for name in ("pr", "sfcWind", "rsds"):
        assert np.isfinite(model().transform(name, np.zeros(2))).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"coefficient": np.zeros((2, 4, 3, 3))}, r"coefficient has shape \(2, 4, 3, 3\)"),
        (
            {"error": np.zeros((3, 4, 3, 2))},
            r"error has shape \(3, 4, 3, 2\), expected \(3, 4, 3, 3\)",
        ),
        ({"spread": np.full((3, 4), np.nan)}, "spread has shape .* finite"),
        ({"spread": np.zeros((3, 4))}, "spreads positive"),
        ({"modification": {"slope": np.zeros((3, 4, 3))}}, "modification by slope"),
    ],
)
def test_a_model_of_the_wrong_form_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**changed)


def test_links_at_lag_0_that_form_a_cycle_are_refused() -> None:
    coefficient = model().coefficient.copy()
    coefficient[1, 0, 1, 0] = coefficient[1, 1, 0, 0] = 0.1
    with pytest.raises(ValueError, match="links of upland at lag 0 form a cycle"):
        model(coefficient=coefficient)


def test_equations_without_a_steady_state_are_refused() -> None:
    coefficient = model().coefficient.copy()
    coefficient[:, 2, 2, 1] = 1.2
    explosive = model(coefficient=coefficient)
    with pytest.raises(ValueError, match="no steady state"):
        explosive.lasting(["tas"])
    assert explosive.lasting(["tas", "evi"])[2, 2] == 1.0


def test_unknown_drivers_and_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="forced drivers are snw"):
        model().lasting(["snw"])
    with pytest.raises(ValueError, match="forced drivers are none"):
        model().lasting([])
    with pytest.raises(ValueError, match="no class 'moon'"):
        model().lasting(["tas"], "moon")


def test_a_class_without_an_equation_has_the_clusters_of_the_pool() -> None:
    told = [
        {"ecosystem": "urban", "node": "ch4_flux", "clusters": 4.5},
        {"ecosystem": "pool", "node": "ch4_flux", "clusters": 30.0},
    ]
    one = StructuralModel.from_json(replace(model(), provenance={"equations": told}).to_json())
    assert [one.clusters(n, "ch4_flux") for n in ("urban", "upland", "pool")] == [4.5, 30.0, 30.0]
    assert model().clusters("urban", "ch4_flux") > 1e5


def test_json_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format is 'other'"):
        StructuralModel.from_json('{"format": "other"}')
