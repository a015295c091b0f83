"""Do outputs look like those of a network that sees what it was trained on?

Gross mistakes of a declaration show here: bytes for fractions, a normalisation for the other range, a column
that is no output. Fine ones, such as swapped channels, give worse labels that vary as good ones do, and only
labelled images would show them; nor has a value without a unit an extreme.
"""

from __future__ import annotations

__all__ = ["suspicious_embeddings", "suspicious_features", "suspicious_outputs"]

from collections.abc import Sequence

from torch import Tensor

from pipeline.attributes import Attribute

EXTREME = 12.0
"""A logit beyond this says one in 160,000; few images deserve it."""

NEARLY_ALL = 0.9
"""The share of images with an extreme logit from which on a column is doubted."""

FLAT_LOGIT = 0.1
"""A standard deviation over different images at which a logit says nothing; usual ones are above 1."""

FLAT_VALUE = 0.01
"""The same for values, as a share of the largest one: their units are anyone's."""

ALIKE = 0.999
"""The cosine from which on two embeddings are taken for one."""

NEAR = 1e-3
"""The perceptual distance below which two images count as one; those of different faces are tenths apart."""

CHECK = "check image (low, high, mean, std, channels, resize) and {where} of its source"


def suspicious_outputs(scores: Tensor, attributes: Sequence[Attribute]) -> list[str]:
    """One sentence for each column that says the same of all images, or is certain of nearly all.

    Arguments:
        scores: a labeler's outputs ``[N, K]`` for different images.
        attributes: what the columns belong to, in order.
    """
    kinds = [(column, attribute.kind) for attribute in attributes for column in attribute.columns]
    doubts = [_doubt(scores[:, i].double(), *named) for i, named in enumerate(kinds)]
    return [doubt for doubt in doubts if doubt]


def suspicious_embeddings(vectors: Tensor) -> list[str]:
    """A sentence when different images have nearly the same unit vectors ``[N, E]``."""
    similarity = (vectors.double() @ vectors.double().T).min().item()
    if similarity < ALIKE:
        return []
    return [
        f"identity: different images have nearly the same embedding, similarity {similarity:.4f} and more: "
        + CHECK.format(where="output")
    ]


def suspicious_features(distances: Tensor) -> list[str]:
    """A sentence when different images are nearly the same, by the distances ``[P]`` of all pairs."""
    if (farthest := distances.max().item()) >= NEAR:
        return []
    return [
        f"perceptual: different images are nearly the same, at most {farthest:.2g} apart: "
        + CHECK.format(where="output")
    ]


def _doubt(x: Tensor, column: str, kind: str) -> str | None:
    """What is wrong with one column ``[N]``."""
    low, high, spread = x.min().item(), x.max().item(), x.std(correction=0).item()
    seen = f"{len(x):,} different images give {low:.4g} … {high:.4g}"
    logit = kind != "continuous"
    if spread <= (FLAT_LOGIT if logit else FLAT_VALUE * x.abs().max().item()):
        return f"{column}: nearly constant, {seen}: " + CHECK.format(where="outputs")
    if logit and (share := (x.abs() > EXTREME).double().mean().item()) >= NEARLY_ALL:
        certain = f"{share:.0%} of the logits lie beyond ±{EXTREME:g}"
        return f"{column}: saturated, {certain}, {seen}: " + CHECK.format(where="activation")
    return None
