"""What makes each net what it is called."""

from dataclasses import replace

import pytest
import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.blocks import ACTIVATIONS, NORMS, SEQUENCE_NORMS, Concatenated, Gated, Residual, activation, norm, sequence_norm
from ensemble_forecast.learners.deep.cnn import CONVOLUTIONS, Cnn, convolution
from ensemble_forecast.learners.deep.densenet import DenseNet
from ensemble_forecast.learners.deep.dlinear import DLinear
from ensemble_forecast.learners.deep.gru import Gru
from ensemble_forecast.learners.deep.highway import Highway
from ensemble_forecast.learners.deep.lstm import Lstm
from ensemble_forecast.learners.deep.nbeats import NBeats
from ensemble_forecast.learners.deep.nhits import NHits
from ensemble_forecast.learners.deep.patch_transformer import PatchTransformer
from ensemble_forecast.learners.deep.resnet import ResNet
from ensemble_forecast.learners.deep.rnn import Rnn
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.learners.deep.stacks import largest_of_each
from ensemble_forecast.learners.deep.tabm import SharedLinear, TabM
from ensemble_forecast.learners.deep.tcn import Tcn, levels_to_cover
from ensemble_forecast.learners.deep.transformer import Transformer, sinusoids
from ensemble_forecast.learners.deep.tsmixer import TsMixer

SHAPES = Shapes(context=24, channels=2, extras=8, horizon=6, outputs=3)
RECURRENT = (Rnn, Gru, Lstm)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def awake(learner, shapes=SHAPES):
    """A module whose parameters that start at zero are set at random, as training would."""
    module = learner.net(shapes).eval()
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter)
    return module


def inputs(batch=4):
    return torch.randn(batch, SHAPES.context, SHAPES.channels), torch.randn(batch, SHAPES.extras)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_residual_block_with_zero_gain_is_the_identity_and_learns():
    block = Residual(torch.nn.Linear(5, 5), gain=0.0)
    x = torch.randn(3, 5)
    torch.testing.assert_close(block(x), x)
    block(x).square().sum().backward()
    assert block.gain.grad.abs() > 0


def test_stochastic_depth_leaves_rows_out_in_training_and_none_in_use():
    block = Residual(torch.nn.Identity(), drop=0.5)
    x = torch.ones(2000, 1)
    rows = block.train()(x).squeeze().detach()
    assert set(rows.tolist()) == {1.0, 3.0}  # left out, or counted twice so that the mean stays
    assert float(rows.mean()) == pytest.approx(2.0, abs=0.1)
    torch.testing.assert_close(block.eval()(x), 2 * x)


def test_a_deep_resnet_with_zero_gains_starts_as_one_without_blocks():
    deep = awake(ResNet(blocks=12, gain=0.0, width=16))
    lift, deepening = deep.layers
    for block in deepening.blocks:
        torch.nn.init.zeros_(block.gain)
    window, extras = inputs()
    flat = torch.cat([window.flatten(1), extras], dim=1)
    torch.testing.assert_close(deep(window, extras), deepening.heads[0](lift(flat)) + deep.linear(flat))


def test_deep_supervision_trains_a_head_at_every_depth_and_forecasts_with_the_last():
    module = awake(ResNet(blocks=3, width=16, deep_supervision=True, dropout=0.0))
    window, extras = inputs()
    trained = module.train()(window, extras)
    assert trained.shape == (3, 4, 6, 3)
    torch.testing.assert_close(module.eval()(window, extras), trained[-1])
    assert not torch.allclose(trained[0], trained[-1])


def test_growth_changes_nothing_at_its_moment_and_everything_after():
    module = awake(ResNet(blocks=6, grow_from=2, width=16, dropout=0.0)).train()
    deepening = module.layers[1]
    for block in deepening.blocks[2:]:
        torch.nn.init.zeros_(block.gain)
    window, extras = inputs()
    deepening.grow(0.49)
    before = module(window, extras)
    before.square().sum().backward()
    assert all(parameter.grad is None for block in deepening.blocks[2:] for parameter in block.parameters())
    deepening.grow(0.5)
    after = module(window, extras)
    torch.testing.assert_close(after, before)
    after.square().sum().backward()
    assert all(block.gain.grad.abs() > 0 for block in deepening.blocks)
    torch.testing.assert_close(module.eval()(window, extras), before)


def test_a_dense_layer_keeps_all_that_came_before():
    x = torch.randn(3, 4)
    assert Concatenated(torch.nn.Linear(4, 2))(x).shape == (3, 6)
    torch.testing.assert_close(Concatenated(torch.nn.Linear(4, 2))(x)[:, :4], x)


def test_a_densenet_reads_out_of_every_layer():
    learner = DenseNet(width=10, growth=3, layers=4)
    assert learner.net(SHAPES).layers[-1][0].in_features == 10 + 4 * 3


def test_a_highway_carries_its_input_at_a_strongly_negative_bias():
    x = torch.randn(3, 5)
    torch.testing.assert_close(Gated(torch.nn.Linear(5, 5), 5, bias=-50.0)(x), x)
    closed = Gated(torch.nn.Linear(5, 5), 5, bias=50.0)
    torch.testing.assert_close(closed(x), closed.block(x))


def test_a_deep_highway_passes_the_gradient_to_its_first_layer():
    def first_gradient(bias):
        module = awake(Highway(layers=30, width=16, gate_bias=bias))
        module(*inputs()).square().sum().backward()
        return module.layers[0].weight.grad.norm()

    assert first_gradient(-6.0) > 10 * first_gradient(6.0)


def test_convolutions_have_the_weights_of_their_kind():
    standard, pointwise, separable = (convolution(kind, channels=8, out=16, kernel=5) for kind in CONVOLUTIONS)
    assert count(standard) == 8 * 16 * 5 + 16
    assert count(pointwise) == 8 * 16 + 16
    assert count(separable) == (8 * 5 + 8) + (8 * 16 + 16)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_convolution_keeps_the_length(kind):
    assert convolution(kind, channels=2, out=3, kernel=5)(torch.randn(1, 2, 24)).shape == (1, 3, 24)


@pytest.mark.parametrize("pool", [1, 2, 5])
def test_a_cnn_pools_while_there_are_steps_left(pool):
    learner = Cnn(layers=6, channels=4, pool=pool)
    assert awake(learner)(*inputs()).shape == (4, 6, 3)
    lengths = [length for _, length, _ in learner._plan(SHAPES)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] >= 1


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("context", [2, 7, 24, 25, 168])
def test_a_tcn_sees_its_whole_window_with_no_level_too_many(kernel, context):
    levels = levels_to_cover(context, kernel)

    def reach(count):
        return 1 + 2 * (kernel - 1) * (2**count - 1)

    assert reach(levels) >= context
    assert levels == 1 or reach(levels - 1) < context
    shapes = replace(SHAPES, context=context)
    window = torch.randn(1, context, 2, requires_grad=True)
    module = Tcn(kernel=kernel, channels=6, activation="tanh").net(shapes).eval()
    torch.nn.init.normal_(module.head[0].weight)
    module(window, torch.randn(1, 8)).sum().backward()
    assert window.grad[0, 0].abs().sum() > 0


def test_a_tcn_level_never_looks_ahead():
    level = Tcn(channels=6).net(SHAPES).eval().levels[0]
    window = torch.randn(1, 2, 24)
    later = window.clone()
    later[..., 10:] += 1.0
    torch.testing.assert_close(level(window)[..., :10], level(later)[..., :10])


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("context", [2, 7, 24, 25])
def test_a_tcn_forecasts_as_the_whole_dilated_stack_would(kernel, context):
    module = awake(Tcn(channels=6, kernel=kernel), replace(SHAPES, context=context))
    window, extras = torch.randn(4, context, 2), torch.randn(4, 8)
    seen = window.transpose(1, 2)
    for place, level in enumerate(module.levels):
        hidden, dilation = seen, 2**place
        for conv in (level.layers[1], level.layers[5]):
            padded = torch.nn.functional.pad(hidden, ((kernel - 1) * dilation, 0))
            hidden = torch.relu(torch.nn.functional.conv1d(padded, conv.weight, conv.bias, dilation=dilation))
        seen = torch.relu(hidden + level.skip(seen))
    torch.testing.assert_close(module(window, extras), module.head(torch.cat([seen[..., -1], extras], dim=1)))


@pytest.mark.parametrize("cell", RECURRENT)
def test_a_recurrent_net_of_both_directions_reads_both_ends(cell):
    one, both = (awake(cell(hidden=5, patch=4, bidirectional=wish)) for wish in (False, True))
    assert both.head[0].in_features == one.head[0].in_features + 5
    window, _ = inputs(1)
    states, _ = both.layers(both.patches(window).flatten(2))
    changed = window.clone()
    changed[:, -1] += 1.0
    moved, _ = both.layers(both.patches(changed).flatten(2))
    assert not torch.equal(states[:, 0, 5:], moved[:, 0, 5:])  # the state at the oldest step has read the newest
    torch.testing.assert_close(states[:, 0, :5], moved[:, 0, :5])  # the other direction's has not


@pytest.mark.parametrize("cell", RECURRENT)
def test_recurrent_cells_count_their_gates(cell):
    weights = sum(p.numel() for name, p in cell(hidden=8, patch=1).net(SHAPES).layers.named_parameters() if "weight" in name)
    assert weights == cell.GATES * 8 * (8 + SHAPES.channels)


def test_the_decoder_is_causal():
    module = awake(Transformer(width=8, heads=2, layers=2, patch=4, decoder=True))
    memory, steps = torch.randn(1, 7, 8), torch.randn(1, 6, 8)
    later = steps.clone()
    later[:, 3:] = torch.randn(1, 3, 8)  # not a constant: layers normalise it away
    before, after = module.decode(steps, memory), module.decode(later, memory)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().max() > 1e-3


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("decoder", [False, True])
def test_a_transformer_tells_the_order_of_its_tokens(positions, decoder):
    module = awake(Transformer(width=8, heads=2, layers=1, patch=4, decoder=decoder, positions=positions))
    window, extras = inputs(1)
    swapped = torch.cat([window[:, 4:8], window[:, :4], window[:, 8:]], dim=1)
    assert (module(window, extras) - module(swapped, extras)).abs().max() > 1e-4


def test_sinusoids_are_the_textbook_ones():
    code = sinusoids(50, 6)
    for position in (0, 7, 49):
        for pair in range(3):
            angle = torch.tensor(position / 1e4 ** (2 * pair / 6))
            torch.testing.assert_close(code[position, 2 * pair : 2 * pair + 2], torch.stack([angle.sin(), angle.cos()]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("context", "patch", "stride", "count"), [(24, 8, 4, 5), (25, 8, 4, 6), (24, 8, 8, 3), (6, 8, 4, 1)])
def test_patches_overlap_end_at_the_newest_step_and_leave_none_out(context, patch, stride, count):
    module = PatchTransformer(patch=patch, stride=stride, width=8, heads=2, layers=1).net(replace(SHAPES, context=context))
    window = torch.arange(1.0, context + 1)[None, None]
    patches = module.pad(window).unfold(2, module.patch, module.stride)[0, 0]
    assert patches.shape == (count, min(patch, context))
    assert patches[-1, -1] == context
    assert set(patches.flatten().tolist()) == set(range(1, context + 1))


def test_a_patch_transformer_encodes_every_channel_with_the_same_weights():
    module = awake(PatchTransformer(patch=8, stride=4, width=8, heads=2, layers=1))
    assert module.encoder[0].attention.embed_dim == 8
    window, _ = inputs(1)
    tokens = [module.lift(module.pad(window[..., c][:, None]).unfold(2, 8, 4).flatten(0, 1)) + module.positions for c in range(2)]
    apart = torch.cat([module.encoder(one).flatten(1) for one in tokens], dim=1)
    extras = torch.zeros(1, SHAPES.extras)
    torch.testing.assert_close(module(window, extras), module.head(torch.cat([apart, extras], dim=1)))


def test_a_mixer_mixes_steps_for_each_channel_and_channels_for_each_step():
    steps, channels = awake(TsMixer(width=4, blocks=1)).blocks[0]
    x = torch.randn(1, SHAPES.context, 4)
    moved = x.clone()
    moved[:, 3, 2] += 1.0
    by_steps, by_channels = (steps(moved) - steps(x)).abs() > 1e-6, (channels(moved) - channels(x)).abs() > 1e-6
    assert by_steps.nonzero()[:, 2].unique().tolist() == [2]
    assert by_steps.any(dim=2).sum() > 1
    assert by_channels.nonzero()[:, 1].unique().tolist() == [3]
    assert by_channels.any(dim=1).sum() > 1


@pytest.mark.parametrize("kernel", [1, 4, 5])
def test_a_decomposition_adds_up_and_its_trend_is_smooth(kernel):
    module = awake(DLinear(kernel=kernel))
    window, extras = inputs(1)
    trend = module.trend(window)
    assert trend.shape == window.shape
    assert kernel == 1 or trend.diff(dim=1).std() < window.diff(dim=1).std() / 2
    straight = torch.linspace(0, 1, SHAPES.context)[None, :, None].expand(1, -1, 2)
    inner = slice(kernel, SHAPES.context - kernel)
    torch.testing.assert_close(module.trend(straight)[:, inner].diff(dim=1), straight[:, inner].diff(dim=1))
    both = module.of_trend(trend.flatten(1)) + module.of_rest(torch.cat([(window - trend).flatten(1), extras], dim=1))
    torch.testing.assert_close(module(window, extras), both)


def test_nhits_stacks_go_from_coarse_to_fine_and_nbeats_never_pools():
    assert NHits(stacks=3, pooling=4).pools(SHAPES) == [4, 2, 1]
    assert NBeats(stacks=3).pools(SHAPES) == [1, 1, 1]
    knots = [block.knots.out_features // SHAPES.outputs for block in NHits(stacks=3, pooling=4).net(SHAPES).blocks]
    assert knots == [2, 3, 6]


@pytest.mark.parametrize(("length", "pool"), [(12, 1), (12, 4), (13, 4), (3, 8)])
def test_pooling_takes_the_largest_and_its_gradient_reaches_that_one(length, pool):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x_BCL = torch.randn(5, 2, length, requires_grad=True)
    ours_BCP, theirs_BCP = largest_of_each(x_BCL, pool), torch.nn.functional.max_pool1d(x_BCL, pool, ceil_mode=True)
    torch.testing.assert_close(ours_BCP, theirs_BCP, rtol=0, atol=0)
    gradients = (torch.autograd.grad(pooled.square().sum(), x_BCL)[0] for pooled in (ours_BCP, theirs_BCP))
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_an_nhits_block_sees_only_what_the_one_before_left_unexplained():
    module = awake(NHits(stacks=2, pooling=2, width=8))
    first, second = module.blocks
    window, extras = inputs(1)
    forecast, explained = first(window, extras)
    rest = window.clone()
    rest[..., 0] -= explained
    torch.testing.assert_close(module(window, extras), forecast + second(rest, extras)[0])
    assert second.explained is None


def test_members_of_a_batch_ensemble_share_a_matrix_and_differ():
    layer = SharedLinear(3, 5, 4, varied=True)
    same = torch.randn(5).expand(3, 2, 5)
    out = layer(same)
    assert count(layer.linear) == 20
    assert not torch.allclose(out[0], out[1]) or not torch.allclose(out[0], out[2])
    one = SharedLinear(3, 5, 4, varied=False)(same)
    torch.testing.assert_close(one[0], one[1])


def test_a_batch_ensemble_trains_on_every_member_and_forecasts_their_mean():
    module = awake(TabM(members=4, width=8, dropout=0.0))
    window, extras = inputs(5)
    members = module.train()(window, extras)
    assert members.shape == (4, 5, 6, 3)
    torch.testing.assert_close(module.eval()(window, extras), members.mean(dim=0))


@pytest.mark.parametrize(
    ("build", "known"), [(activation, ACTIVATIONS), (lambda name: norm(name, 4), NORMS), (lambda name: sequence_norm(name, 4), SEQUENCE_NORMS)]
)
def test_parts_are_built_by_name_and_unknown_names_refused(build, known):
    for name in known:
        assert isinstance(build(name), torch.nn.Module)
    with pytest.raises(BadInput, match="nonsense"):
        build("nonsense")


@pytest.mark.parametrize("grow_from", [0, 4])
def test_a_net_cannot_grow_from_more_than_it_has(grow_from):
    with pytest.raises(BadInput, match="between 1 and blocks"):
        ResNet(blocks=3, grow_from=grow_from)


@pytest.mark.parametrize("wrong", [{"positions": "none"}, {"width": 10, "heads": 4}])
def test_a_transformer_refuses_what_it_cannot_build(wrong):
    with pytest.raises(BadInput):
        Transformer(**wrong)


def test_an_unknown_convolution_is_refused():
    with pytest.raises(BadInput, match="spiral"):
        convolution("spiral", 1, 1, 1)


@pytest.mark.parametrize("wrong", [lambda: Tcn(kernel=1), lambda: ResNet(drop_path=1.0), lambda: PatchTransformer(patch=4, stride=5)])
def test_what_would_never_end_or_divide_by_zero_is_refused(wrong):
    with pytest.raises(BadInput):
        wrong()
