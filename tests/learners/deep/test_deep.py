"""Stacks of any depth: that they can be trained, and that what is not kept is computed again to the same bits."""

import itertools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.branches import KINDS, Sizes
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.initialisation import Damped, initialise
from ensemble_forecast.learners.deep.recomputing import bounds, segments_for
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.learners.deep.skips import SKIPS, Added

SHAPES = Shapes(context=12, channels=3, extras=2, horizon=4, outputs=5)
EVERYTHING = {"blocks": 6, "dense_blocks": 2, "gated_blocks": 2, "fractal_blocks": 2, "attention_blocks": 2, "expert_blocks": 2}


@pytest.fixture(autouse=True)
def seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def built(**fields):
    """A net whose heads speak, in training."""
    torch.manual_seed(0)
    module = Deep(**{"width": 16, "block_layers": 2, "dropout": 0.0, **fields}).net(SHAPES)
    for head in module.heads:
        torch.nn.init.normal_(head[-1][0].weight)
    return module.train()


def inputs(batch=32, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, *size, generator=generator).to(dtype) for size in ((SHAPES.context, SHAPES.channels), (SHAPES.extras,))]


def gradients(module, dtype=torch.float32):
    """Gradients, buffers after the step, and the random number that would come next."""
    module.to(dtype).zero_grad()
    torch.manual_seed(2)
    module(*inputs(dtype=dtype)).square().mean().backward()
    return [parameter.grad for parameter in module.parameters()], list(module.buffers()), torch.rand(1)


@pytest.mark.parametrize("fields", [{"blocks": 9}, {**EVERYTHING, "norm": "batch", "dropout": 0.2, "drop_path": 0.3, "heads": 3}])
def test_segments_give_the_gradients_of_the_plain_run_to_the_last_bit(fields):
    for kept, again in zip(gradients(built(keeps="all", **fields)), gradients(built(keeps="segments", **fields)), strict=True):
        assert len(kept) == len(again)
        assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-5), (torch.float32, 1e-2)])
@pytest.mark.parametrize("fields", [{"blocks": 100}, {**EVERYTHING, "norm": "batch", "dropout": 0.2, "drop_path": 0.3, "heads": 3}])
def test_streams_computed_backwards_give_the_gradients_of_those_that_are_kept(fields, dtype, allowed):
    reversible, kept = built(keeps="ends", **fields), built(keeps="ends", **fields)
    kept.keeps = "all"
    one, other = gradients(reversible, dtype), gradients(kept, dtype)
    difference = torch.cat([(mine - theirs).flatten() for mine, theirs in zip(one[0], other[0], strict=True)])
    assert difference.norm() <= allowed * torch.cat([grad.flatten() for grad in other[0]]).norm()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one[1], other[1], strict=True))
    assert torch.equal(one[2], other[2])


def test_what_is_kept_between_there_and_back_is_counted():
    """By torch itself: tensors that the graph holds, without weights."""
    held = {}
    for keeps in ("all", "segments", "ends"):
        module, seen = built(keeps=keeps, blocks=100, width=32, dropout=0.0), {}
        weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

        def pack(tensor, seen=seen, weights=weights):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module(*inputs())
        held[keeps] = sum(seen.values())
    assert held["segments"] < 0.06 * held["all"]
    assert held["ends"] < 0.03 * held["all"]


@pytest.mark.parametrize("skip", SKIPS)
def test_what_a_skip_says_is_what_a_block_does(skip):
    sizes = Sizes(8, 2, "relu", "none", 0.0, (1.0, 1.0))
    blocks, (x, _) = Deep(width=8, blocks=16, skip=skip, block_layers=2, norm="none", dropout=0.0).net(SHAPES).blocks, (torch.randn(4, 8), None)
    said = blocks[0].branch(x)
    expected = {
        "none": said,
        "unit": x + said,
        "sqrt": x + said / 4,
        "rezero": x,
        "skipinit": x + said / 4,
        "fixup": x,
        "layerscale": x + 1e-4 * said,
        "deepnorm": torch.nn.functional.layer_norm(2 * x + said, (8,)),
    }[skip]
    torch.testing.assert_close(blocks[0](x), expected)
    assert KINDS["residual"].multiply_adds(sizes) == sum(layer.weight.numel() for layer in blocks[0].modules() if isinstance(layer, Damped))


@pytest.mark.parametrize("kind", KINDS)
def test_multiply_adds_are_those_that_torch_counts(kind):
    sizes = Sizes(256, 4, "relu", "layer", 0.0)
    branch, batch = KINDS[kind].build(sizes).train(), 8
    with FlopCounterMode(display=False) as counter:
        branch(torch.randn(batch, 256))
    assert KINDS[kind].multiply_adds(sizes) == pytest.approx(counter.get_total_flops() / 2 / batch, rel=0.2)


@pytest.mark.parametrize("initialisation", ["default", "glorot", "orthogonal"])
def test_fixup_scales_first_weights_whatever_initialises_them(initialisation):
    module = Deep(blocks=64, block_layers=3, skip="fixup", norm="none", width=64).net(SHAPES)
    initialise(module, initialisation)
    full = Damped(64, 64)
    initialise(full, initialisation)
    first, middle, last = [layer for layer in module.blocks[5].branch if isinstance(layer, Damped)]
    for layer in (first, middle):
        assert float((layer.weight.std() / full.weight.std()).detach()) == pytest.approx(64 ** (-1 / 4), rel=0.1)
    assert not last.weight.any()


def test_a_signal_passes_hundreds_of_layers_with_every_skip_and_none_without():
    """The size of what changes from row to row, before and after 400 layers, and that of the gradient on its way back."""
    window, extras = inputs()
    for skip in SKIPS:
        module = Deep(width=32, blocks=100, block_layers=4, skip=skip, norm="none" if skip != "unit" else "layer").net(SHAPES)
        initialise(module, "glorot" if skip == "none" else "default")
        state = module.lift(window, extras).detach().requires_grad_()
        end = state
        for block in module.blocks:
            end = block(end)
        end.backward(torch.randn_like(end))
        passed, reached = (float(after.detach().std(dim=0).mean()) for after in (end / state.std(), state.grad))
        if skip == "none":
            assert passed < 1e-6 > reached
        else:
            assert 0.05 < passed < 100, skip
            assert 0.01 < reached < 100, skip


def test_heads_along_the_depth_train_in_the_first_half_and_the_last_one_forecasts():
    module = built(blocks=8, heads=4)
    assert module(*inputs()).shape == (4, 32, SHAPES.horizon, SHAPES.outputs)
    torch.testing.assert_close(module(*inputs())[-1], module.eval()(*inputs()))
    module.train().grow(0.5)
    assert module(*inputs()).shape == (32, SHAPES.horizon, SHAPES.outputs)


def test_the_window_is_seen_at_every_scale():
    module = built(scales=3)
    assert [lift.in_features for lift in module.lift.lifts] == [12 * 3 + 2, 6 * 3 + 2, 3 * 3 + 2]
    with pytest.raises(BadInput, match="averages 16 steps, and the context must have as many; it has 12"):
        built(scales=5)


def test_stretches_cover_all_blocks_once_and_are_alike():
    for count, segments in itertools.product((1, 7, 500), (1, 3, 45, 1000)):
        cut = bounds(count, segments)
        assert [place for first, end in cut for place in range(first, end)] == list(range(count))
        assert {end - first for first, end in cut} <= {count // len(cut), count // len(cut) + 1}


def test_segments_cannot_be_gone_back_through_twice():
    said = built(blocks=6, keeps="segments")(*inputs())
    said.sum().backward(retain_graph=True)
    with pytest.raises(IndexError):
        said.sum().backward()


def test_segments_get_shorter_by_what_is_kept_before_them():
    for n_blocks, n_layers in ((1, 1), (7, 28), (500, 2000), (2000, 2000)):
        cut = segments_for(n_blocks, n_layers)
        assert [place for first, end in cut for place in range(first, end)] == list(range(n_blocks))
        in_inputs = [entered + 1.5 * (end - first) * n_layers / n_blocks for entered, (first, end) in enumerate(cut, 1)]
        assert max(in_inputs) < math.sqrt(3 * n_layers) + 3 + 1.5 * n_layers / n_blocks, "never much more than the root of three times the layers"
    assert len(segments_for(2000, 2000)) == 76


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"skip": "sqr"}, "skip must be one of none"),
        ({"keeps": "nothing"}, "keeps must be one of all, segments, ends"),
        ({"skip": "none", "drop_path": 0.1}, "need blocks that are added to the stream; skip 'none' does not"),
        ({"skip": "deepnorm", "keeps": "ends"}, "need blocks that are added to the stream; skip 'deepnorm' does not"),
        ({"skip": "fixup", "gated_blocks": 1}, "which only blocks and dense_blocks allow"),
        ({"devices": 2, "keeps": "segments"}, "which keeps = 'segments' does not give"),
        ({"blocks": 0}, "blocks must be at least 1"),
        ({"block_layers": 0}, "block_layers and blocks must be at least 1"),
    ],
)
def test_a_description_that_cannot_be_built_is_refused(fields, message):
    with pytest.raises(BadInput, match=message):
        Deep(**fields)


def test_a_description_that_only_building_shows_to_be_wrong_is_refused():
    with pytest.raises(BadInput, match="needs blocks of at least 2 layers; got block_layers = 1"):
        built(skip="fixup", block_layers=1)
    with pytest.raises(BadInput, match="no more heads than blocks"):
        built(blocks=2, heads=3)
    with pytest.raises(BadInput, match="multiple of that; got 12"):
        built(width=12, attention_blocks=1)


def test_every_block_of_a_coupled_stack_is_added():
    assert all(isinstance(block, Added) for block in built(keeps="ends").blocks)
