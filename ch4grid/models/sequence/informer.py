"""Informer (Zhou et al., 2021, AAAI 35, 11106-11115, arXiv:2012.07436).

    sparsity of a query  m(q) = max_j s_j - mean_j s_j,  s_j = q k_j / sqrt(d)
    ProbSparse attention: the u = ceil(c ln N) queries of largest m attend, the others take the mean of the values
    distilling           z <- MaxPool_3,stride 2(ELU(Conv_3(z)))          24 -> 12 -> 6 ... months

A month is judged from its window (B, M, F_in), M = 24. Each layer of the encoder is ProbSparse self-attention, a
feed-forward layer and distilling; the decoder is the token of the judged month, which reads what is left. What differs:
all months of the window lie at or before the judged one, so attention within needs no mask; the sparsity is measured on
all keys, not on a random sample, so that a prediction is not random; convolution and pooling are padded on the left
alone and end at the judged month; no batch normalisation, whose moments would tie sites together; one month is decoded,
by scores that fall with age (`recency`).
"""

import math
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.models.sequence.blocks import Attention, FeedForward, recency
from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Entry, Readout
from ch4grid.models.sequence.windowed import MEMORY, Windowed

# c of the number of queries that attend. The paper's 5 is for hundreds of tokens and would keep two thirds of 24.
FACTOR = 2
KERNEL = 3
POSITION_SPREAD = 0.1


class Network(Windowed):
    """An informer over the months of a window.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    # its encoder computes every token of a window, so a step takes fewer windows
    months = 128

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.heads, config.dropout
        self.entry = Entry(inputs, statics, width)
        self.position = nn.Parameter(POSITION_SPREAD * torch.randn(MEMORY, width))
        self.encoder = nn.ModuleList(Layer(width, heads, dropout) for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.decoder = Attention(width, heads)
        self.forward_part = FeedForward(width, dropout)
        self.readout = Readout(width, dropout)

    def judge(self, windows: Tensor, present: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (B, 2) of the last month."""
        tokens = self.entry(windows, statics) + self.position
        asking, known = tokens[:, -1:], present
        for layer in self.encoder:
            tokens, known = layer(tokens, known)
        of_asking, of_tokens, of_state = self.norms
        bias = recency(self.decoder.heads, tokens.shape[1])[:, :, -1:]
        mask = bias.masked_fill(~known[:, None, None], -torch.inf)
        state = asking + self.decoder(of_asking(asking), of_tokens(tokens), mask)
        state = state + self.forward_part(state)
        said: Tensor = self.readout(of_state(state[:, 0]))
        return said


class Layer(nn.Module):
    """ProbSparse attention, a feed-forward layer and distilling: tokens (B, N, D) to half as many."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = SparseAttention(width, heads)
        self.forward_part = FeedForward(width, dropout)
        self.convolution = nn.Linear(KERNEL * width, width)

    def forward(self, tokens: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Distilled tokens, and which of them hold a month of the record."""
        normal = self.norm(tokens)
        tokens = tokens + self.attention(normal, normal, known[:, None, None])
        tokens = (tokens + self.forward_part(tokens)) * known[:, :, None]
        padded = functional.pad(tokens, (0, 0, KERNEL - 1, 0))
        size = tokens.shape[1]
        neighbours = torch.cat([padded[:, k : k + size] for k in range(KERNEL)], dim=-1)
        return distil(functional.elu(self.convolution(neighbours)), known)


class SparseAttention(Attention):
    """Attention in which only the queries that tell their keys apart attend."""

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """What queries (B, N, D) read in a context (B, M, D) of which `mask` (B, 1, 1, M) may be read."""
        projected = self.query(queries), self.key(context), self.value(context)
        query, key, value = (self.split(tokens) for tokens in projected)
        allowed = torch.ones(1, 1, 1, key.shape[2], dtype=torch.bool) if mask is None else mask
        share = allowed.float() / allowed.sum(dim=-1, keepdim=True)
        best = sparsest(query, key, share)[..., None].expand(-1, -1, -1, query.shape[-1])
        read = functional.scaled_dot_product_attention(
            query.gather(2, best), key, value, attn_mask=allowed
        )
        mean = (share @ value).expand_as(query)
        return self.join(mean.scatter(2, best, read))


@torch.no_grad()
def sparsest(query: Tensor, key: Tensor, share: Tensor) -> Tensor:
    """Index (B, H, u) of the queries (B, H, N, d) whose best key (B, H, M, d) stands out most from the mean key.

    Args:
        query: Queries.
        key: Keys.
        share: Share of each key in the mean (B or 1, 1, 1, M), 0 where it may not be read.
    """
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    mean = (scores @ share.transpose(-1, -2)).squeeze(-1)
    best = torch.where(share > 0, scores, -torch.inf).amax(dim=-1)
    kept = min(max(math.ceil(FACTOR * math.log(scores.shape[2])), 1), scores.shape[2])
    return (best - mean).topk(kept, dim=-1).indices


def distil(tokens: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of three tokens, every second one from the last backwards: (B, N, D) to (B, ceil(N / 2), D)."""
    left = 2 if tokens.shape[1] % 2 else 1
    hidden = tokens.masked_fill(~known[:, :, None], -torch.inf)
    padded = functional.pad(hidden, (0, 0, left, 0), value=-torch.inf)
    kept = functional.pad(known, (left, 0)).unfold(1, KERNEL, 2).any(dim=-1)
    # on slices, since the gradient of a maximum over an unfolded axis is slow
    first, *others = (padded[:, k : k + 2 * kept.shape[1] - 1 : 2] for k in range(KERNEL))
    pooled = reduce(torch.maximum, others, first)
    return pooled.masked_fill(~kept[:, :, None], 0.0), kept
