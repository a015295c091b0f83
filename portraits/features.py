"""What the face says: eyes, brows, nose, mouth, wrinkles, glasses."""

from __future__ import annotations

import torch
from torch import Tensor

from portraits.face import Face, Spot
from portraits.shapes import Canvas, box, ellipse, lens, mix, ramp, rgb, stroke

__all__ = [
    "paint_brows",
    "paint_cheeks",
    "paint_eyes",
    "paint_glasses",
    "paint_mouth",
    "paint_nose",
    "paint_temples",
    "paint_wrinkles",
]

_SIDES = (-1.0, 1.0)
_EYE_Y = -0.06
_FRAME = (0.13, 0.11, 0.14)
_GLASS = 0.182  # half the width of a lens seen from the front


def _eye(face: Face, side: float) -> Spot:
    return face.place(side * (0.218 + 0.05 * (face["eye_spacing"] - 0.5)), _EYE_Y)


def _beside(c: Canvas, side: float, top: float, bottom: float) -> Canvas:
    """The window of one side of the face, with room for a turned head."""
    return c.window(-0.74, top, 0.24, bottom) if side < 0 else c.window(-0.24, top, 0.74, bottom)


def paint_cheeks(c: Canvas, face: Face) -> None:
    """A blush, rosier in the young and the smiling."""
    for side in _SIDES:
        w = _beside(c, side, -0.1, 0.5)
        spot = face.place(side * 0.27, 0.17)
        glow = 1 - ((w.x - spot.x) / (0.15 * spot.narrow)) ** 2 - ((w.y - spot.y) / 0.12) ** 2
        flush = 0.72 + 0.3 * face["expression"] - 0.4 * face["age"] - 0.25 * face["gender"]
        w.blend(glow.clamp_(min=0).mul_(flush), face.blush)


def paint_eyes(c: Canvas, face: Face) -> None:
    """White, iris, pupil, glint and upper lid; lashes for women."""
    for side in _SIDES:
        w, spot = _beside(c, side, -0.36, 0.24), _eye(face, side)
        size = 1.05 + 0.28 * (face["eye_size"] - 0.5) - 0.16 * (face["age"] - 0.5)
        squint = 0.16 * ramp(face["expression"], 0.5, 1.0) + 0.14 * ramp(face["age"], 0.5, 1.0)
        rx, ry = 0.120 * size * spot.narrow, 0.096 * size * (1.08 - 0.08 * face["gender"] - squint)
        _paint_eyeball(w, face, spot, rx, ry)
        _paint_lid(w, face, spot, rx, ry, side)


def _paint_eyeball(w: Canvas, face: Face, spot: Spot, rx: Tensor, ry: Tensor) -> None:
    white = w.coverage(ellipse(w, spot.x, spot.y, rx, ry))
    w.blend(white, rgb(0.99, 0.985, 0.97))
    x, y = spot.x + 0.022 * face["yaw"], spot.y - 0.014 * face["pitch"]
    iris, pupil, glint = (torch.full_like(x, r) for r in (0.074, 0.041, 0.025))
    w.blend(w.coverage(ellipse(w, x, y, iris, iris)).mul_(white), face.iris)
    w.blend(w.coverage(ellipse(w, x, y, pupil, pupil)).mul_(white), rgb(0.06, 0.05, 0.07))
    w.paint(ellipse(w, x - 0.022 + 0.02 * face["light"], y - 0.028, glint, glint), rgb(1.0, 1.0, 1.0), 0.95)


def _paint_lid(w: Canvas, face: Face, spot: Spot, rx: Tensor, ry: Tensor, side: float) -> None:
    lashes = 1 - face["gender"]
    x, y = spot.x + 0.012 * side * lashes, spot.y - 0.72 * ry
    lid = stroke(w, x, y, 1.18 * rx, 0.016 + 0.019 * lashes, 0.75 * ry, -0.014 * side * lashes)
    w.paint(lid, mix(face.skin_shade * 0.35, rgb(0.08, 0.05, 0.06), 0.5))


def paint_brows(c: Canvas, face: Face) -> None:
    """Brows, thicker for men, drawn together by a frown."""
    for side in _SIDES:
        w = _beside(c, side, -0.56, 0.06)
        spot = _eye(face, side)
        y = spot.y - 0.21 - 0.02 * face["expression"] + 0.025 * face["gender"]
        thickness = 0.013 + 0.016 * face["brow_thickness"] + 0.024 * face["gender"]
        frown = 1 - ramp(face["expression"], -0.1, 0.4)
        tilt = side * (0.065 * (0.8 - face["brow_angle"]) - 0.05 * frown)
        bend = torch.full_like(y, 0.035)
        w.paint(stroke(w, spot.x, y, 0.145 * spot.narrow, thickness, bend, tilt), face.brow)


def paint_nose(c: Canvas, face: Face) -> None:
    """A shaded bridge and a round tip that stands out and so travels farther than the eyes."""
    w = c.window(-0.45, -0.25, 0.45, 0.42)
    size = 0.085 + 0.045 * (face["nose_size"] - 0.5) + 0.012 * (face["gender"] - 0.5)
    tip, root = face.place(0.0, 0.12, 1.45), face.place(0.0, -0.06, 1.0)
    middle_x, middle_y = (tip.x + root.x) / 2, (tip.y + root.y) / 2
    half = (tip.y - root.y) / 2
    away = -face["light"] * 0.03
    lean = (w.y - middle_y) / half * (tip.x - root.x) / 2
    bridge = 1 - ((w.x - middle_x - lean - away) / 0.05) ** 2 - ((w.y - middle_y) / (half * 1.2)) ** 2
    w.blend(bridge.clamp_(min=0).mul_(0.45), face.skin_shade)
    w.paint(ellipse(w, tip.x + 0.2 * away, tip.y + 0.022, size * 1.08, size * 0.82), face.skin_shade, 0.85)
    w.paint(ellipse(w, tip.x, tip.y, size, size * 0.80), mix(face.skin, face.blush, 0.35))
    w.paint(ellipse(w, tip.x - away - 0.01, tip.y - 0.02, size * 0.36, size * 0.30), face.skin_light, 0.8)


def paint_mouth(c: Canvas, face: Face) -> None:
    """Lips from a frown to an open smile with teeth."""
    w = c.window(-0.5, 0.08, 0.5, 0.64)
    smile, spot = face["expression"], face.place(0.0, 0.325, 1.05)
    half = (0.155 + 0.05 * (face["mouth_width"] - 0.5) + 0.07 * ramp(smile, 0.3, 1.0)) * spot.narrow
    bend, opening = 0.060 - 0.170 * smile, 0.085 * ramp(smile, 0.5, 1.0)
    y = spot.y - 0.3 * bend + 0.2 * opening
    w.paint(lens(w, spot.x, y, 1.04 * half, 0.050 - 0.020 * face["gender"] + opening, bend, 0.0), face.lips)
    inside = w.coverage(lens(w, spot.x, y, 0.93 * half, opening, bend, 0.0)).mul_(ramp(smile, 0.5, 0.62))
    w.blend(inside, rgb(0.42, 0.09, 0.12))
    edge = y + bend * ((w.x - spot.x) / half) ** 2 + 0.25 * opening
    w.blend(w.coverage(w.y - edge).mul_(inside), rgb(1.0, 0.99, 0.96))
    line = stroke(w, spot.x, y, half, torch.full_like(y, 0.013), bend, 0.0)
    w.paint(line, face.lips * 0.42, 1 - ramp(smile, 0.5, 0.7))


def paint_wrinkles(c: Canvas, face: Face) -> None:
    """Lines of the forehead, bags under the eyes, folds beside the nose."""
    depth, ink = face["age"] * (0.6 + 0.4 * face["age"]), face.skin_shade * 0.85
    zero = torch.zeros_like(depth)
    w = c.window(-0.45, -0.56, 0.45, -0.1)
    for height, half in ((-0.40, 0.20), (-0.33, 0.24)):
        spot = face.place(0.0, height)
        line = stroke(w, spot.x, spot.y, half * spot.narrow, zero + 0.011, zero + 0.02, 0.0)
        w.paint(line, ink, 0.65 * depth)
    for side in _SIDES:
        w = _beside(c, side, -0.2, 0.6)
        bag, fold = _eye(face, side), face.place(side * 0.175, 0.20)
        pouch = stroke(w, bag.x, bag.y + 0.135, 0.09 * bag.narrow, zero + 0.014, zero - 0.03, 0.0)
        w.paint(pouch, ink, 0.7 * depth)
        t = (w.y - fold.y) / 0.09
        crease = (w.x - fold.x - side * (0.035 * t + 0.015 * t**2)).abs_() - 0.013 * (1 - t**4)
        w.paint(crease, ink, 0.7 * depth)


def paint_temples(c: Canvas, face: Face) -> None:
    """Temples of the glasses, from the rims to the ears, under the hair."""
    for side in _SIDES:
        w = c.window(min(side * 0.1, side), -0.3, max(side * 0.1, side), 0.2)
        spot = _eye(face, side)
        rim, ear = spot.x + side * _GLASS * spot.narrow, face.x + side * 0.96 * face.half_width
        reach = ((ear - rim) * side / 2).clamp(min=0.001)
        arm = box(w, (ear + rim) / 2, spot.y - 0.03, reach, torch.full_like(reach, 0.016), 0.0)
        w.paint(arm, rgb(*_FRAME), face["glasses"] * ramp(reach, 0.0, 0.03))


def paint_glasses(c: Canvas, face: Face) -> None:
    """Rims, bridge, and lenses with a glint."""
    worn, frame = face["glasses"], rgb(*_FRAME)
    left, right = _eye(face, -1.0), _eye(face, 1.0)
    for side, spot in zip(_SIDES, (left, right), strict=True):
        w = _beside(c, side, -0.4, 0.32)
        glass = box(w, spot.x, spot.y + 0.012, _GLASS * spot.narrow, torch.full_like(worn, 0.155), 0.09)
        rim = w.coverage(glass.abs() - 0.022)
        across = (w.x - spot.x) * 0.8 + (w.y - spot.y) * 0.6
        glint = (1 - ((across + 0.085) / 0.03) ** 2).clamp_(min=0)
        w.blend(w.coverage(glass).mul_(glint.mul_(0.55).add_(0.12)).mul_(worn), rgb(0.93, 0.98, 1.0))
        w.blend(rim.mul_(worn), frame)
    w = c.window(-0.4, -0.4, 0.4, 0.2)
    start, stop = left.x + _GLASS * left.narrow, right.x - _GLASS * right.narrow
    thin = torch.full_like(worn, 0.02)
    bridge = stroke(w, (start + stop) / 2, left.y - 0.04, (stop - start) / 2 + 0.02, thin, thin, 0.0)
    w.paint(bridge, frame, worn)
