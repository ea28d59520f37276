"""The five ways to train, and the model that they lead to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ch4grid.models.checkpoint_files import below
from ch4grid.models.learner import Law, State, TrainingSet
from ch4grid.models.samples import Scaler
from ch4grid.models.transfer.domains import (
    Domain,
    inputs,
    moments,
    reweighted,
    shared_names,
    source_weights,
)
from ch4grid.models.transfer.network import Discriminator, Network, reversal_strength
from ch4grid.models.weighting import month_weights

if TYPE_CHECKING:
    from ch4grid.models.transfer.config import Transfer

Floats = NDArray[np.float64]

GRADIENT_LIMIT = 1.0
FINE = 1 / 5
# Sites in one pass of a prediction.
BATCH = 512


@dataclass(frozen=True, eq=False)
class Rows:
    """Tensors of a domain.

    Args:
        inputs: Inputs (S, T, F).
        target: Standardised flux (S, T).
        weight: Weight of each month (S, T), summing to one; zero where nothing is measured.
    """

    inputs: Tensor
    target: Tensor
    weight: Tensor

    @classmethod
    def of(cls, domain: Domain, site_weight: Floats | None = None) -> "Rows":
        """The rows of a domain, months balanced over rows and classes, sites weighted if weights are given."""
        drawn = np.ones(len(domain.owner))
        weight = month_weights(domain.weight, domain.ecosystem, drawn)
        if site_weight is not None:
            weight = reweighted(weight, domain.owner, site_weight)
        return cls(
            torch.from_numpy(domain.inputs),
            torch.from_numpy(domain.target),
            torch.from_numpy(weight.astype(np.float32)),
        )

    def error(self, said: Tensor) -> Tensor:
        """Weighted squared error of fluxes (S, T): each month by its own weight, then the sum."""
        return (self.weight * (self.target - said) ** 2).sum()

    def draw(self, count: int, generator: torch.Generator) -> "Rows":
        """Some of the rows, drawn anew; weights grow so that their sum is right on average."""
        total = len(self.inputs)
        if total <= count:
            return self
        index = torch.randperm(total, generator=generator)[:count]
        grown = self.weight[index] * (total / count)
        return Rows(self.inputs[index], self.target[index], grown)


@dataclass(frozen=True, eq=False)
class TransferModel:
    """A fitted network, or two whose answers add up.

    Args:
        scaler: Scaler of towers.
        mean: Mean of their flux in asinh space that scores are about.
        spread: Standard deviation that scores are in.
        networks: The networks.
    """

    scaler: Scaler
    mean: float
    spread: float
    networks: tuple[Network, ...]

    @property
    def parameters(self) -> int:
        """Weights of the networks."""
        return sum(p.numel() for n in self.networks for p in n.parameters())

    def predict(self, points: xr.Dataset) -> Law:
        """The location at points, without a scale."""
        torch.set_num_threads(1)
        every = torch.from_numpy(inputs(points, self.scaler))
        parts = [every[i : i + BATCH] for i in range(0, len(every), BATCH)]
        with torch.no_grad():
            scores = torch.cat([torch.stack([n(p) for n in self.networks]).sum(0) for p in parts])
        return Law(self.mean + self.spread * scores.numpy().astype(np.float64))

    def state(self) -> State:
        """Weights by number of the network and name, and the rest."""
        arrays = {
            f"{i}.{name}": weight.detach().numpy()
            for i, network in enumerate(self.networks)
            for name, weight in network.state_dict().items()
        }
        units = {"mean": self.mean, "spread": self.spread, "networks": len(self.networks)}
        return State(arrays, {"scaler": self.scaler.to_json()} | units)


def restore(settings: "Transfer", state: State) -> TransferModel:
    """The model whose state this is."""
    networks = []
    for i in range(state.document["networks"]):
        kept = below(state.arrays, f"{i}.")
        weights = {name: torch.from_numpy(values) for name, values in kept.items()}
        features = weights["inner.weight"].shape[1]
        network = Network(features, settings.width, settings.cell, settings.dropout)
        network.load_state_dict(weights)
        networks.append(network.eval())
    scaler = Scaler.from_json(state.document["scaler"])
    return TransferModel(scaler, state.document["mean"], state.document["spread"], tuple(networks))


def fit(settings: "Transfer", training: TrainingSet) -> TransferModel:
    """The model of settings and a training set; the same set gives the same model."""
    torch.set_num_threads(1)
    source, target, simulated = _domains(settings, training)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed % 2**63)
        network = _network(settings, target)
        rows = Rows.of(target)
        if source is None:
            _on_towers(settings, network, rows, 1.0)
            networks = [network]
        elif settings.technique == "residual":
            networks = _residual(settings, network, Rows.of(source), rows)
        elif settings.technique == "fine-tune":
            pretrain(settings, network, Rows.of(source))
            _on_towers(settings, network, rows, FINE)
            networks = [network]
        else:
            drawn = Rows.of(source, simulated)
            rival = Discriminator(settings.width) if settings.technique == "adversarial" else None
            together(settings, network, rival, drawn, rows)
            _on_towers(settings, network, rows, 1.0)
            networks = [network]
    return TransferModel(
        target.scaler, target.mean, target.spread, tuple(n.eval() for n in networks)
    )


def pretrain(settings: "Transfer", network: Network, source: Rows) -> None:
    """Trains a network on simulated sites alone."""
    batches = _batches(settings, source)

    def error(progress: float) -> Tensor:
        batch = next(batches)
        return batch.error(network(batch.inputs))

    train(settings, [network], error, settings.source_steps)


def together(
    settings: "Transfer",
    network: Network,
    discriminator: Discriminator | None,
    source: Rows,
    target: Rows,
) -> None:
    """Trains on both domains, the weight of the towers growing from 0 to 1.

    Args:
        settings: Settings.
        network: Encoder and head, trained in place.
        discriminator: Adversary of the encoder, trained in place; none for reweighting.
        source: Simulated sites.
        target: Towers.
    """
    batches = _batches(settings, source)

    def error(progress: float) -> Tensor:
        batch = next(batches)
        theirs, ours = network.encode(batch.inputs), network.encode(target.inputs)
        simulated = batch.error(network.read(theirs))
        if discriminator is not None:
            simulated = simulated + confusion(discriminator, theirs, ours, progress)
        return progress * target.error(network.read(ours)) + (1.0 - progress) * simulated

    adversary = [] if discriminator is None else [discriminator]
    train(settings, [network, *adversary], error, settings.source_steps)


def confusion(
    discriminator: Discriminator, source: Tensor, target: Tensor, progress: float
) -> Tensor:
    """Error of the discriminator on states of both domains, each domain counting half."""
    strength = reversal_strength(progress)
    terms = []
    for states, label in ((source, 0.0), (target, 1.0)):
        logits = discriminator(states, strength)
        truth = torch.full_like(logits, label)
        terms.append(binary_cross_entropy_with_logits(logits, truth))
    return torch.stack(terms).mean()


def train(
    settings: "Transfer",
    modules: list[nn.Module] | list[Network],
    error: Callable[[float], Tensor],
    steps: int,
    pace: float = 1.0,
) -> None:
    """Minimises an error, a function of the share of the steps done, over the weights of the modules."""
    weights = [w for m in modules for w in m.parameters()]
    largest = settings.learning_rate * pace
    optimiser = torch.optim.AdamW(weights, lr=largest, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for module in modules:
        module.train()
    for step in range(steps):
        optimiser.zero_grad()
        error(step / steps).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, GRADIENT_LIMIT)
        optimiser.step()
        schedule.step()


def _domains(
    settings: "Transfer", training: TrainingSet
) -> tuple[Domain | None, Domain, Floats | None]:
    """Simulated sites, towers, and the weights of simulated sites where the technique asks for them."""
    samples, simulation, gas = training.samples, training.simulation, training.gas
    if simulation is None or settings.technique == "scratch":
        return None, Domain.of(samples, gas, shared_names(samples, samples, gas)), None
    names = shared_names(samples, simulation, gas)
    source = Domain.of(simulation, gas, names)
    like = source if settings.standardise == "source" else None
    target = Domain.of(samples, gas, names, like)
    if settings.technique != "reweight":
        return source, target, None
    return source, target, source_weights(moments(simulation, gas), moments(samples, gas))


def _network(settings: "Transfer", domain: Domain) -> Network:
    features = domain.inputs.shape[-1]
    return Network(features, settings.width, settings.cell, settings.dropout)


def _on_towers(settings: "Transfer", network: Network, rows: Rows, pace: float) -> None:
    train(settings, [network], lambda _: rows.error(network(rows.inputs)), settings.steps, pace)


def _residual(settings: "Transfer", network: Network, source: Rows, target: Rows) -> list[Network]:
    """The network of simulated sites, frozen, and one for what it leaves at towers."""
    pretrain(settings, network, source)
    network.eval().requires_grad_(False)
    left = Rows(target.inputs, target.target - network(target.inputs), target.weight)
    rest = Network(target.inputs.shape[-1], settings.width, settings.cell, settings.dropout)
    _on_towers(settings, rest, left, 1.0)
    return [network, rest]


def _batches(settings: "Transfer", rows: Rows) -> Iterator[Rows]:
    """Simulated rows without end."""
    generator = torch.Generator().manual_seed(torch.initial_seed())
    while True:
        yield rows.draw(settings.rows, generator)
