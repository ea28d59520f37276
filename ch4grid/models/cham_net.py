"""CHAM-net: what earlier years say of a site is a code, which writes the weights of the network of its months.

Dong, Sun, Chen et al. (2026), arXiv 2606.00338, as laid down in methods 4.2. Y calendar years, H earlier years, F
inputs per month, D width, J experts:

    c_y    = AttnPool(GRU(x_{y,1..12}))                                 each earlier year (D)
    z      = W [GRU(c_{1..H}); AttnPool(c_{1..H}); MLP(s)]              code of the site (D)
    W_dec  = W_0 + sum_j softmax(g(z))_j W_j                            weights of the decoder, per site and year
    h_t    = GRU_{W_dec}(x_t, h_{t-1}),  mu_t, b_t = head((1 + gamma(z)) h_t + beta(z))
    L      = Huber(mu, y*) + 0.1 L_con + 1e-4 |sum_j g_j W_j|^2 + Laplace(b; y*, mu held fixed)

L_con is InfoNCE: two codes of one row from disjoint sets of its years belong together, codes of other sites do not;
those of the same class or within 300 km count half. In training the flux of earlier years is shown with probability
0.3. `predict` never shows it (mapping: a cell has no flux); `forecast` shows it for years before the target year only.
With episodes, W_0 is moved by a first-order rule (Reptile) to where a few gradient steps on earlier years help the next
one, and `forecast` takes those steps.

What differs from the paper: months instead of days; the decoder starts from the last state of the year before, so that
January knows December; |g| is the size of the mixed weights, since a softmax always sums to one; the positive pair
stands in the denominator of L_con, without which it has no bound; episodes come after the other training and move W_0
alone; a Laplace scale is learnt beside the location and stretched to the errors at the towers that a member left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.grid import great_circle_km
from ch4grid.models.learner import NEIGHBOURHOOD_KM, Floats, Indices, Law, Learner, TrainingSet
from ch4grid.models.magnitude import flux_limits
from ch4grid.models.samples import Points, Scaler, Singles, Targets, predictor_names
from ch4grid.models.season import season
from ch4grid.models.weighting import month_weights
from ch4grid.vocabulary import Gas

if TYPE_CHECKING:
    from torch import Tensor

    from ch4grid.models.cham_network import ChamMember

MONTHS = 12
# Sites in one call of a network that predicts.
SITES_AT_ONCE = 64
# Share of the clusters that a member leaves out.
LEFT_OUT = 0.2


class Schedule(Protocol):
    """How long and how fast a network learns."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""

    @property
    def learning_rate(self) -> float:
        """Largest step size."""

    @property
    def weight_decay(self) -> float:
        """Decoupled decay."""


class ChamNet(Learner):
    """Settings of CHAM-net.

    Args:
        architecture: Discriminator.
        members: Ensemble members; each leaves out other clusters to stop by.
        width: Features of codes and states D.
        experts: Sets of decoder weights J.
        history: Earlier years that make the code H.
        steps: Optimiser steps of one member.
        batch: Site years in a step.
        learning_rate: Largest step size.
        weight_decay: Decoupled decay of AdamW.
        dropout: Share of features dropped in training [1].
        contrast: Weight of the contrastive loss.
        flux_history: Probability that a row of the training sees the flux of its earlier years [1].
        episodes: Steps of meta-learning after the other training; 0 for none.
    """

    architecture: Literal["cham-net"] = "cham-net"
    members: int = Field(default=2, ge=1)
    width: int = Field(default=24, ge=2, le=128)
    experts: int = Field(default=4, ge=1, le=16)
    history: int = Field(default=3, ge=1, le=10)
    steps: int = Field(default=150, ge=1)
    batch: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    contrast: float = Field(default=0.1, ge=0)
    flux_history: float = Field(default=0.3, ge=0, le=1)
    episodes: int = Field(default=0, ge=0)

    def fit(self, training: TrainingSet) -> "ChamRegressor":
        """The members fitted to a training set."""
        from ch4grid.models.cham_network import fit_members  # heavy

        scaler = YearScaler.fit(training)
        return ChamRegressor(scaler, fit_members(scaler, training, self), self, training.gas)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, stronger dropout and decay, and half the width."""
        strong = self.varied(dropout=max(self.dropout, 0.4), weight_decay=10 * self.weight_decay)
        return (self, strong, self.varied(width=max(self.width // 2, 2)))


@dataclass(frozen=True, eq=False)
class ChamRegressor:
    """A fitted CHAM-net.

    Args:
        scaler: From points to inputs.
        members: The fitted networks.
        config: Settings.
        gas: Gas whose flux `forecast` reads.
    """

    scaler: "YearScaler"
    members: tuple["ChamMember", ...]
    config: ChamNet
    gas: Gas

    @property
    def parameters(self) -> int:
        """Number of weights of all members."""
        return sum(member.parameters for member in self.members)

    def predict(self, points: xr.Dataset) -> Law:
        """The law at points from drivers alone: three earlier years and the months of the year so far (site, time)."""
        return self._law(points, None)

    def forecast(self, points: xr.Dataset) -> Law:
        """The law at towers whose earlier years are measured; no flux of the year itself or of later ones is read.

        Args:
            points: As for `predict`, with the flux and its coverage (site, time).
        """
        return self._law(points, Targets.of(points, self.gas))

    def _law(self, points: xr.Dataset, flux: Targets | None) -> Law:
        from ch4grid.models.cham_network import member_law  # heavy

        table = self.scaler.table(points, flux)
        laws = [member_law(member, table, self.config) for member in self.members]
        return self.scaler.law(laws, table)


@dataclass(frozen=True, eq=False)
class YearTable:
    """Records cut into calendar years, zero before their first and after their last month.

    Args:
        points: The points.
        inputs: Inputs (S, Y, 12, F): scores and masks of the drivers, then the season.
        features: Static features (S, G).
        flux: Flux in standard deviations and whether it is measured (S, Y, 12, 2), zero where it is not to be seen.
        months: Months of the record T.
    """

    points: Points
    inputs: Singles
    features: Singles
    flux: Singles
    months: int

    def folded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (S, T, ...) by year (S, Y, 12, ...)."""
        return fold(values, int(self.points.month[0]))

    def unfolded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values by year (S, Y, 12) as a record (S, T)."""
        first = int(self.points.month[0])
        return values.reshape(len(values), -1)[:, first : first + self.months]


@dataclass(frozen=True, eq=False)
class YearScaler:
    """What a training set says of scales, and nothing else does.

    Args:
        scaler: Scales of the predictors.
        mean: Weighted mean of the transformed flux.
        spread: Its standard deviation.
        limits: Lowest and highest location (2, E) of each class.
    """

    scaler: Scaler
    mean: float
    spread: float
    limits: Singles

    @classmethod
    def fit(cls, training: TrainingSet) -> "YearScaler":
        """The scales of a training set."""
        names = predictor_names(training.samples, training.gas)
        points, targets = Points.of(training.samples, *names), training.targets
        mean = float(np.average(targets.transformed, weights=targets.weight))
        variance = np.average((targets.transformed - mean) ** 2, weights=targets.weight)
        everywhere = np.ones(len(points.site))
        return cls(
            scaler=Scaler.fit(points, *names),
            mean=mean,
            spread=float(np.sqrt(variance)) or 1.0,
            limits=flux_limits(targets, points.ecosystem, everywhere),
        )

    def table(self, samples: xr.Dataset, flux: Targets | None) -> YearTable:
        """The years of points; their flux is seen when it is given."""
        points = Points.of(samples, self.scaler.drivers, self.scaler.statics)
        channels = self.scaler.inputs(points)
        sites, months = channels.shape[2:]
        by_month = channels.transpose(2, 3, 0, 1).reshape(sites, months, -1)
        inputs = np.concatenate([by_month, season(samples)], axis=2)
        tokens = np.zeros((sites, months, 2), np.float32)
        if flux is not None:
            tokens = np.stack([self.scores(flux), flux.weight > 0], axis=2).astype(np.float32)
        first = int(points.month[0])
        return YearTable(
            points=points,
            inputs=fold(inputs, first),
            features=self.scaler.static_features(points),
            flux=fold(tokens, first),
            months=months,
        )

    def scores(self, targets: Targets) -> Floats:
        """Targets (S, T) in standard deviations of the training, 0 where there is none."""
        return np.where(targets.weight > 0, (targets.transformed - self.mean) / self.spread, 0.0)

    def law(self, laws: Sequence[Law], table: YearTable) -> Law:
        """The law (S, T) of an ensemble of laws by year (S, Y, 12) in standard deviations of the training.

        The scale is that of a Laplace law with the variance of the mixture: within the members and between them. The
        location stays within what the months of the class have shown.
        """
        low, high = self.limits[:, table.points.ecosystem, None, None].astype(np.float64)
        locations = np.stack([law.location for law in laws]) * self.spread + self.mean
        locations = np.clip(locations, low, high)
        scales = np.stack([law.scale for law in laws if law.scale is not None]) * self.spread
        # The variance of a Laplace law is twice the square of its scale.
        scale = np.sqrt((scales**2).mean(axis=0) + locations.var(axis=0) / 2)
        return Law(table.unfolded(locations.mean(axis=0)), table.unfolded(scale))


@dataclass(frozen=True, eq=False)
class Answers:
    """Measured months by year and the rows that hold any.

    Args:
        scores: Flux in standard deviations (S, Y, 12).
        weight: Weights of the months (S, Y, 12).
        site: Site of each row (R).
        year: Its year (R).
    """

    scores: NDArray[np.float32]
    weight: NDArray[np.float32]
    site: Indices
    year: Indices

    @classmethod
    def of(cls, scores: Floats, weight: Floats) -> "Answers":
        """Answers (S, Y, 12), months weighted by `weight`."""
        site, year = np.nonzero(weight.sum(axis=2) > 0)
        return cls(scores.astype(np.float32), weight.astype(np.float32), site, year)

    def draw(self, count: int, random: np.random.Generator) -> tuple[Indices, Indices]:
        """Sites and years of rows drawn with replacement by the weight of their months."""
        share = self.weight[self.site, self.year].sum(axis=1, dtype=np.float64)
        drawn = random.choice(len(share), count, p=share / share.sum())
        return self.site[drawn], self.year[drawn]


def fold(values: NDArray[Any], first: int) -> NDArray[Any]:
    """Values (S, T, ...) whose first month is the calendar month `first` by year (S, Y, 12, ...), zero outside."""
    after = -(first + values.shape[1]) % MONTHS
    padded = np.pad(values, [(0, 0), (first, after)] + [(0, 0)] * (values.ndim - 2))
    return padded.reshape(len(values), -1, MONTHS, *values.shape[2:])


def split_answers(
    scaler: YearScaler, training: TrainingSet, table: YearTable, random: np.random.Generator
) -> tuple[Answers, Answers]:
    """Answers of the towers that a member learns from, and of those it leaves out."""
    targets, ecosystem = training.targets, table.points.ecosystem
    out = left_out(training.samples["cluster"].values, ecosystem, random)
    scores = table.folded(scaler.scores(targets))
    weights = [month_weights(targets.weight, ecosystem, kept.astype(float)) for kept in (~out, out)]
    if not weights[0].any():
        weights = weights[::-1]
    inside, outside = (Answers.of(scores, table.folded(weight)) for weight in weights)
    return inside, outside


def left_out(
    cluster: NDArray[np.generic], ecosystem: Indices, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Towers (S) of a fifth of the clusters, without any cluster that is the last of a class; none of one cluster."""
    labels, index = np.unique(cluster, return_inverse=True)
    out = np.zeros(len(index), dtype=bool)
    wanted = round(LEFT_OUT * len(labels))
    for label in random.permutation(len(labels)):
        if wanted and np.isin(np.unique(ecosystem), ecosystem[~out & (index != label)]).all():
            out |= index == label
            wanted -= 1
    return out


def alike(points: Points) -> NDArray[np.bool_]:
    """Pairs of sites (S, S) of one class or within 300 km."""
    north, east = points.latitude, points.longitude
    near = great_circle_km(north[:, None], east[:, None], north, east) < NEIGHBOURHOOD_KM
    return np.asarray(near | (points.ecosystem[:, None] == points.ecosystem))


def every_year(table: YearTable, sites: Indices) -> tuple[Indices, Indices]:
    """Site and year of all years of some sites, site by site."""
    years = table.inputs.shape[1]
    return np.repeat(sites, years), np.tile(np.arange(years), len(sites))


def years_law(
    law: Callable[[Indices], tuple["Tensor", "Tensor"]], table: YearTable, *, stretch: float
) -> Law:
    """The law (S, Y, 12) of all years from that of some sites at once (sites x Y, 12)."""
    import torch  # heavy

    sites, years = table.inputs.shape[:2]
    chunks = [np.arange(a, min(a + SITES_AT_ONCE, sites)) for a in range(0, sites, SITES_AT_ONCE)]
    with torch.no_grad():
        parts = [law(chunk) for chunk in chunks]
    location, log_scale = (torch.cat(part).double().numpy() for part in zip(*parts, strict=True))
    shape = (sites, years, MONTHS)
    return Law(location.reshape(shape), stretch * np.exp(log_scale).reshape(shape))
