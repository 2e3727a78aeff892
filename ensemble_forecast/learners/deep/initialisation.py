"""First weights of a net by name; what starts at zero on purpose (heads) stays there, what starts smaller on purpose stays smaller."""

from collections.abc import Callable

import torch

from ensemble_forecast.learners.deep.names import named

INITIALISATIONS: dict[str, Callable[[torch.Tensor], object]] = {
    "default": lambda weight: None,  # noqa: ARG005 - what each layer of torch does by itself
    "he": lambda weight: torch.nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # He et al. (2015), arXiv:1502.01852
    "glorot": torch.nn.init.xavier_uniform_,  # Glorot and Bengio (2010)
    "orthogonal": torch.nn.init.orthogonal_,  # Saxe, McClelland, Ganguli (2014), arXiv:1312.6120
}
LAYERS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.RNNBase, torch.nn.MultiheadAttention)


class Damped(torch.nn.Linear):
    """A linear layer whose first weights are a share of what their initialisation says: He's by default, biases of zero.

    In a stack of hundreds of layers what torch does by default (a third of Glorot's variance) would put the signal out.
    """

    def __init__(self, inputs: int, outputs: int, share: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        self.share = share
        INITIALISATIONS["he"](self.weight)
        with torch.no_grad():
            self.weight.mul_(share)
        torch.nn.init.zeros_(self.bias)


@torch.no_grad()
def initialise(net: torch.nn.Module, name: str) -> None:
    """Set the matrices of linear, convolutional, recurrent and attention layers.

    Raises
    ------
    BadInput
        When no initialisation has the name.
    """
    set_weight = named("initialisation", name, INITIALISATIONS)
    for module in net.modules():
        if torch.nn.utils.parametrize.is_parametrized(module, "weight"):  # weight normalisation takes the new weight apart by itself
            assert isinstance(module.weight, torch.Tensor)
            weight = module.weight.clone()
            set_weight(weight)
            module.weight = weight
        elif isinstance(module, LAYERS):
            for parameter in module.parameters(recurse=False):
                if parameter.ndim > 1 and parameter.any():
                    set_weight(parameter)
                    if isinstance(module, Damped) and name != "default":
                        parameter.mul_(module.share)
