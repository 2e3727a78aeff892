"""What 2000 layers cost: activation memory and time of segments and of reversible streams beside the plain run, and whether gradients agree.

python tests/benchmarks/depth_memory.py [--blocks 500] [--width 64] [--batch 256]
"""

import argparse
import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.memory import peak_bytes

SHAPES = Shapes(context=12, channels=3, extras=2, horizon=1, outputs=9)
MEMORY_ALLOWED, TIME_ALLOWED = {"segments": 0.06, "ends": 0.03}, {"segments": 1.45}
ROUNDS = 5


def one(keeps: str, blocks: int, width: int, batch: int) -> None:
    """Print the memory that a step adds to what stays between steps, its seconds, and a digest of the gradients."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = Deep(keeps=keeps, dropout=0.0, blocks=blocks, width=width).net(SHAPES).train()
    torch.nn.init.normal_(net.heads[0][-1][0].weight)
    inputs = torch.randn(batch, 12, 3), torch.randn(batch, 2)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e-9)  # not zeros: these would be promised, not given
    _step(net, inputs)  # what stays after a first step: nodes that add gradients up
    before, taken = _held_bytes(), []
    for _ in range(ROUNDS):
        for parameter in net.parameters():
            parameter.grad.zero_()
        taken.append(_step(net, inputs))
    added = peak_bytes() - before
    digest = [parameter.grad.double().sum().item() for parameter in net.parameters()]
    print(json.dumps({"mib": added / 2**20, "seconds": min(taken), "digest": digest}))


def _step(net: torch.nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]) -> float:
    """Run there and back; seconds."""
    begun = time.process_time()
    net(*inputs).square().mean().backward()
    return time.process_time() - begun


def _held_bytes() -> int:
    """Give free memory back to the system, let the count of the largest begin anew (Linux), and return what is left."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def main(blocks: int, width: int, batch: int) -> int:
    """Print ratios; return the number of broken promises."""
    answers = {}
    for keeps in ("all", "segments", "ends"):
        command = [sys.executable, __file__, "--keeps", keeps, "--blocks", str(blocks), "--width", str(width), "--batch", str(batch)]
        answers[keeps] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    plain, broken = answers["all"], 0
    print(f"{4 * blocks} layers, width {width}, batch {batch}: {plain['mib']:.0f} MiB of activations, {plain['seconds']:.3f} s there and back")
    for keeps in ("segments", "ends"):
        memory, times = answers[keeps]["mib"] / plain["mib"], answers[keeps]["seconds"] / plain["seconds"]
        broken += (memory > MEMORY_ALLOWED[keeps]) + (times > TIME_ALLOWED.get(keeps, float("inf")))
        print(f"keeps = {keeps!r}: {memory:.1%} of the memory (allowed: {MEMORY_ALLOWED[keeps]:.0%}), {times:.2f} times the time")
    same = plain["digest"] == answers["segments"]["digest"]
    print(f"gradients of segments are {'the same to the last bit' if same else 'OTHERS'}")
    return broken + (not same)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keeps")
    parser.add_argument("--blocks", type=int, default=500)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    given = parser.parse_args()
    if given.keeps:
        one(given.keeps, given.blocks, given.width, given.batch)
    else:
        sys.exit(main(given.blocks, given.width, given.batch))
