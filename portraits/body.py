"""What lies behind and around the features: background, hair, shirt, neck, ears, head, beard."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from portraits.face import Face
from portraits.shapes import Canvas, box, ellipse, mix, ramp, stroke

__all__ = [
    "Outline",
    "outline",
    "paint_background",
    "paint_beard",
    "paint_ears",
    "paint_hair_behind",
    "paint_hair_in_front",
    "paint_head",
    "paint_shirt_and_neck",
]


@dataclass(frozen=True, slots=True)
class Outline:
    """Shapes that several layers share, as fields `[N, 1, H, W]` over the whole canvas.

    Arguments:
        radius: 0 at the centre of the head, 1 on its contour.
        skull: distance to the outer contour of the hair.
        opening: distance to the opening of the hair for the face.
        crown: 0 at the centre of the dome of hair, 1 on it.
    """

    radius: Tensor
    skull: Tensor
    opening: Tensor
    crown: Tensor


def outline(c: Canvas, face: Face) -> Outline:
    """Measure the canvas against the sitter's head and hair."""
    skull, crown = _skull(c, face)
    return Outline(_head_radius(c, face), skull, _opening(c, face), crown)


def _head_radius(c: Canvas, face: Face) -> Tensor:
    y = (c.y - face.y) / face.half_height
    below = y.clamp(min=0)
    jaw = 0.25 * face["gender"] + 0.06 * face["face_width"] + 0.06 * ramp(face["age"], 0.3, 1.0) - 0.10
    width = face.half_width * (1 - 0.16 * below**2 + 1.5 * jaw * below**2 * (1 - 0.55 * below))
    x = c.x - face.x - 0.25 * face.half_width * face.turn * y  # the chin points where the face looks
    return ((x / width) ** 2 + y**2).sqrt_()


def _skull(c: Canvas, face: Face) -> tuple[Tensor, Tensor]:
    """Distance to the hair's outer contour, a dome with hanging sides, and the dome's radius."""
    volume, hair = face["hair_volume"], 1 - ramp(face["baldness"], 0.25, 0.95)
    length = face["hair_length"] * (1 - 0.7 * face["baldness"])
    wave = 0.032 * volume * (c.y * 16).sin() * ramp(c.y, -0.4, 0.3)
    flare = 0.16 * length * ramp(c.y, -0.1, 1.0) * (0.4 + volume)
    width = face.half_width + 0.035 + (0.03 + 0.10 * volume) * (0.25 + 0.75 * hair) + wave + flare
    height = face.half_height - 0.13 + (0.09 + 0.13 * volume) * hair  # sinks into the head of a bald sitter
    x, above = c.x - face.x + 0.08 * face.turn, (c.y - face.y + 0.10).clamp(max=0) / height
    crown = ((x / width) ** 2 + above**2).sqrt_()
    bottom = face.y - 0.06 + ramp(length, -0.15, 1.0) - 0.25 * x * x
    return _smooth_max((crown - 1).mul_(face.half_width), c.y - bottom, 0.10), crown


def _smooth_max(a: Tensor, b: Tensor, width: float) -> Tensor:
    overlap = (width - (a - b).abs_()).clamp_(min=0)
    return torch.maximum(a, b).add_(overlap.square_().mul_(0.25 / width))


def _opening(c: Canvas, face: Face) -> Tensor:
    """Distance to the opening for the face: an arch whose top is the hairline, receding with baldness."""
    bald = face["baldness"]
    spot = face.place(0.0, -0.33, 0.9)
    t = (c.x - spot.x) / face.half_width
    bays = ramp(bald, 0.0, 0.5) * (1 - ramp(bald, 0.6, 1.0)) * ((t.abs() * 5.5 - 2.6).cos() + 1)
    sweep = face["hair_parting"] * t * (1 - 0.9 * ramp(bald, 0.1, 0.9))
    hairline = spot.y - 0.34 * ramp(bald, -0.1, 0.95) - 0.08 * bays + 0.10 * sweep
    locks = 0.12 * ramp(c.y - face.y, -0.1, 0.8)
    width = face.half_width * (0.86 + 0.10 * ramp(bald, 0.2, 1.0) - locks)
    height = 0.34 + 0.10 * bald
    x = c.x - spot.x + 0.30 * face.half_width * face.turn
    above = (c.y - hairline - height).clamp(max=0) / height
    return ((x / width) ** 2 + above**2).sqrt_().sub_(1).mul_(0.40)


def paint_background(c: Canvas, face: Face) -> None:
    """A soft gradient, brighter where the light comes from."""
    glow = 0.07 - 0.09 * ((c.x - 0.7 * face["light"]) ** 2 + (c.y + 0.3) ** 2)
    torch.add(face.background, glow, out=c.image)


def paint_hair_behind(c: Canvas, face: Face, shape: Outline) -> None:
    """The mass of hair behind head and shoulders."""
    c.paint(shape.skull.clone(), face.hair_shade)


def paint_shirt_and_neck(c: Canvas, face: Face) -> None:
    """Shoulders, neck with the shadow of the chin, and a collar."""
    c = c.window(-1.0, 0.3, 1.0, 1.0)
    man = face["gender"]
    zero, neck = torch.zeros_like(man), 0.19 + 0.055 * man
    shoulders = c.coverage(ellipse(c, zero, zero + 1.14, 0.72 + 0.14 * man, 0.40 + 0.02 * man))
    c.blend(shoulders, face.shirt)
    away = (0.5 - 0.8 * face["light"] * c.x).clamp(0, 1)
    c.blend(shoulders.mul_(0.45 * away), face.shirt_shade)
    c.paint(ellipse(c, zero, zero + 0.80, neck + 0.095, zero + 0.135), face.shirt_light)
    column = box(c, 0.4 * face.x, zero + 0.55, neck, zero + 0.27, 0.0)
    skin = c.coverage(torch.minimum(column, ellipse(c, zero, zero + 0.79, neck + 0.035, zero + 0.085)))
    c.blend(skin, face.skin)
    below_chin = (face.y + face.half_height + 0.20 - c.y) / 0.16
    c.blend(skin.mul_(0.85 * below_chin.clamp(0, 1)), face.skin_shade)


def paint_ears(c: Canvas, face: Face) -> None:
    """Ears, which the turning head hides on one side and shows on the other."""
    for side in (-1.0, 1.0):
        w = c.window(min(side, 0.25 * side), -0.35, max(side, 0.25 * side), 0.45)
        x = face.x + side * (face.half_width + 0.02) - 0.30 * face.half_width * face.turn - 0.03 * side
        y = face.y + 0.04 + 0.35 * face.nod
        rx, ry = torch.full_like(y, 0.085), torch.full_like(y, 0.135)
        w.paint(ellipse(w, x, y, rx, ry), face.skin)
        w.paint(ellipse(w, x + 0.01 * side, y, 0.55 * rx, 0.65 * ry), face.skin_shade, 0.6)


def paint_head(c: Canvas, face: Face, shape: Outline) -> None:
    """The head with its round shading, turned away from the light, and a shine on a bald crown."""
    cover = c.coverage((shape.radius - 1).mul_(face.half_width))
    c.blend(cover, face.skin)
    away = face["light"] * (c.x - face.x) * -0.75
    shade = (shape.radius**3).mul_(0.45).add_(away).clamp_(0, 0.8)
    c.blend(shade.mul_(cover), face.skin_shade)
    x, y = face.x + 0.14 * face["light"] + 0.02, face.y - 0.45
    shine = 1 - ((c.x - x) / 0.20) ** 2 - ((c.y - y) / 0.09) ** 2
    c.blend(shine.clamp_(0, 1).mul_(0.9 * ramp(face["baldness"], 0.45, 1.0)), face.skin_light)


def paint_hair_in_front(c: Canvas, face: Face, shape: Outline) -> None:
    """Fringe, temples and locks: all hair outside the opening for the face, with a gleam along the crown."""
    head = (shape.radius - 1).mul_(face.half_width) - ramp(c.y - face.y, -0.2, 0.2)
    cover = c.coverage(torch.maximum(shape.skull, -torch.maximum(shape.opening, head)))
    c.blend(cover, face.hair)
    edge = (shape.crown - 0.55).mul_(1.6).clamp_(0, 1).square_().mul_(0.55)
    gleam = (1 - ((shape.crown - 0.80) / 0.11).square_()).clamp_(min=0)
    toward = (0.5 + 0.9 * face["light"] * (c.x - face.x) - 0.9 * (c.y - face.y + 0.35)).clamp_(0, 1)
    c.blend(edge.mul_(cover), face.hair_shade)
    c.blend(gleam.mul_(cover).mul_(toward).mul_(0.65), face.hair_light)


def paint_beard(c: Canvas, face: Face, shape: Outline) -> None:
    """Stubble that thickens into a full beard, with a moustache."""
    beard, mouth = face["beard"], face.place(0.0, 0.30)
    full = ramp(beard, 0.3, 1.0)
    t = (c.x - mouth.x) / face.half_width
    cheeks = 0.16 * (t * 2.2).square().clamp(max=1) * (1 - t.square()) - 0.42 * t**4
    top = mouth.y - 0.10 + cheeks  # just under the nose, low on the cheeks, up to the ears
    grown = 0.13 * full * ramp((c.y - face.y) / face.half_height, 0.1, 1.0)
    jaw = (shape.radius - 1).mul_(face.half_width).sub_(grown)
    opacity = 0.60 * ramp(beard, 0.05, 0.5) + 0.37 * full
    stubble = mix(face.skin_shade, face.hair_shade, 0.75)
    c.paint(_smooth_max(jaw, top - c.y, 0.05), mix(stubble, face.beard, full), opacity)
    bend = torch.full_like(beard, 0.05)
    moustache = stroke(c, mouth.x, mouth.y - 0.075, 0.21 * mouth.narrow, 0.032 + 0.012 * full, bend, 0.0)
    c.paint(moustache, face.beard * 0.9, 0.9 * full)
