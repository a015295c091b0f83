"""How an edit goes on beyond what its editor was trained on: along the probes, in short steps.

A decoder that is followed far enough leaves what samples look like, and the classifiers with it: the more is
asked, the less is seen. Beyond its reach an edit therefore goes where the probes point from where it is. Each
step is the shortest one that they read as the attribute alone, at the speed of the edit so far, and the way
bends as it goes. What holds an attribute back is often the rest of the style; the further an edit goes, the
more it draws to the mean what the probes do not see. However much is asked, it ends ``FURTHEST`` on. The
constants were found on validation latents of the embedded portraits.
"""

from __future__ import annotations

__all__ = ["measure_units", "onward"]

import torch
from torch import Tensor

from pipeline.editors.probe import ProbeEnsemble

FURTHEST = 3.0  # deviations that the way gets to, beyond the reach
STEPS = 3
DAMPING = 0.05  # share of the mean square of the probes' slopes
DRAW = 0.8  # share of the distance to the mean that is gone at the end of the way
USUAL = 0.65  # share that variance has in what makes a step short; the rest is distance in images


def measure_units(features: Tensor) -> Tensor:
    """The unit of each feature, ``[features]``, that lengths of steps are measured in.

    A step is short when it changes images little, and when samples often differ so: in parts, as ``USUAL``
    says. Features are taken to be uncorrelated, and a unit of any of them to change images as much.
    """
    variance = features.var(dim=0)
    return (USUAL * variance + (1 - USUAL) * variance.mean()).sqrt()


def onward(
    features: Tensor, rest: Tensor, speed: Tensor, asked: Tensor, probes: ProbeEnsemble, unit: Tensor
) -> Tensor:
    """Where edits end that go on from where the decoder has left them.

    Arguments:
        features: that place, ``[N, features]``; the mean of the samples is 0.
        rest: moves that are still asked for, ``[N, 1]``, in training standard deviations.
        speed: lengths of a move by one deviation, ``[N, 1]``, in units.
        asked: what the probes should read of it, ``[K]``.
        probes: what points the way.
        unit: of each feature, see :func:`measure_units`.
    """
    ahead = FURTHEST * torch.tanh(rest / FURTHEST)
    drawn = DRAW * (ahead / FURTHEST).square()
    x = features / unit
    for _ in range(STEPS):
        slopes = probes.slopes(x * unit) * unit
        way = _shortest(asked.expand(len(x), -1), slopes)
        home = -drawn * x
        unseen = home - _shortest((slopes @ home[:, :, None])[:, :, 0], slopes)
        x = x + (ahead * speed * way / way.norm(dim=1, keepdim=True) + unseen) / STEPS
    return x * unit


def _shortest(read: Tensor, slopes: Tensor) -> Tensor:
    """The shortest steps ``[N, features]`` of which the probes read ``read [N, K]``, about."""
    gram = slopes @ slopes.mT
    mean = gram.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
    damped = gram + DAMPING * mean * torch.eye(read.shape[1]).to(gram)
    return (slopes.mT @ torch.linalg.solve(damped, read[:, :, None]))[:, :, 0]
