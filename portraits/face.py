"""Who sits for the portrait: head pose, proportions and colours, derived from the factors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from portraits.factors import FACTORS
from portraits.shapes import mix, ramp, rgb

__all__ = ["Face", "Spot"]

_TURN, _NOD = 0.27, 0.17  # radians at yaw 1 and pitch 1: small, so that a feature travels some 4 pixels of 64


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a feature of the head lands in the picture, and how much narrower the turn makes it there."""

    x: Tensor
    y: Tensor
    narrow: Tensor


class Face:
    """The sitter: factors by name (`face["age"]`), proportions, and colours `[N, 3, 1, 1]`.

    Arguments:
        factors: `[N, D]` in the order of `FACTORS`.
    """

    def __init__(self, factors: Tensor) -> None:
        columns = factors.unbind(1)
        self._factors = {f.name: column.view(-1, 1, 1, 1) for f, column in zip(FACTORS, columns, strict=True)}
        self.half_width = 0.475 + 0.09 * (self["face_width"] - 0.5) + 0.03 * (self["gender"] - 0.5)
        self.half_height = 0.60 + 0.06 * (self["face_length"] - 0.5) + 0.02 * (self["gender"] - 0.5)
        self.turn, self.nod = _TURN * self["yaw"], _NOD * self["pitch"]
        self.x, self.y = 0.04 * self["yaw"], -0.015 * self["pitch"]
        self._mix_skin()
        self._mix_hair()
        self._mix_surroundings()

    def __getitem__(self, name: str) -> Tensor:
        """The named factor, `[N, 1, 1, 1]`."""
        return self._factors[name]

    def place(self, x: Tensor | float, y: float, depth: float = 1.0) -> Spot:
        """Project a point of the head, given as it lies in a frontal view, through yaw and pitch.

        `depth` is how far the point stands out: 1 on the face, more at the tip of the nose.
        """
        across = torch.as_tensor(x) / self.half_width
        front = (1 - across**2).clamp(min=0.1).sqrt()
        px = self.x + self.half_width * (across * self.turn.cos() + depth * front * self.turn.sin())
        rise = math.sqrt(max(0.1, 1 - (y / 0.6) ** 2))
        py = self.y + y * self.half_height / 0.6 - 0.5 * depth * rise * self.nod.sin()
        return Spot(px, py, self.turn.cos() - across / front * self.turn.sin())

    def _mix_skin(self) -> None:
        tone = self["skin_tone"]
        light = mix(rgb(1.0, 0.86, 0.76), rgb(0.91, 0.66, 0.48), ramp(tone, -0.1, 0.6))
        self.skin = mix(light, rgb(0.42, 0.26, 0.18), ramp(tone, 0.3, 1.15))
        self.skin_shade = self.skin * rgb(0.80, 0.66, 0.64)
        self.skin_light = mix(self.skin, rgb(1.0, 0.97, 0.90), 0.40)
        self.blush = mix(self.skin, rgb(0.95, 0.38, 0.36), 0.45 - 0.25 * tone)
        natural = mix(self.skin, rgb(0.70, 0.28, 0.28), 0.50)
        painted = mix(self.skin, rgb(0.86, 0.12, 0.22), 0.85)
        self.lips = mix(natural, painted, (0.25 + 0.65 * self["lip_tint"]) * (1 - 0.85 * self["gender"]))

    def _mix_hair(self) -> None:
        lightness, warmth = self["hair_lightness"], self["hair_hue"]
        brown = mix(rgb(0.13, 0.09, 0.10), rgb(0.47, 0.29, 0.18), ramp(lightness, 0.0, 0.6))
        natural = mix(brown, rgb(0.95, 0.79, 0.45), ramp(lightness, 0.4, 1.05))
        red = mix(rgb(0.36, 0.09, 0.07), rgb(0.96, 0.54, 0.22), lightness)
        natural = mix(natural, red, 0.85 * ramp(warmth, 0.35, 1.1))
        grey = ramp(self["age"], 0.32, 1.0)
        self.hair = mix(natural, rgb(0.86, 0.86, 0.88), 0.92 * grey)
        self.hair_shade = self.hair * rgb(0.72, 0.68, 0.70)
        self.hair_light = mix(self.hair, rgb(1.0, 0.95, 0.85), 0.38)
        self.beard = self.hair * rgb(0.72, 0.66, 0.66)
        self.brow = mix(natural * 0.75, rgb(0.70, 0.69, 0.69), 0.85 * grey)

    def _mix_surroundings(self) -> None:
        pastel = _hue(0.09 + 0.80 * self["background_hue"])
        self.background = (0.46 + 0.34 * self["background_lightness"]) + 0.13 * pastel
        cloth = _hue(0.02 + 0.80 * self["shirt_hue"])
        self.shirt = (0.30 + 0.45 * self["shirt_lightness"]) + 0.24 * cloth
        self.shirt_shade, self.shirt_light = self.shirt * 0.74, mix(self.shirt, rgb(1.0, 1.0, 1.0), 0.25)
        blue_or_green = mix(rgb(0.32, 0.55, 0.30), rgb(0.22, 0.50, 0.85), ramp(self["eye_hue"], 0.45, 1.0))
        self.iris = mix(rgb(0.40, 0.22, 0.11), blue_or_green, ramp(self["eye_hue"], 0.1, 0.6))


def _hue(turns: Tensor) -> Tensor:
    """Colour wheel in [-1, 1]: 0 red, 1/3 green, 2/3 blue."""
    return torch.cos(2 * math.pi * (turns - rgb(0.0, 1 / 3, 2 / 3)))
