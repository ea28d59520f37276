from dataclasses import replace

import numpy as np
import pytest
from planted_ctgat import asked, fitted, record, table

from ch4grid.models.mixture import LEAST_SHARE, SOFTNESS, ClassMixture, own_shares
from ch4grid.vocabulary import ECOSYSTEMS


def planted(classes=3, count=60, seed=0):
    """Scores, classes and clusters of towers whose first score tells the class."""
    random = np.random.default_rng(seed)
    ecosystem = np.arange(count) % classes
    scores = random.normal(size=(count, 3)).astype(np.float32)
    scores[:, 0] += 3 * ecosystem
    return scores, ecosystem, np.arange(count) // 2


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_regression_finds_the_class_of_new_places(classes):
    mixture = ClassMixture.fit(*planted(classes))
    scores, ecosystem, _ = planted(classes, seed=1)
    found = mixture.probability(scores)
    assert (found.argmax(axis=1) == ecosystem).mean() > 0.8
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found[:, classes:] == 0).all()


def test_shares_sum_to_one_leave_the_small_out_and_favour_the_known_class():
    mixture = ClassMixture.fit(*planted())
    scores, ecosystem, _ = planted(seed=1)
    shares = mixture.shares(scores, ecosystem)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)
    assert (shares[shares > 0] >= LEAST_SHARE).all()
    assert (shares[np.arange(60), ecosystem] >= 1 - SOFTNESS).all()
    assert (shares > 0).sum(axis=1).max() > 1


@pytest.mark.parametrize("statics", [0, 2])
def test_one_class_or_no_statics_leave_only_frequencies(statics):
    scores = np.zeros((4, statics), np.float32)
    mixture = ClassMixture.fit(scores, np.full(4, 2), np.arange(4))
    np.testing.assert_array_equal(mixture.probability(scores), own_shares(np.full(4, 2)))
    frequencies = ClassMixture.fit(scores[:, :0], np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]))
    np.testing.assert_allclose(frequencies.probability(scores[:1, :0])[0, :2], [2 / 3, 1 / 3])


def test_a_cluster_of_many_towers_counts_as_one():
    scores, ecosystem, cluster = planted(count=20)
    twice = np.concatenate([np.arange(20), np.flatnonzero(cluster == 0)])
    one = ClassMixture.fit(scores, ecosystem, cluster)
    two = ClassMixture.fit(scores[twice], ecosystem[twice], cluster[twice])
    np.testing.assert_allclose(one.probability(scores), two.probability(scores), atol=1e-3)


def test_the_law_is_the_mean_of_the_laws_of_all_classes():
    checkpoint = fitted("soft_classes").checkpoint
    shares = checkpoint._shares(table())
    whole = checkpoint.predict(asked())
    hard = _hardened(checkpoint)
    for name in ("location", "scale", "quantile_location"):
        expected = np.zeros_like(whole[name].values)
        for code in range(len(ECOSYSTEMS)):
            as_class = asked().assign_coords(ecosystem=("site", np.full(10, code)))
            expected += shares[:, code, None] * hard.predict(as_class)[name].values
        np.testing.assert_allclose(whole[name].values, expected, atol=1e-5)


def test_every_class_that_may_be_has_causes():
    soft = fitted("soft_classes").checkpoint
    everywhere = frozenset().union(
        *(_hardened(soft).causes(code) for code in range(len(ECOSYSTEMS)))
    )
    assert soft.causes(0) == everywhere


def test_a_class_without_training_towers_is_no_part_of_any_mixture():
    mixture = fitted("soft_classes").checkpoint.mixture
    assert mixture.coefficients.shape == (len(ECOSYSTEMS), len(table().static[0]) + 1)
    present = np.unique(record()["ecosystem"].values)
    assert np.isneginf(np.delete(mixture.coefficients[:, -1], present)).all()


def _hardened(checkpoint):
    config = checkpoint.config.varied(soft_classes=False)
    return replace(checkpoint, config=config, mixture=None)
