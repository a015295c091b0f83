"""StyleGAN2 written down once more, plainly, in float64: NumPy and SciPy, one image at a time.

It follows the papers' order (scale the weights by the style, normalise them, convolve, filter), shares no
line with the pipeline, and is as slow as it looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate2d

Array = NDArray[np.float64]
Tensors = Mapping[str, Array]

FIR = np.outer([1.0, 3.0, 3.0, 1.0], [1.0, 3.0, 3.0, 1.0]) / 64.0
EPSILON = 1e-8


def reference_styles(p: Tensors, config: Mapping[str, Any], z: Array, c: Array | None = None) -> Array:
    """``w [N, w_dim]`` of ``z [N, z_dim]`` and one-hot classes ``c [N, c_dim]``."""
    x = on_sphere(z)
    if c is not None:
        embedded = c @ p["mapping.embed.weight"].T / np.sqrt(c.shape[1]) + p["mapping.embed.bias"]
        x = np.concatenate([x, on_sphere(embedded)], axis=1)
    rate = config["mapping_lr_multiplier"]
    for i in range(config["num_layers"]):
        weight, bias = p[f"mapping.fc{i}.weight"], p[f"mapping.fc{i}.bias"]
        x = leaky(x @ weight.T * rate / np.sqrt(x.shape[1]) + bias * rate)
    return x


def reference_image(p: Tensors, config: Mapping[str, Any], ws: Array) -> Array:
    """The image ``[3, H, W]`` of one row of styles ``ws [num_ws, w_dim]``, noise constant."""
    block, clamp = config["block_architecture"], config["conv_clamp"]
    x, img, at, res = p["synthesis.b4.const"], None, 0, 4
    while res <= config["img_resolution"]:
        mine = within(p, f"synthesis.b{res}.")
        gain = np.sqrt(0.5) if block == "resnet" and res > 4 else 1.0
        shortcut = 0.0
        if res > 4:
            if block == "resnet":
                weight = mine["skip.weight"][:, :, 0, 0] / np.sqrt(len(x))
                shortcut = gain * upsample(np.einsum("oi,ihw->ohw", weight, x))
            x = layer(within(mine, "conv0."), x, ws[at], clamp, up=True)
            at += 1
        x = shortcut + layer(within(mine, "conv1."), x, ws[at], clamp, gain=gain)
        at += 1
        img = None if img is None else upsample(img)
        if "torgb.weight" in mine:
            rgb = to_rgb(within(mine, "torgb."), x, ws[at], clamp)
            img = rgb if img is None else img + rgb
        res *= 2
    assert img is not None
    return img


def layer(
    p: Tensors, x: Array, w: Array, clamp: float | None = None, up: bool = False, gain: float = 1.0
) -> Array:
    """Section 2.2 of arXiv 1912.04958, then noise, bias, leaky ReLU and clamp."""
    weight = p["weight"] * style_of(p, w)[None, :, None, None]
    weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + EPSILON)
    x = up_convolution(x, weight) if up else convolution(x, weight)
    x = leaky(x + p["noise_const"] * p["noise_strength"] + p["bias"][:, None, None]) * gain
    return x if clamp is None else np.clip(x, -clamp * gain, clamp * gain)


def to_rgb(p: Tensors, x: Array, w: Array, clamp: float | None = None) -> Array:
    """A modulated 1×1 convolution, not demodulated."""
    weight = p["weight"][:, :, 0, 0] * style_of(p, w) / np.sqrt(len(x))
    rgb = np.einsum("oi,ihw->ohw", weight, x) + p["bias"][:, None, None]
    return rgb if clamp is None else np.clip(rgb, -clamp, clamp)


def style_of(p: Tensors, w: Array) -> Array:
    return p["affine.weight"] @ w / np.sqrt(len(w)) + p["affine.bias"]


def convolution(x: Array, weight: Array) -> Array:
    """3×3, zeros around: ``[I, H, W]`` and ``[O, I, 3, 3]`` → ``[O, H, W]``."""
    return np.stack(
        [sum(correlate2d(xi, wi, mode="same") for xi, wi in zip(x, w, strict=True)) for w in weight]
    )


def up_convolution(x: Array, weight: Array) -> Array:
    """Every input pixel stamps the kernel at twice its place; then the filter with gain 4 and padding 1."""
    _, height, width = x.shape
    stamped = np.zeros((len(weight), 2 * height + 1, 2 * width + 1))
    for i in range(3):
        for j in range(3):
            stamped[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += np.einsum(
                "oi,ihw->ohw", weight[:, :, i, j], x
            )
    return np.stack([correlate2d(np.pad(s, 1), 4 * FIR, mode="valid") for s in stamped])


def upsample(img: Array) -> Array:
    """Zeros between the pixels, then the filter with gain 4: ``[C, H, W]`` → ``[C, 2H, 2W]``."""
    channels, height, width = img.shape
    spread = np.zeros((channels, 2 * height, 2 * width))
    spread[:, ::2, ::2] = img
    padded = np.pad(spread, ((0, 0), (2, 1), (2, 1)))
    return np.stack([correlate2d(channel, 4 * FIR, mode="valid") for channel in padded])


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


def on_sphere(x: Array) -> Array:
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + EPSILON)


def within(p: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): t for name, t in p.items() if name.startswith(prefix)}
