"""A canvas of soft signed-distance shapes, painted back to front.

Coordinates run from -1 to 1, x to the right and y downward, whatever the resolution. Every quantity of a
portrait is a tensor `[N, 1, 1, 1]`, a colour `[N, 3, 1, 1]`, a field over the canvas `[N, 1, H, W]`. Shapes
are built from functions of x alone and of y alone as long as possible: those cost a line and not a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Canvas", "box", "ellipse", "lens", "mix", "ramp", "rgb", "stroke"]

_EDGE = 1.5  # width of the soft edge of a shape, in pixels of the canvas


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture in the making, or a window into one.

    Arguments:
        image: `[N, 3, H, W]`, painted in place.
        x: column centres, `[1, 1, 1, W]`.
        y: row centres, `[1, 1, H, 1]`.
        pixel: width of a pixel in canvas units.
    """

    image: Tensor
    x: Tensor
    y: Tensor
    pixel: float

    @classmethod
    def blank(cls, count: int, size: int, device: torch.device) -> Canvas:
        """A canvas of `count` pictures of `size` by `size` pixels, not yet painted."""
        centres = (torch.arange(size, device=device) + 0.5) * (2 / size) - 1
        image = torch.empty(count, 3, size, size, device=device)
        return cls(image, centres.view(1, 1, 1, size), centres.view(1, 1, size, 1), 2 / size)

    def window(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        """The part of the canvas between the given edges; painting it paints the whole."""
        cols, rows = self._span(left, right, self.x.numel()), self._span(top, bottom, self.y.numel())
        return Canvas(self.image[:, :, rows, cols], self.x[..., cols], self.y[:, :, rows], self.pixel)

    def _span(self, start: float, stop: float, size: int) -> slice:
        return slice(max(0, int((start + 1) / self.pixel)), min(size, int((stop + 1) / self.pixel) + 1))

    def coverage(self, distance: Tensor) -> Tensor:
        """Opacity `[N, 1, H, W]` of a shape: 1 inside, 0 outside, soft between. Overwrites `distance`."""
        return distance.mul_(-1 / (_EDGE * self.pixel)).add_(0.5).clamp_(0, 1)

    def blend(self, alpha: Tensor, colour: Tensor) -> None:
        """Lay a colour over the canvas with opacity `alpha`."""
        self.image.add_((colour - self.image).mul_(alpha))

    def paint(self, distance: Tensor, colour: Tensor, opacity: Tensor | float = 1.0) -> None:
        """Lay a shape over the canvas. Overwrites `distance`."""
        self.blend(self.coverage(distance).mul_(opacity), colour)


def rgb(red: float, green: float, blue: float) -> Tensor:
    """A constant colour `[1, 3, 1, 1]`, channels in [0, 1]."""
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1)


def mix(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """`a` at t = 0, `b` at t = 1."""
    return a + (b - a) * t


def ramp(value: Tensor, low: float, high: float) -> Tensor:
    """Smooth step: 0 below `low`, 1 above `high`, with a continuous slope."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def ellipse(c: Canvas, x: Tensor, y: Tensor, rx: Tensor, ry: Tensor) -> Tensor:
    """Distance to an ellipse about (x, y), exact in sign and close to exact near the edge."""
    radius = (((c.x - x) / rx) ** 2 + ((c.y - y) / ry) ** 2).sqrt_()
    return radius.sub_(1).mul_(torch.minimum(rx, ry))


def box(c: Canvas, x: Tensor, y: Tensor, half_x: Tensor, half_y: Tensor, corner: Tensor | float) -> Tensor:
    """Distance to a box about (x, y) with rounded corners."""
    qx, qy = (c.x - x).abs() - half_x + corner, (c.y - y).abs() - half_y + corner
    outside = (qx.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2).sqrt_()
    return outside.add_(torch.maximum(qx, qy).clamp_(max=0)).sub_(corner)


def lens(
    c: Canvas, x: Tensor, y: Tensor, half: Tensor, thickness: Tensor, bend: Tensor, tilt: Tensor | float
) -> Tensor:
    """Distance to a lying lens: pointed ends at x ± half, `thickness` to either side of a bent axis.

    The axis passes through (x, y); its ends lie lower by `bend`, the right one by `tilt` more.
    """
    t = (c.x - x) / half
    return _from_axis(c, t, y, bend, tilt, thickness * (1 - t * t) - _beyond(t, half))


def stroke(
    c: Canvas, x: Tensor, y: Tensor, half: Tensor, thickness: Tensor, bend: Tensor, tilt: Tensor | float
) -> Tensor:
    """Distance to a brush stroke: a lens that keeps its thickness until close to its ends."""
    t = (c.x - x) / half
    return _from_axis(c, t, y, bend, tilt, thickness * (1 - t**4) - _beyond(t, half))


def _from_axis(c: Canvas, t: Tensor, y: Tensor, bend: Tensor, tilt: Tensor | float, reach: Tensor) -> Tensor:
    return (c.y - (y + tilt * t + bend * t * t)).abs_().sub_(reach)


def _beyond(t: Tensor, half: Tensor) -> Tensor:
    """Distance past an end: without it the axis of a very thin shape would go on as a hairline."""
    return (t.abs() - 1).clamp_(min=0) * half
