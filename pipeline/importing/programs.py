"""Models that are one file: TorchScript, ``torch.export``, ONNX."""

from __future__ import annotations

__all__ = ["import_program"]

import shutil
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.labelers.backbones import PROGRAMS
from pipeline.labelers.onnx import check_graph
from pipeline.labelers.optional import import_optional
from pipeline.labelers.sources import ExportModel, OnnxModel, TorchScriptModel


def import_program(source: TorchScriptModel | ExportModel | OnnxModel, staging: Path) -> None:
    """Copy a file into a network folder; an ONNX graph with weights in other files becomes one file.

    Raises:
        PipelineError: when there is no such file, or weights of an ONNX graph lie outside of its folder.
    """
    path, target = Path(source.file), staging / PROGRAMS[source.kind]
    if not path.is_file():
        raise PipelineError(f"expected a model, got no file, in {path}: correct labeler.sources")
    if not isinstance(source, OnnxModel) or not _take_in(path, target):
        shutil.copyfile(path, target)


def _take_in(path: Path, target: Path) -> bool:
    """Write an ONNX graph that has weights in other files as one file; ``False`` when it has none there."""
    onnx = import_optional("onnx", "onnx")
    try:
        graph = onnx.load(path, load_external_data=False)
        check_graph(graph, path, external=True)
        if not any(onnx.external_data_helper.uses_external_data(t) for t in graph.graph.initializer):
            return False
        # onnx itself refuses files outside of the graph's folder.
        onnx.external_data_helper.load_external_data_for_model(graph, str(path.parent))
        target.write_bytes(graph.SerializeToString())
    except PipelineError:
        raise
    except Exception as error:  # of protobuf, of the file system, of a graph above protobuf's 2 GB
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"expected a whole ONNX graph, its weights beside it, got {reason!r}, in {path}: export it again"
        ) from None
    return True
