"""What a deep net is said to need before it is trained."""

import pytest
import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep import planner
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.footprint import kept_by
from ensemble_forecast.learners.deep.planner import _one_of_each, peak_bytes, plan, step_seconds
from ensemble_forecast.learners.deep.shapes import Shapes

SHAPES = Shapes(context=12, channels=3, extras=2, horizon=1, outputs=9)
MIB = 2**20


def really_kept(net, batch):
    """Bytes that torch holds for the gradients of a whole net, without its weights."""
    seen, weights = {}, {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        said = net(torch.randn(batch, 12, 3), torch.randn(batch, 2))
    assert said.requires_grad
    return sum(storage.nbytes() for storage in seen.values())


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_what_is_kept_is_counted_from_shapes_alone_as_torch_keeps_it(norm, dropout):
    fields = {"blocks": 20, "dense_blocks": 3, "gated_blocks": 3, "fractal_blocks": 2, "attention_blocks": 3, "expert_blocks": 2}
    learner = Deep(width=32, batch=128, norm=norm, dropout=dropout, **fields)
    told = sum(
        count * sum(kept_by(block, torch.empty(128, 32, device="meta"))[0] for block in blocks) for count, blocks in _one_of_each(learner, SHAPES)
    )
    assert told == pytest.approx(really_kept(learner.net(SHAPES).train(), 128), rel=0.1)


@pytest.fixture
def timed(monkeypatch):
    """Every block takes 1 ms, 2 ms where it is computed twice, and half a batch half of it; the rest takes 5 ms. The process holds 400 MiB."""

    def measured(learner, _):
        twice = 1 if learner.keeps == "all" else 2
        return 5e-3 + 1e-3 * twice * sum(learner.counts().values()) * learner.batch / 1024

    monkeypatch.setattr(planner, "_measured", measured)
    monkeypatch.setattr(planner, "_held", lambda: (400 * MIB, 400 * MIB))


@pytest.mark.usefixtures("timed")
def test_segments_need_less_than_everything_and_ends_less_than_segments():
    for batch in (1024, 4096):
        need = {keeps: peak_bytes(Deep(blocks=500, keeps=keeps, batch=batch), SHAPES) for keeps in ("all", "segments", "ends")}
        assert need["all"] > need["segments"] + batch / 1024 * 500 * MIB
        assert need["segments"] >= need["ends"]
    assert need["segments"] > need["ends"]  # where what is kept outweighs the copy that a look at the stop role takes


@pytest.mark.usefixtures("timed")
def test_seconds_are_counted_block_by_block():
    assert step_seconds(Deep(blocks=300, gated_blocks=20, batch=1024, accumulate=2), SHAPES) == pytest.approx(planner.LOOP * 2 * (5e-3 + 0.320))


@pytest.mark.usefixtures("timed")
def test_the_cheapest_means_that_fits_is_chosen_and_said():
    deep = Deep(blocks=500, batch=8192)
    need = {keeps: peak_bytes(Deep(blocks=500, keeps=keeps, batch=8192), SHAPES) for keeps in ("all", "segments", "ends")}
    plenty, tight = plan(deep, SHAPES, need["all"] + 9 * MIB), plan(deep, SHAPES, need["segments"] + 9 * MIB)
    assert (plenty.learner.keeps, tight.learner.keeps) == ("all", "segments")
    assert tight.sentence.startswith("2000 layers in ")
    assert "keeps = 'segments': " in tight.sentence
    assert "; not keeps = 'all': " in tight.sentence
    smaller = plan(deep, SHAPES, need["segments"] - 9 * MIB)
    assert smaller.learner.keeps == "segments"
    assert smaller.learner.batch * smaller.learner.accumulate == 8192
    assert smaller.learner.accumulate > 1


@pytest.mark.usefixtures("timed")
def test_a_net_that_fits_in_no_way_is_refused_with_the_least_that_it_needs():
    with pytest.raises(BadInput, match=r"no way to train 2000 layers of width 64 fits into 10 MiB; the least was keeps = "):
        plan(Deep(blocks=500), SHAPES, 10 * MIB)


def test_a_few_blocks_are_really_measured():
    assert 1e-4 < step_seconds(Deep(blocks=10, width=16, batch=16), SHAPES) < 10
