import json
from dataclasses import replace

import numpy as np
import pytest
from planted_model import fitted, towers

from ch4grid.errors import InputError
from ch4grid.models import Checkpoint
from ch4grid.models.checkpoint_files import ARRAYS, DOCUMENT


@pytest.fixture
def folder(tmp_path):
    fitted().save(tmp_path / "model")
    return tmp_path / "model"


def test_loading_what_was_saved_predicts_the_same_bits(folder):
    loaded = Checkpoint.load(folder)
    assert loaded.digest == fitted().digest
    assert loaded.calibration == fitted().calibration
    first, second = (c.predict(towers()) for c in (fitted(), loaded))
    for name in ("location", "scale", "quantile_location"):
        np.testing.assert_array_equal(first[name], second[name])


def test_saving_twice_gives_the_same_bytes_and_leaves_two_files(folder, tmp_path):
    Checkpoint.load(folder).save(tmp_path / "again")
    for name in (ARRAYS, DOCUMENT):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == sorted([ARRAYS, DOCUMENT])


def test_the_digest_follows_the_content():
    other = replace(fitted(), meta=fitted().meta | {"seed": 99})
    assert other.digest != fitted().digest


def test_the_document_names_towers_but_no_place_on_this_machine(folder):
    text = (folder / DOCUMENT).read_text()
    document = json.loads(text)
    assert document["meta"]["sites"] == sorted(document["meta"]["sites"])
    assert str(folder.parent) not in text


def test_a_flipped_byte_is_refused(folder):
    content = bytearray((folder / ARRAYS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / ARRAYS).write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        Checkpoint.load(folder)


def test_a_truncated_document_is_refused(folder):
    text = (folder / DOCUMENT).read_text()
    (folder / DOCUMENT).write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="damaged"):
        Checkpoint.load(folder)


def test_another_format_is_refused_with_both_names(folder):
    document = json.loads((folder / DOCUMENT).read_text())
    (folder / DOCUMENT).write_text(json.dumps(document | {"format": "ch4grid-checkpoint-99"}))
    with pytest.raises(InputError, match=r"ch4grid-checkpoint-1.*ch4grid-checkpoint-99"):
        Checkpoint.load(folder)


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="this is no checkpoint"):
        Checkpoint.load(tmp_path)


def test_points_without_a_driver_are_refused_by_name():
    with pytest.raises(InputError, match="no mrsos"):
        fitted().predict(towers().drop_vars("mrsos"))


def test_predictions_do_not_depend_on_batch_or_order():
    points = towers()
    whole = fitted().predict(points)
    order = np.random.default_rng(0).permutation(points.sizes["site"])
    shuffled = fitted().predict(points.isel(site=order), batch=3).sel(site=points["site"])
    alone = fitted().predict(points.isel(site=[4]), batch=1)
    for name in ("location", "scale"):
        np.testing.assert_allclose(whole[name], shuffled[name], atol=1e-5)
        np.testing.assert_allclose(whole[name].isel(site=[4]), alone[name], atol=1e-5)


def test_classes_may_be_given_by_name_or_index():
    from ch4grid.vocabulary import ECOSYSTEMS

    points = towers()
    names = np.array(ECOSYSTEMS)[points["ecosystem"].values]
    by_name = fitted().predict(points.assign_coords(ecosystem=("site", names)))
    np.testing.assert_array_equal(by_name["location"], fitted().predict(points)["location"])


def test_missing_drivers_give_finite_predictions():
    points = towers()
    gone = points.assign(tas=points["tas"].where(points["tas"] < 0))
    assert np.isfinite(fitted().predict(gone)["location"].values).all()
