"""Cheap learners for the suites that go through every registered one."""

import functools
import tempfile
from pathlib import Path

import torch

from ensemble_forecast.learners.base import build
from ensemble_forecast.registry import find


def smoke(name, **changed):
    """Build a learner, net or wrapper with the cheap parameters it names; what needs a file gets one that `tiny_chronos` writes."""
    return build({"family": name, "params": find(name, "learners", "nets", "wrappers").SMOKE | changed})


def ready(name):
    """Build one that can be fitted."""
    return smoke(name, **({"weights": tiny_chronos()} if name == "pretrained" else {}))


@functools.cache
def tiny_chronos():
    """Write a Chronos-Bolt of random weights; return its folder."""
    from chronos.chronos_bolt import ChronosBoltModelForForecasting  # noqa: PLC0415 - seconds, and few suites need it
    from transformers import T5Config  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="tiny-chronos-"))
    config = T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=1, num_decoder_layers=1, num_heads=2, vocab_size=2, pad_token_id=0, reg_token_id=1,
        decoder_start_token_id=0, feed_forward_proj="relu", initializer_factor=0.05, architectures=["ChronosBoltModelForForecasting"],
        chronos_pipeline_class="ChronosBoltPipeline",
        chronos_config={
            "context_length": 64, "prediction_length": 8, "input_patch_size": 8, "input_patch_stride": 8, "use_reg_token": True,
            "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        },
    )  # fmt: skip
    torch.manual_seed(0)
    ChronosBoltModelForForecasting(config).save_pretrained(folder)
    return str(folder)
