"""Encoders of tokens: attention among them and a perceptron, or experts, of each."""

from collections.abc import Callable

import torch

from ensemble_forecast.errors import BadInput


def check_heads(width: int, heads: int) -> None:
    """Refuse a width that the heads cannot share.

    Raises
    ------
    BadInput
        When it is no multiple of them.
    """
    if width % heads:
        raise BadInput(f"width must be a multiple of heads; got {width} and {heads}")


def perceptron(width: int, hidden: int, dropout: float) -> torch.nn.Module:
    """Build what a plain encoder does with each token."""
    return torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.GELU(), torch.nn.Dropout(dropout), torch.nn.Linear(hidden, width))


def encoder(layers: int, width: int, heads: int, dropout: float, each: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Build an encoder of tokens, (B, P, width) to the same shape; ``each`` builds what a layer does with each token."""
    return torch.nn.Sequential(*(EncoderLayer(width, heads, dropout, each()) for _ in range(layers)), torch.nn.LayerNorm(width))


class EncoderLayer(torch.nn.Module):
    """Attention among tokens, then a map of each; both normalise first, and add.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762; Xiong et al. (2020), On layer normalization in the transformer architecture, arXiv:2002.04745.
    """

    def __init__(self, width: int, heads: int, dropout: float, each: torch.nn.Module) -> None:
        super().__init__()
        self.attended = torch.nn.LayerNorm(width)
        self.attention = torch.nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.each = torch.nn.Sequential(torch.nn.LayerNorm(width), each)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, tokens_BPW: torch.Tensor) -> torch.Tensor:
        """Encode: same shape."""
        seen_BPW = self.attended(tokens_BPW)
        tokens_BPW = tokens_BPW + self.dropout(self.attention(seen_BPW, seen_BPW, seen_BPW, need_weights=False)[0])
        return tokens_BPW + self.dropout(self.each(tokens_BPW))
