"""What a training's curve says, in plain words, with the figures behind it."""

import math
from collections.abc import Sequence

Point = tuple[int, float, float, float]  # steps, mean training loss since the last point, loss on the stop role (NaN without one), seconds

LEARNT = 0.02  # share of the first loss that has to go, or nothing was learnt
ROSE = 1.2  # a training loss that rises by so much between two looks is not a matter of noise
TURNED = 1.05  # a loss on the stop role so many times its best one, at the end
FALLING = 0.02  # share by which the loss still fell between the last two looks


def diagnose(curve: Sequence[Point]) -> str:
    """Say whether a training was unstable, learnt nothing, over-fitted, under-fitted, or none of these.

    Parameters
    ----------
    curve
        Looks in the order of steps; the first one, at step 0, is what climatology costs.

    Returns
    -------
    one sentence with the figures; it begins with the finding.
    """
    if len(curve) < 3:
        return f"too short to tell: {len(curve)} looks at the loss"
    steps, trained, stopped, _ = zip(*curve, strict=True)
    judged = stopped if not any(math.isnan(loss) for loss in stopped) else trained
    where = "on the stop role" if judged is stopped else "in training"
    for before, after, step in zip(trained[1:-1], trained[2:], steps[2:], strict=True):
        if after > ROSE * before:
            return f"unstable: the training loss rose from {before:.4g} to {after:.4g} by step {step}; lower the learning rate or the clip"
    if min(judged[1:]) > (1 - LEARNT) * judged[0]:
        if min(trained[1:]) <= (1 - LEARNT) * trained[0]:
            return f"learning by heart: the training loss fell from {trained[0]:.4g} to {trained[-1]:.4g}, {where} it stayed at {min(judged):.4g}"
        return f"not learning: the loss {where} was {judged[0]:.4g} before and {min(judged[1:]):.4g} at best; there may be nothing to learn"
    best = min(range(1, len(judged)), key=lambda look: judged[look])
    least, last = judged[best], judged[-1]
    if last > TURNED * least:
        return f"over-fitting: the loss {where} was {least:.4g} after {steps[best]} steps, which were kept, and {last:.4g} after {steps[-1]}"
    if best == len(judged) - 1 and last < (1 - FALLING) * judged[-2]:
        return (
            f"under-fitting: the loss {where} still fell from {judged[-2]:.4g} to {last:.4g} in the last {steps[-1] - steps[-2]} steps: train longer"
        )
    return f"sound: the loss {where} fell from {judged[0]:.4g} to {least:.4g} in {steps[best]} steps"
