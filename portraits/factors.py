"""The named factors of a portrait and the structural equations that tie them together.

A portrait is a vector of `D` factors. The first eight are the attributes that people edit; the rest is
nuisance: everything else that makes a person and a picture. `factors_from_normals` draws factors from
independent normals. Its equations are continuous, so that a generator can learn them, and carry the
correlations that make editing hard: beards and baldness belong to men, baldness and glasses come with age,
long hair and smiles with women, dark hair with dark skin.

References:
    StyleFlow (arXiv 2008.02401) and StyleAE (arXiv 2412.20164): the eight attributes of FFHQ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pipeline.errors import PipelineError

__all__ = ["ATTRIBUTES", "D", "FACTORS", "INDEX", "NUISANCES", "Factor", "factors_from_normals"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One named dimension of a portrait, in the open range (`low`, `high`)."""

    name: str
    doc: str
    kind: Literal["binary", "continuous"] = "continuous"
    group: Literal["attribute", "nuisance"] = "nuisance"
    low: float = 0.0
    high: float = 1.0


FACTORS: tuple[Factor, ...] = (
    Factor("gender", "0 woman, 1 man: jaw, brows, lips, lashes, shoulders", "binary", "attribute"),
    Factor("glasses", "0 none, 1 worn: rims, bridge and glint", "binary", "attribute"),
    Factor("yaw", "turned to the left (-1) or right (+1) of the picture", "continuous", "attribute", -1.0),
    Factor("pitch", "head bowed (-1) or raised (+1)", "continuous", "attribute", -1.0),
    Factor("baldness", "0 full hair, 1 a bare crown with a fringe above the ears", "continuous", "attribute"),
    Factor("beard", "0 shaven, 0.4 stubble, 1 full beard", "continuous", "attribute"),
    Factor("age", "0 young, 1 old: wrinkles, bags, grey hair", "continuous", "attribute"),
    Factor("expression", "0 frown, 0.4 neutral, 1 open smile", "continuous", "attribute"),
    Factor("skin_tone", "0 fair, 1 deep"),
    Factor("hair_hue", "0 ashen, 1 red"),
    Factor("hair_lightness", "0 black, 1 blond"),
    Factor("hair_length", "0 above the ears, 1 below the shoulders"),
    Factor("hair_volume", "0 flat, 1 big and wavy"),
    Factor("hair_parting", "fringe swept to the left (-1) or right (+1)", low=-1.0),
    Factor("background_hue", "0 sand, through green and blue, to 1 rose"),
    Factor("background_lightness", "0 dusky, 1 pale"),
    Factor("face_width", "0 narrow, 1 wide"),
    Factor("face_length", "0 short, 1 long"),
    Factor("eye_hue", "0 brown, through green, to 1 blue"),
    Factor("eye_size", "0 small, 1 large"),
    Factor("eye_spacing", "0 close, 1 wide apart"),
    Factor("brow_thickness", "0 thin, 1 bushy"),
    Factor("brow_angle", "0 sloping outward, 1 sloping inward"),
    Factor("nose_size", "0 small, 1 large"),
    Factor("mouth_width", "0 narrow, 1 wide"),
    Factor("lip_tint", "0 pale, 1 red"),
    Factor("light", "light from the left (-1) or right (+1)", low=-1.0),
    Factor("shirt_hue", "0 red, through green, to 1 violet"),
    Factor("shirt_lightness", "0 dark, 1 light"),
)
D = len(FACTORS)
INDEX = {factor.name: i for i, factor in enumerate(FACTORS)}
ATTRIBUTES = tuple(factor.name for factor in FACTORS if factor.group == "attribute")
NUISANCES = tuple(factor.name for factor in FACTORS if factor.group == "nuisance")

_BINARY_SLOPE = 8.0  # four samples in five lie within 0.1 of 0 or 1; the rest bridge them for the generator
_SLOPE = 1.4  # a sigmoid of this slope spreads a normal over (0, 1) without piling it up at the ends


def factors_from_normals(u: Tensor) -> Tensor:
    """Map independent standard normals to factors by the structural equations.

    Arguments:
        u: `[N, D]`, one normal per factor, in the order of `FACTORS`.

    Returns:
        `[N, D]` factors, each inside its (low, high); a binary factor is true above 0.5.

    Raises:
        PipelineError: if `u` is not `[N, D]`.
    """
    if u.ndim != 2 or u.shape[1] != D:
        raise PipelineError(f"expected normals of shape [N, {D}], got {list(u.shape)}: draw one per factor")
    normal = {factor.name: u[:, i] for i, factor in enumerate(FACTORS)}
    value = {f.name: _alone(normal[f.name], f) for f in FACTORS} | _correlated(normal)
    return torch.stack([value[factor.name] for factor in FACTORS], dim=1)


def _alone(u: Tensor, factor: Factor) -> Tensor:
    return factor.low + (factor.high - factor.low) * torch.sigmoid(_SLOPE * u)


def _correlated(u: dict[str, Tensor]) -> dict[str, Tensor]:
    """Equations of the factors that depend on others; weights of the normals set how strong each tie is."""
    gender = torch.sigmoid(_BINARY_SLOPE * u["gender"])
    man = 2 * gender - 1
    score = {
        "baldness": 0.8 * u["baldness"] + 0.6 * u["age"] + 0.85 * man - 1.0,
        "beard": u["beard"] + 1.35 * man - 1.2,
        "expression": 0.95 * u["expression"] - 0.45 * man + 0.3,
        "hair_length": 0.75 * u["hair_length"] - 0.95 * man,
        "hair_lightness": 0.85 * u["hair_lightness"] - 0.55 * u["skin_tone"],
    }
    glasses = torch.sigmoid(_BINARY_SLOPE * (0.85 * u["glasses"] + 0.5 * u["age"] - 0.35))
    value = {name: torch.sigmoid(_SLOPE * s) for name, s in score.items()}
    return value | {"gender": gender, "glasses": glasses}
