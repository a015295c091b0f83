"""Packages that only some formats need, imported when a network of such a format is."""

from __future__ import annotations

__all__ = ["import_optional"]

import importlib
from types import ModuleType

import torch

from pipeline.errors import PipelineError

USES_TORCHVISION = ("timm", "transformers")

_described: list[torch.library.Library] = []  # operators live as long as the library that defines them


def import_optional(package: str, extra: str) -> ModuleType:
    """A package of one of the extras in ``pyproject.toml``.

    Arguments:
        package: its name.
        extra: the extra that brings it.

    Raises:
        PipelineError: when it is not installed, with the command that installs it.
    """
    try:
        if package in USES_TORCHVISION:
            _let_torchvision_in()
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"expected the package {error.name or package} of the extra {extra!r}, got none: "
            "run `make extras`"
        ) from None


def _let_torchvision_in() -> None:
    """Let ``import torchvision`` succeed where its compiled operators were built for another torch.

    A wheel for CUDA beside a torch for CPUs fails to import, because it describes two operators of object
    detection, ``nms`` and ``qnms``, that its compiled half should have defined. timm and transformers import
    torchvision for its image transforms, which are plain Python, so signatures without an implementation do.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return  # transformers does without
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _described.append(library)
        importlib.import_module("torchvision")
