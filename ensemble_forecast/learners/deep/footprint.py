"""What a net takes in training, from shapes alone: it is followed on the meta device, where tensors have no memory."""

import torch

COPIES = 6  # of the weights in training: themselves, gradients, two moments, the average, the best so far
HOLES = 1.2  # of what is kept: blocks that a heap cannot fill again (measured with glibc 2.36)
HALVED = 0.7  # of what float32 keeps, where products are made in bfloat16 (measured: 0.5 to 1.0 by family)


def training_bytes(net: torch.nn.Module, *inputs: torch.Tensor, halved: bool) -> float:
    """Forecast what training takes at least: copies of the weights, and what a batch keeps for the gradients.

    What is needed for a moment on the way back is not counted: drawn nets took 1.0 to 1.9 times as much (``tests/benchmarks/net_memory.py``).
    """
    kept, _ = kept_by(net, *inputs)
    return 4 * COPIES * sum(weight.numel() for weight in net.parameters()) + HOLES * kept * (HALVED if halved else 1.0)


def kept_by(module: torch.nn.Module, *inputs: torch.Tensor) -> tuple[int, int]:
    """Count the bytes and the tensors that a module keeps for its gradients: on the meta device too, where it takes no memory."""
    weights = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        said = module(*(tensor.requires_grad_() for tensor in inputs))
    assert said.requires_grad, "what a block gives counts as the input of the next one, where that keeps it"
    return sum(storage.nbytes() for storage in kept.values()), len(kept)
