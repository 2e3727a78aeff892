"""Experts of which a gate asks a few for every row, balanced without a loss of their own."""

import torch

from ensemble_forecast.errors import BadInput

BALANCING = 3e-3  # by which a bias moves in a training step, in units of the gate's scores (0 to 1)


class Experts(torch.nn.Module):
    """Perceptrons with one hidden layer, and a gate that weights the best few of them for every row: (..., width) to (..., width).

    A bias that only chooses, and never weights, rises in training for an expert that is asked less than its share and falls for one that is asked
    more. All experts are computed and those that are not asked count zero: shapes stay fixed, and nothing waits for a device to say who was asked.

    Parameters
    ----------
    width, hidden
        Units of a row, and of an expert's hidden layer.
    experts, top
        How many there are, and how many are asked.

    Raises
    ------
    BadInput
        When more experts are to be asked than there are.

    References
    ----------
    Shazeer et al. (2017), Outrageously large neural networks, arXiv:1701.06538; Wang et al. (2024), Auxiliary-loss-free load balancing,
    arXiv:2408.15664.
    """

    bias_E: torch.Tensor

    def __init__(self, width: int, hidden: int, experts: int, top: int) -> None:
        super().__init__()
        if not 1 <= top <= experts:
            raise BadInput(f"top must lie between 1 and experts ({experts}); got {top}")
        self.top = top
        self.gate = torch.nn.Linear(width, experts, bias=False)
        self.register_buffer("bias_E", torch.zeros(experts))
        self.lift = torch.nn.Parameter(_uniform(experts, width, hidden))
        self.lift_bias = torch.nn.Parameter(torch.zeros(experts, 1, hidden))
        self.lower = torch.nn.Parameter(_uniform(experts, hidden, width))
        self.lower_bias = torch.nn.Parameter(torch.zeros(experts, 1, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sum what the experts that are asked say, each times its score."""
        flat_NW = x.reshape(-1, x.shape[-1])
        weight_NE = self.weights(flat_NW)
        rows_ENW = flat_NW.expand(len(self.lift), *flat_NW.shape)
        hidden_ENF = torch.nn.functional.gelu(torch.baddbmm(self.lift_bias, rows_ENW, self.lift))
        said_ENW = torch.baddbmm(self.lower_bias, hidden_ENF, self.lower)
        return torch.einsum("ne,enw->nw", weight_NE, said_ENW).view_as(x)

    def weights(self, flat_NW: torch.Tensor) -> torch.Tensor:
        """Score of each expert that is asked for a row, zero for the others: NE."""
        score_NE = torch.sigmoid(self.gate(flat_NW))
        asked_NK = (score_NE + self.bias_E).topk(self.top, dim=1).indices
        asked_NE = torch.zeros_like(score_NE).scatter_(1, asked_NK, 1.0)
        if self.training:
            with torch.no_grad():
                self.bias_E += BALANCING * torch.sign(asked_NE.mean() - asked_NE.mean(dim=0))
        return score_NE * asked_NE


def _uniform(experts: int, inputs: int, outputs: int) -> torch.Tensor:
    """Draw matrices as torch draws those of a linear layer."""
    return (2 * torch.rand(experts, inputs, outputs) - 1) / inputs**0.5
