"""What attention networks share: attention of queries on a context, and the block of attention and feed-forward layer.

A = softmax(Q K^T / sqrt(d) + mask) V over H heads of width d = D / H (Vaswani et al., 2017, arXiv:1706.03762), with
the normalisation before each part (Xiong et al., 2020, arXiv:2002.04745), which needs no long warm-up.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.errors import InputError
from ch4grid.models.sequence.ends import RowDropout

# Width of the hidden layer over the width of a token.
EXPANSION = 2
# Ratio of the slopes of two heads.
SLOPE = 4.0


class Attention(nn.Module):
    """Attention of queries on a context.

    Args:
        width: Features of a token D.
        heads: Heads H.

    Raises:
        InputError: The heads do not divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise InputError(
                "heads do not divide the width",
                where="sequence network",
                expected=f"a width that is a multiple of {heads}",
                found=str(width),
            )
        self.heads = heads
        self.query = nn.Linear(width, width)
        # the bias of a key moves all its scores alike and so changes nothing
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """What queries (B, N, D) read in a context (B, M, D).

        Args:
            queries: Tokens that read.
            context: Tokens that are read.
            mask: Which token a query may read (B or 1, H or 1, N, M), at least one each, or what is added to its score;
                everything when None.
        """
        projected = self.query(queries), self.key(context), self.value(context)
        query, key, value = (self.split(tokens) for tokens in projected)
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.join(read)

    def split(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D) as heads (B, H, N, d)."""
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)

    def join(self, heads: Tensor) -> Tensor:
        """Heads (B, H, N, d) as tokens (B, N, D), mixed."""
        joined: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return joined


class FeedForward(nn.Sequential):
    """Two layers on each token, normalised before: tokens (B, N, D) to what is added to them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, EXPANSION * width),
            nn.GELU(),
            RowDropout(dropout),
            nn.Linear(EXPANSION * width, width),
        )


class Block(nn.Module):
    """Attention, then a feed-forward layer, each added to the tokens.

    Args:
        width: Features of a token D.
        heads: Heads H.
        dropout: Share of features dropped in training [1].
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.forward_part = FeedForward(width, dropout)

    def forward(self, tokens: Tensor, at: Tensor, mask: Tensor | None = None) -> Tensor:
        """The tokens of an index `at` (N), after reading all tokens (B, M, D): (B, N, D).

        Args:
            tokens: Tokens that are read.
            at: Which of them read; in the last block those that are read out are enough.
            mask: As of `Attention`, for all tokens (B or 1, H or 1, M, M).
        """
        normal = self.norm(tokens)
        allowed = None if mask is None else mask[:, :, at]
        reading = tokens[:, at] + self.attention(normal[:, at], normal, allowed)
        out: Tensor = reading + self.forward_part(reading)
        return out


class Stack(nn.Module):
    """Blocks one after another, of which the last computes only the tokens that are read out.

    Args:
        width: Features of a token D.
        heads: Heads H.
        layers: Blocks.
        dropout: Share of features dropped in training [1].
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, at: Tensor, mask: Tensor | None = None) -> Tensor:
        """The tokens of an index `at` (N) after all blocks (B, N, D), normalised."""
        everyone = torch.arange(tokens.shape[1])
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, at if i == len(self.blocks) - 1 else everyone, mask)
        out: Tensor = self.norm(tokens)
        return out


def recency(heads: int, size: int) -> Tensor:
    """What is added to the scores of heads (1, H, N, N): `-4^-h` a step between tokens, nothing read of the future.

    Linear biases are those of Press et al. (2022, arXiv:2108.12409); their slopes are for much longer texts.
    """
    place = torch.arange(size)
    age = (place[:, None] - place).float()
    slope = SLOPE ** -torch.arange(heads, dtype=torch.float32)
    return (-slope[:, None, None] * age).masked_fill(age < 0, -torch.inf)[None]
