"""Investigations: what is asked, what is concluded, and a folder that is whole, repeatable and not made twice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from planted_links import links_of

from ch4grid.assembly import Assembly
from ch4grid.causal import Discovery
from ch4grid.errors import InputError, RecipeError
from ch4grid.findings import Check, Finding
from ch4grid.graph import CausalGraph
from ch4grid.investigation import chain, files, investigate, question
from ch4grid.investigation.claims import (
    CLAIMS,
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    UNTESTABLE,
    compare,
)
from ch4grid.investigation.links import as_links
from ch4grid.investigation.overview import lead, overview
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES, months

FLUX = "ch4_flux"
DRIVERS = ("tas", "vpd", "ps")
PASSED = Check("false-link rate", True, "1 % of 5 %")
FAILED = Check("false-link rate", False, "9 % of 5 %")

RECIPE: dict[str, Any] = {
    "product": "ch4-small",
    "title": "A small product",
    "period": [2001, 2001],
    "grid": {"resolution": 10.0},
    "drivers": [{"source": "twin", "variables": ["tas", "vpd", "ps"], "resolution": 5.0}],
    "sites": [{"source": "twin", "seed": 1, "resolution": 5.0}],
    "ecosystems": {
        "areas": [{"source": "twin", "variables": ["land_fraction"], "resolution": 5.0}]
    },
    "training": {"period": [2001, 2002], "seed": 3},
    "model": {"architecture": "ctgat"},
}


def towers(sites: int = 4, seed: int = 1) -> xr.Dataset:
    time = months(2001, 2004)
    rng = np.random.default_rng(seed)
    dims = ("site", "time")
    shape = (sites, len(time))
    data = {
        FLUX: (dims, rng.normal(1e-9, 1e-10, shape)),
        "tas": (dims, rng.normal(285.0, 5.0, shape)),
        "vpd": (dims, rng.uniform(100.0, 900.0, shape)),
        "ps": (dims, rng.normal(1e5, 500.0, shape)),
        "elevation": ("site", np.zeros(sites)),
    }
    coords = {
        "site": [f"S{i}" for i in range(sites)],
        "time": time,
        "latitude": ("site", np.arange(sites) * 10.0),
        "longitude": ("site", np.arange(sites) * 10.0),
        "ecosystem": ("site", np.array(["upland", "urban"] * sites)[:sites]),
        "cluster": ("site", np.arange(sites)),
    }
    return xr.Dataset(data, coords, attrs={"step": "month"})


def asked(series: xr.Dataset | None = None) -> question.Question:
    return question.Question(
        series=towers() if series is None else series,
        gas=GASES["ch4"],
        drivers=DRIVERS,
        config=Discovery(),
        seed=3,
        quick=True,
        mapper=lambda stage, function, jobs: [function(job) for job in jobs],
    )


def graph() -> CausalGraph:
    shape = (2, 4, 3, 2)
    frequency = {
        "pool": [[0.9, 0.0], [0.4, 0.0], [0.0, 0.1]],
        "urban": [[0.7, 0.0], [0, 0], [0, 0.2]],
    }
    flat = {name: np.full((3, 2), 0.01).tolist() for name in frequency}
    strength = {name: [[0.4, 0.1], [-0.2, 0.0], [0.1, -0.1]] for name in frequency}
    return CausalGraph(
        DRIVERS,
        FLUX,
        ("urban", "upland"),
        np.full(shape, 0.25),
        {
            "tested": list(DRIVERS),
            "frequency": frequency,
            "strength": strength,
            "p": flat,
            "q": flat,
            "frequency_among_drivers": np.full((3, 3, 2), 0.5).tolist(),
        },
    )


def effects(value: float, half: float, *, sound: bool = True) -> pd.DataFrame:
    rows = [
        (name, "tas", value, value - half, value + half, "asinh units per K", sound)
        for name in ("pool", "urban", "upland")
    ]
    return pd.DataFrame(rows, columns=list(chain.EFFECT_COLUMNS))


NO_EFFECTS = pd.DataFrame(columns=list(chain.EFFECT_COLUMNS))
NO_REVERSALS = pd.DataFrame(columns=list(chain.REVERSAL_COLUMNS))


def verdicts(found: pd.DataFrame, gate: Check = PASSED) -> dict[tuple[str, str], str]:
    finding = compare(
        links_of(graph()),
        found,
        NO_REVERSALS,
        humidity=pd.DataFrame(),
        ecosystems=("urban", "upland"),
        flux=FLUX,
        gate=gate,
        towers="4 towers",
    )
    return {(r["claim"], r["ecosystem"]): r["verdict"] for _, r in finding.table.iterrows()}


TEMPERATURE = "air temperature raises the flux"


@given(st.floats(-1, 1), st.floats(0.001, 1), st.booleans())
def test_a_claim_is_judged_only_by_sound_effects_away_from_zero(
    value: float, half: float, sound: bool
) -> None:
    verdict = verdicts(effects(value, half, sound=sound))[TEMPERATURE, "pool"]
    if not sound:
        assert verdict == UNTESTABLE
    elif value - half > 0:
        assert verdict == SUPPORTED
    elif value + half < 0:
        assert verdict == CONTRADICTED
    else:
        assert verdict == UNDECIDED


@pytest.mark.parametrize("gate", [FAILED, Check("false-link rate", None, "not run")])
def test_nothing_is_supported_without_null_controls(gate: Check) -> None:
    found = verdicts(effects(0.5, 0.1), gate)
    assert set(found.values()) == {UNTESTABLE}


def test_a_driver_that_was_not_tested_and_a_class_without_data_are_not_testable() -> None:
    found = verdicts(effects(0.5, 0.1))
    assert found["relative humidity lowers the flux", "pool"] == UNTESTABLE
    assert found[TEMPERATURE, "upland"] == UNTESTABLE
    assert found[TEMPERATURE, "urban"] == SUPPORTED
    assert found["surface air pressure raises the flux", "pool"] == UNDECIDED


def test_every_claim_stands_beside_what_physics_expects() -> None:
    finding = compare(
        links_of(graph()),
        NO_EFFECTS,
        NO_REVERSALS,
        humidity=pd.DataFrame(),
        ecosystems=("urban",),
        flux=FLUX,
        gate=PASSED,
        towers="4 towers",
    )
    assert finding.table["expected"].str.len().min() > 20
    assert len(finding.table) == len(CLAIMS) * 2 + 3
    told = " ".join(finding.answers)
    assert all(claim in told for claim in finding.table["claim"])


def test_links_keep_what_the_discovery_found() -> None:
    table = links_of(graph())
    row = table.query("ecosystem == 'urban' and source == 'tas' and lag == 0").iloc[0]
    assert (row["frequency"], row["strength"], row["q"]) == (0.7, 0.4, 0.01)
    assert len(table[table["target"] == FLUX]) == 2 * 3 * 2
    inner = table[table["target"] != FLUX]
    assert set(inner["ecosystem"]) == {"pool"}
    assert not ((inner["source"] == inner["target"]) & (inner["lag"] == 0)).any()
    assert len(as_links(table, "urban")) == 6


def summed(found: pd.DataFrame, gate: Check = PASSED) -> Finding:
    return overview(links_of(graph()), found, flux=FLUX, towers="4 towers", step="month", gate=gate)


def test_a_newcomer_reads_direction_lag_frequency_and_interval() -> None:
    told = lead(summed(effects(0.5, 0.1)), ("urban", "upland"), ("pool", "urban"), "month")
    assert told["All towers together"][0] == (
        "More air temperature goes with more flux within the same month (found in 90% of resampled records, q ="
        " 0.0100)."
        " Adjusted effect: 0.500 asinh units per K (90 % interval 0.400 to 0.600)."
    )
    assert "vapour pressure deficit (\N{MINUS SIGN}40%)" in told["All towers together"][1]
    assert "Too few measured years" in told["Upland"][0]


def test_without_null_controls_no_link_is_called_reported() -> None:
    finding = summed(effects(0.5, 0.1), FAILED)
    assert not finding.table["certainty"].str.startswith("reported").any()
    told = lead(finding, ("urban",), ("pool", "urban"), "month")
    assert told["Urban"][0].startswith("No driver was found")


def test_an_effect_that_fails_its_checks_is_said_to() -> None:
    told = lead(summed(effects(0.5, 0.1, sound=False)), (), ("pool",), "month")
    assert "a check failed" in told["All towers together"][0]


def test_humidity_is_made_from_temperature_and_deficit_but_is_no_third_driver() -> None:
    series = question._with_humidity(towers())
    assert question.drivers_of(series) == ("tas", "vpd", "ps")
    again = 1 - series["vpd"] / (
        611.2 * np.exp(17.62 * (series["tas"] - 273.15) / (series["tas"] - 30.03))
    )
    np.testing.assert_allclose(series["hurs"], again.clip(0, 1), atol=0.02)
    assert "hurs" in question.drivers_of(series.drop_vars("vpd"))


def test_a_driver_without_a_value_is_left_out() -> None:
    series = towers()
    series["pr"] = xr.full_like(series["tas"], np.nan)
    assert "pr" not in question.drivers_of(series)


def test_values_settings_and_seed_change_the_fingerprint_and_nothing_else_does() -> None:
    first = asked()
    changed = [
        asked(towers(seed=2)),
        replace(first, seed=4),
        replace(first, config=Discovery(alpha=0.02)),
        replace(first, drivers=DRIVERS[:2]),
    ]
    prints = {q.fingerprint() for q in (first, *changed)}
    assert len(prints) == 1 + len(changed)
    assert asked().fingerprint() == first.fingerprint()


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(RECIPE | changes)


def test_a_recipe_without_towers_is_refused(tmp_path: Path) -> None:
    checkpoint = recipe(sites=[], training=None, model={"checkpoint": "model"})
    workspace = Workspace(tmp_path, tmp_path)
    with pytest.raises(RecipeError, match="names no towers"):
        question.ask(checkpoint, Assembly(checkpoint, workspace), quick=True, accept=False)


def test_too_few_towers_are_refused() -> None:
    with pytest.raises(InputError, match=r"too few towers.*at least 3.*Found 2"):
        question._refuse_few(towers(2), GASES["ch4"])


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A chain of two parts, one of which fails, over a planted graph; what ran is listed."""
    ran: list[str] = []

    def sound(question: question.Question, answers: chain.Answers) -> list[Finding]:
        ran.append("sound")
        table = pd.DataFrame({"ecosystem": ["pool"], "effect": [0.1], "lower": [0], "upper": [1]})
        columns = {str(c): "meaning" for c in table}
        return [Finding("planted", "Planted", "Why?", "4 towers", ("So.",), table, columns)]

    def failing(question: question.Question, answers: chain.Answers) -> list[Finding]:
        raise InputError("no product here", where="trends")

    def discovered(question: question.Question) -> chain.Answers:
        found = graph()
        return chain.Answers(found, links_of(found))

    monkeypatch.setattr(chain, "PARTS", {"Failing": failing, "Sound": sound})
    monkeypatch.setattr(chain, "_discovered", discovered)
    ask = "ch4grid.investigation.inquiry.ask"
    monkeypatch.setattr("ch4grid.investigation.inquiry.effort", lambda question: "a second")
    monkeypatch.setattr(
        ask, lambda recipe, assembly, *, quick, accept: replace(asked(), quick=quick)
    )
    return ran


def run(folder: Path, **how: Any) -> Any:
    workspace = Workspace(folder, folder / "out")
    return investigate(recipe(), Assembly(recipe(), workspace), **how)


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_a_part_that_fails_leaves_its_reason_and_the_others_run(
    tmp_path: Path, planted: list[str]
) -> None:
    done = run(tmp_path)
    assert planted == ["sound"]
    assert [u["title"] for u in done.unanswered] == ["Failing"]
    assert done.unanswered[0]["exit_code"] == 3
    text = done.report.read_text()
    assert "no product here" in text
    assert '<h2 id="planted">' in text
    assert "not answered: Failing" in done.in_words()


def test_a_rerun_does_nothing_and_says_the_same(tmp_path: Path, planted: list[str]) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert planted == ["sound"]
    assert (first.made, second.made) == (True, False)
    assert first.sentences == second.sentences
    assert second.in_words().startswith("nothing to do")
    assert run(tmp_path, quick=True).made


def test_findings_made_elsewhere_enter_the_report_and_make_it_anew(
    tmp_path: Path, planted: list[str]
) -> None:
    run(tmp_path)
    more = summed(effects(0.5, 0.1))
    given = replace(more, key="attribution", title="What contributes to the change")
    done = run(tmp_path, more=[given])
    assert done.made
    assert '<h2 id="attribution">' in done.report.read_text()
    assert (done.folder / "attribution.csv").is_file()


def test_two_runs_write_the_same_bytes_and_no_trace_of_the_machine(
    tmp_path: Path, planted: list[str]
) -> None:
    folders = [run(tmp_path / name).folder for name in ("a", "b")]
    one, two = map(content, folders)
    assert one == two
    assert not any(str(tmp_path).encode() in data for data in one.values())
    assert {"report.html", "prior.json", "planted.csv", "claims.csv", "graph-urban.svg"} <= set(one)
    assert not list((tmp_path / "a").rglob("*.partial"))


def test_the_store_opens_plainly_and_holds_what_was_found(
    tmp_path: Path, planted: list[str]
) -> None:
    done = run(tmp_path)
    ds = xr.open_zarr(done.folder / "discovery.zarr")
    assert ds["frequency"].dims == ("ecosystem", "driver", "lag")
    assert float(ds["frequency"].sel(ecosystem="urban", driver="tas", lag=0)) == 0.7
    assert np.isnan(ds["frequency"].sel(ecosystem="upland")).all()
    assert (ds["probability"].sel(ecosystem=["urban", "upland"]) == 0.25).all()
    assert all(v.attrs["long_name"] for v in ds.data_vars.values())
    prior = (done.folder / "prior.json").read_text()
    assert CausalGraph.from_json(prior).drivers == DRIVERS
    assert "ecosystem x to x from x lag" in json.loads(prior)["description"]


def test_a_failed_write_leaves_the_old_folder(
    tmp_path: Path, planted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(run(tmp_path).folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_write_store", full)
    with pytest.raises(Exception, match="No space left"):
        run(tmp_path, quick=True)
    folder = tmp_path / "out" / "causal" / "ch4-small"
    assert content(folder) == before
    assert not list(folder.parent.glob("*.partial"))
