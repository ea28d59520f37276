"""Would another method say the same? J-PCMCI+ with a dummy for place, and a nonlinear test of single links.

Both look at one class with the graph of the drivers given, so that what differs is the treatment of place or the form
of dependence alone. They check links, they do not add any to the prior.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from ch4grid.causal.independence import LaggedRows, Node, PartialCorrelation
from ch4grid.causal.settings import Discovery

Floats = NDArray[np.float64]

# A nearest-neighbour test grows with the square of the rows; four hundred tell effects that a table reports.
MAX_ROWS = 400
SHUFFLES = 99
NEIGHBOURS = 0.1
SHUFFLE_NEIGHBOURS = 5


class Nonlinear(NamedTuple):
    """Outcome of the nonlinear test of one link: conditional mutual information [nat], p value and rows used."""

    driver: int
    lag: int
    information: float
    p: float
    rows: int


class PlaceTest(PartialCorrelation):
    """Partial correlation that knows one more variable, the place: the variable after all others of the rows.

    Given the place, every column is centred per site. The place itself is tested by the F-test of site means of what
    the conditions leave of the other variable, the multivariate form of the same test.
    """

    @property
    def place(self) -> int:
        """Number of the variable that stands for the place."""
        return int(self.rows.variables)

    def run_test(
        self,
        X: Sequence[Node],  # noqa: N803 - the names that tigramite passes
        Y: Sequence[Node],  # noqa: N803
        Z: Sequence[Node] | None = None,  # noqa: N803
        tau_max: int = 0,
        alpha_or_thres: float | None = None,
    ) -> tuple[float, ...]:
        """Statistic and p value of two nodes given others, one of which may be the place."""
        given = [z for z in sorted(set(Z or ())) if z not in (X[0], Y[0])]
        measured = [z for z in given if z[0] != self.place]
        if self.place in (X[0][0], Y[0][0]):
            effect = Y[0] if X[0][0] == self.place else X[0]
            value, p = self._means([effect, *measured])
        elif len(measured) < len(given):
            value, p = self._within([X[0], Y[0], *measured])
        else:
            return super().run_test(X, Y, Z, tau_max, alpha_or_thres)
        return (value, p) if alpha_or_thres is None else (value, p, p <= alpha_or_thres)

    def _table(self, nodes: list[Node]) -> tuple[Floats, NDArray[np.intp]]:
        """Complete rows of some nodes (row, node), and the site of each row numbered from 0."""
        columns = np.array([self.rows.column(node) for node in nodes])
        ok = self.rows.present[:, columns].all(axis=1) & (self.weights > 0)
        _, site = np.unique(self.rows.site[ok], return_inverse=True)
        return self.rows.table[np.ix_(np.flatnonzero(ok), columns)], site

    def _within(self, nodes: list[Node]) -> tuple[float, float]:
        table, site = self._table(nodes)
        freedom = len(table) * self.rows.freedom - len(nodes) - site.max(initial=0)
        if freedom < 1:
            return 0.0, 1.0
        centred = table - _site_means(table, site)[site]
        left = centred[:, :2] - _fitted(centred[:, 2:], centred[:, :2])
        return self.significance_of(float(_cosine(left[:, 0], left[:, 1])), freedom)

    def _means(self, nodes: list[Node]) -> tuple[float, float]:
        table, site = self._table(nodes)
        groups = int(site.max(initial=0))
        freedom = len(table) * self.rows.freedom - len(nodes) - groups
        if groups < 1 or freedom < 1:
            return 0.0, 1.0
        regressors = np.column_stack([np.ones(len(table)), table[:, 1:]])
        left = table[:, 0] - _fitted(regressors, table[:, :1])[:, 0]
        between = _site_means(left[:, None], site)[site][:, 0]
        inner = float(((left - between) ** 2).sum())
        outer = float((between**2).sum())
        if inner <= 0:
            return 0.0, 1.0
        ratio = (outer / groups) / (inner / freedom)
        return float(np.sqrt(outer / (outer + inner))), float(fdtrc(groups, freedom, ratio))


def joint_links(
    rows: LaggedRows,
    members: Sequence[int],
    lagged: Mapping[int, Sequence[Node]],
    config: Discovery,
) -> NDArray[np.bool_]:
    """Links into the flux (driver, lag) that J-PCMCI+ finds over some sites, with a dummy for the site.

    Source: Guenther, Ninad and Runge (2023), UAI; `tigramite.jpcmciplus.JPCMCIplus`.

    Args:
        rows: Lagged rows of the panel; the flux is the last variable.
        members: Sites to use.
        lagged: Lagged parents of every driver, as the pooled discovery found them.
        config: How to discover.
    """
    from tigramite.data_processing import DataFrame  # heavy
    from tigramite.jpcmciplus import JPCMCIplus

    place, flux = rows.variables, rows.variables - 1
    links: dict[int, dict[Node, str]] = {j: dict.fromkeys(lagged[j], "-->") for j in range(flux)}
    links[flux] = {(i, -lag): "-?>" for i in range(flux) for lag in range(config.reach + 1)}
    links[flux][(flux, -1)] = "-?>"
    for node in range(place):
        links[node][(place, 0)] = "-?>"
    links[place] = {}
    test = PlaceTest(rows, np.isin(rows.site, members).astype(np.float64))
    stub = np.zeros((1000, place + 1))
    run: Any = JPCMCIplus(
        node_classification=dict.fromkeys(range(place), "system") | {place: "space_dummy"},
        dataframe=DataFrame(stub),
        cond_ind_test=test,
        verbosity=0,
    )
    graph = run.run_jpcmciplus(
        link_assumptions=links,
        tau_min=0,
        tau_max=config.reach,
        pc_alpha=config.alpha,
        contemp_collider_rule="none",
        max_conds_dim=config.max_conditions,
    )["graph"]
    return np.asarray(graph[:flux, flux] == "-->")


def nonlinear_test(
    rows: LaggedRows,
    members: Sequence[int],
    link: tuple[int, int],
    found: Sequence[Node],
    *,
    seed: int,
) -> Nonlinear:
    """Conditional mutual information of a driver and the flux given its found parents, by nearest neighbours.

    What a linear regression on the parents leaves of both is tested, under shuffles of the driver; with the parents as
    further dimensions some hundred rows have no power.
    Source: Runge (2018), AISTATS; `tigramite.independence_tests.cmiknn.CMIknn`.

    Args:
        rows: Lagged rows of the panel; the flux is the last variable.
        members: Sites to use.
        link: Driver and lag [steps].
        found: Parents of the flux as (variable, -lag).
        seed: Seed of the sample of rows and of the shuffles.
    """
    from tigramite.independence_tests.cmiknn import CMIknn  # heavy

    driver, lag = link
    cause, flux = (driver, -lag), (rows.variables - 1, 0)
    nodes = [cause, flux, *sorted(set(found) - {cause, flux})]
    columns = np.array([rows.column(node) for node in nodes])
    ok = np.flatnonzero(np.isin(rows.site, members) & rows.present[:, columns].all(axis=1))
    random = np.random.default_rng([seed, driver, lag])
    chosen = np.sort(random.permutation(ok)[:MAX_ROWS])
    if len(chosen) < 10 * len(nodes):
        return Nonlinear(driver, lag, 0.0, 1.0, len(chosen))
    table = rows.table[np.ix_(ok, columns)]
    left = (table[:, :2] - _fitted(table[:, 2:], table[:, :2]))[np.searchsorted(ok, chosen)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test: Any = CMIknn(
            knn=NEIGHBOURS,
            sig_samples=SHUFFLES,
            shuffle_neighbors=SHUFFLE_NEIGHBOURS,
            sig_blocklength=1,
            workers=1,
            seed=int(random.integers(2**31)),
        )
        array, xyz = left.T.copy(), np.array([0, 1])
        array = (array - array.mean(axis=1, keepdims=True)) / array.std(axis=1, keepdims=True)
        value = float(test.get_dependence_measure(array, xyz))
        p = float(test.get_shuffle_significance(array, xyz, value))
    return Nonlinear(driver, lag, value, p, len(chosen))


def _site_means(table: Floats, site: NDArray[np.intp]) -> Floats:
    """Mean of every column per site (site, column)."""
    count = np.bincount(site)
    sums = [np.bincount(site, weights=column) for column in table.T]
    return np.stack(sums, axis=1) / count[:, None]


def _fitted(regressors: Floats, table: Floats) -> Floats:
    """Least-squares fit of every column of a table on the regressors."""
    if not regressors.shape[1]:
        return np.zeros_like(table)
    return np.asarray(regressors @ np.linalg.lstsq(regressors, table, rcond=None)[0])


def _cosine(a: Floats, b: Floats) -> float:
    """Cosine of the angle between two centred columns, their correlation; 0 where one is constant."""
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / spread, -1.0, 1.0)) if spread > 1e-9 else 0.0
