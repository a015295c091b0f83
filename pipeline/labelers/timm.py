"""Models of timm, built by name and filled with safetensors."""

from __future__ import annotations

__all__ = ["build_timm"]

from collections.abc import Mapping
from typing import Any

from pipeline.attributes import nearest_name
from pipeline.errors import PipelineError
from pipeline.labelers.optional import import_optional

READS_FILES = {"cache_dir", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"}
"""Arguments of timm's factory with which a configuration could name files and addresses of its own."""


def build_timm(network: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A network with fresh weights, from prepared images to ``[N, O]``.

    Arguments:
        network: ``architecture``, timm's name of it; ``num_classes``, 0 for pooled features; ``arguments``,
            what else its constructor takes.

    Raises:
        PipelineError: for an architecture that timm does not know, and for arguments that would read files.
    """
    timm = import_optional("timm", "timm")
    name, arguments = network["architecture"], network.get("arguments", {})
    if not timm.is_model(name):  # a name may also stand for a place to load from
        raise PipelineError(
            f"expected an architecture of timm {timm.__version__}, got {name!r}: "
            f"{nearest_name(str(name), timm.list_models())[:200]}"
        )
    if reading := sorted(READS_FILES & arguments.keys()):
        raise PipelineError(
            f"expected arguments of {name!r} that read no files, got {reading}: leave them out"
        )
    return timm.create_model(name, pretrained=False, num_classes=network["num_classes"], **arguments)
