"""What a model folder itself says about its images, held against what is declared."""

from __future__ import annotations

__all__ = ["disagreements", "huggingface_says", "timm_says"]

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.labelers.preprocessing import ImageInput

PREPROCESSOR = "preprocessor_config.json"
RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic", 4: "area"}  # PIL's numbers
ROUNDING = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """What a folder says; ``None`` where it says nothing.

    Attributes:
        resize: side of the resized image.
        side: side of what the network sees, after the crop.
        interpolation: as in :class:`ImageInput`.
        channels: as in :class:`ImageInput`.
        black: what the network sees of a black pixel, for each channel.
        white: what it sees of a white one.
    """

    resize: int | None = None
    side: int | None = None
    interpolation: str | None = None
    channels: str | None = None
    black: list[float] | None = None
    white: list[float] | None = None


def disagreements(image: ImageInput, carried: _Carried, source: str) -> list[str]:
    """One sentence for each value in which the declaration and the folder differ, with both.

    Arguments:
        image: what is declared.
        carried: what :func:`huggingface_says` or :func:`timm_says` found.
        source: the folder's file that says so.
    """
    declared = {
        "resize": image.resize,
        "crop (the side that the network sees)": image.side,
        "interpolation": image.interpolation,
        "channels": image.channels,
        "low, mean and std (black becomes)": _levels(image.low, image.mean, image.std),
        "high, mean and std (white becomes)": _levels(image.high, image.mean, image.std),
    }
    found = (
        carried.resize, carried.side, carried.interpolation, carried.channels, carried.black, carried.white
    )  # fmt: skip
    return [
        f"image.{name}: declared {ours}, but {source} says {theirs}"
        for (name, ours), theirs in zip(declared.items(), found, strict=True)
        if theirs is not None and not _same(ours, theirs)
    ]


def huggingface_says(folder: Path) -> _Carried:
    """What ``preprocessor_config.json`` of a folder of transformers says; nothing when it has none."""
    path = folder / PREPROCESSOR
    says: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    resize = _side(says.get("size")) if says.get("do_resize", True) else None
    crop = _side(says.get("crop_size")) if says.get("do_center_crop", "crop_size" in says) else None
    black = white = None
    if "image_mean" in says and "image_std" in says:
        high = 255 * says.get("rescale_factor", 1 / 255) if says.get("do_rescale", True) else 255.0
        normal = says.get("do_normalize", True)
        mean, std = (says["image_mean"], says["image_std"]) if normal else ([0.0] * 3, [1.0] * 3)
        black, white = _levels(0.0, mean, std), _levels(high, mean, std)
    flipped = says.get("do_flip_channel_order")
    return _Carried(
        resize=resize,
        side=crop or resize,
        interpolation=RESAMPLING.get(says.get("resample", -1)),
        channels=None if flipped is None else "bgr" if flipped else "rgb",
        black=black,
        white=white,
    )


def timm_says(config: Mapping[str, Any]) -> _Carried:
    """What ``pretrained_cfg`` in the ``config.json`` of a folder of timm says."""
    says = config.get("pretrained_cfg", {})
    side = says["input_size"][-1] if "input_size" in says else None
    levels = {"mean", "std"} <= says.keys()
    return _Carried(
        resize=int(side / says["crop_pct"]) if side and says.get("crop_pct") else None,
        side=side,
        interpolation=says.get("interpolation"),
        black=_levels(0.0, says["mean"], says["std"]) if levels else None,
        white=_levels(1.0, says["mean"], says["std"]) if levels else None,
    )


def _side(size: Any) -> int | None:  # noqa: ANN401
    """One side of a size in any of the spellings of transformers."""
    if isinstance(size, Mapping):
        return size.get("shortest_edge") or size.get("height")
    return size


def _levels(value: float, mean: Any, std: Any) -> list[float]:  # noqa: ANN401
    """What a value becomes in each channel."""
    return [round((value - m) / s, 3) for m, s in zip(mean, std, strict=True)]


def _same(ours: Any, theirs: Any) -> bool:  # noqa: ANN401
    """Whether two values agree, numbers up to rounding."""
    if isinstance(ours, list):
        return all(abs(a - b) <= ROUNDING * max(1.0, abs(b)) for a, b in zip(ours, theirs, strict=True))
    return ours == theirs
