"""First weights of a net by name; what starts at zero on purpose (heads) stays there."""

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
