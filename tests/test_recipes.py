import json
from pathlib import Path

import pytest
import yaml

from ch4grid import benchmarking
from ch4grid.errors import RecipeError
from ch4grid.planning import plan
from ch4grid.recipe import ModelFile, Recipe, load, schema
from ch4grid.stores import Workspace
from ch4grid.twin import Twin, write_archive

RECIPES = Path(__file__).parents[1] / "recipes"


def changed(tmp_path: Path, change: dict[str, object], drop: str = "") -> Path:
    document = yaml.safe_load((RECIPES / "tiny.yaml").read_text()) | change
    document.pop(drop, None)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


BENCHMARKS = sorted(RECIPES.glob("benchmark-*.yaml"))
PRODUCTS = sorted(set(RECIPES.glob("*.yaml")) - set(BENCHMARKS))


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda p: p.name)
def test_every_recipe_decodes_and_its_resolved_form_decodes_to_the_same(path: Path) -> None:
    recipe = load(path)
    assert Recipe.model_validate_json(json.dumps(recipe.resolved())) == recipe
    assert not benchmarking.is_benchmark(path)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda p: p.name)
def test_every_benchmark_decodes_and_names_models_that_there_are(path: Path) -> None:
    assert benchmarking.is_benchmark(path)
    recipe, product = benchmarking.load(path)
    assert recipe.benchmark == path.stem.removeprefix("benchmark-")
    assert (product is None) == (recipe.product is None)
    document = json.dumps(recipe.resolved())
    assert benchmarking.BenchmarkRecipe.model_validate_json(document) == recipe
    named = benchmarking.named_models(recipe, [])
    assert recipe.reference in named
    for section in recipe.splits:
        assert set(section.models) <= set(named)
    assert "loco" in {section.split for section in recipe.splits}


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda p: p.name)
def test_every_product_recipe_with_towers_is_a_benchmark_too(path: Path) -> None:
    recipe, product = benchmarking.load(path)
    assert product == load(path)
    assert recipe.product == path.name


def test_an_unknown_key_is_named_with_its_path_and_the_nearest_known_key(tmp_path: Path) -> None:
    path = changed(tmp_path, {"drivers": [{"source": "era5", "pth": "x.nc", "variables": ["tas"]}]})
    with pytest.raises(RecipeError, match=r"unknown key 'drivers\[0\]\.pth'; did you mean 'path'"):
        load(path)


def test_an_unknown_top_level_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key 'peroid'; did you mean 'period'"):
        load(changed(tmp_path, {"peroid": [2001, 2002]}))


def test_an_unknown_model_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'model\.widht'; did you mean 'width'"):
        load(changed(tmp_path, {"model": {"architecture": "ctgat", "widht": 8}}))


def test_an_unknown_architecture_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    path = changed(tmp_path, {"model": {"architecture": "ctgta"}})
    words = r"key 'model\.architecture': unknown 'ctgta'; did you mean 'ctgat'; known are .*ridge"
    with pytest.raises(RecipeError, match=words):
        load(path)


def test_an_unknown_source_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    path = changed(tmp_path, {"drivers": [{"source": "griddded", "path": "x.nc"}]})
    with pytest.raises(RecipeError, match=r"'drivers\[0\]\.source'.*did you mean 'gridded'"):
        load(path)


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"key 'drivers\[0\]\.source' is missing"):
        load(changed(tmp_path, {"drivers": [{"path": "x.nc"}]}))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="key 'grid' is missing"):
        load(changed(tmp_path, {}, drop="grid"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": {"resolution": 0.7}}, r"grid\.resolution.*divides 180"),
        ({"period": [2003, 2001]}, r"period ends \(2001\) before it begins \(2003\)"),
        ({"gas": "xe"}, "unknown gas 'xe'; known are ch4, co2, n2o"),
        ({"product": "Not A Name"}, "key 'product'"),
        ({"drivers": [{"source": "erra5"}]}, r"drivers\[0\].*era5"),
        ({"scenarios": {"warm": {"add": {"heat": 2.0}}}}, "heat is no monthly driver"),
        ({"training": None}, "needs the keys 'sites' and 'training'"),
    ],
)
def test_a_wrong_value_is_told_with_key_and_value(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        load(changed(tmp_path, change))


def test_a_file_that_is_not_there_or_not_yaml_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("product: [")
    with pytest.raises(RecipeError, match="not YAML"):
        load(broken)


def test_a_model_may_stand_in_a_file_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "ctgat.yaml").write_text("architecture: ctgat\nmembers: 3\n")
    recipe = load(changed(tmp_path, {"model": {"recipe": "ctgat.yaml"}}))
    assert not isinstance(recipe.model, ModelFile)
    assert recipe.model.members == 3  # type: ignore[union-attr]


def test_the_schema_knows_every_source() -> None:
    text = json.dumps(schema())
    for source in ("era5", "modis", "gridded", "twin", "fluxnet_ch4", "table"):
        assert f'"{source}"' in text


def test_the_flagship_plans_for_a_user_with_the_files_in_place(tmp_path: Path) -> None:
    planet = Twin(seed=1, resolution=12.0, towers=14, first_year=2001, last_year=2018)
    write_archive(planet, tmp_path / "data", 2004, 2018)
    flagship = load(RECIPES / "ch4-ecosystem-monthly.yaml")
    workspace = Workspace(tmp_path / "data", tmp_path / "products")
    found = plan(flagship, workspace, years=[2018])
    assert (found.missing, found.doubts) == ((), ())
    assert [(y.year, y.action) for y in found.years] == [(2018, "make")]
    (tmp_path / "data/era5/era5_2018-07.nc").unlink()
    (missing,) = plan(flagship, workspace, years=[2018]).missing
    assert "2018-07 missing" in missing
