"""ONNX: a model as a graph of standard operators, run by onnxruntime (extra ``onnx``).

Such a file is a program of operators that onnxruntime brings itself and that reach nothing but tensors.
Operators of other domains would need compiled libraries, and weights in files of their own could name any
file, so both are refused; ``import-labeler`` takes such weights in.
"""

from __future__ import annotations

__all__ = ["OnnxBackbone", "check_graph", "open_onnx"]

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.labelers.optional import import_optional
from pipeline.labelers.readout import pick_output

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Operators that onnxruntime brings itself."""


class OnnxBackbone(nn.Module):
    """A session of onnxruntime as a module of images: no gradients, and data passes through main memory.

    Arguments:
        session: an ``onnxruntime.InferenceSession`` with one input.
        output: which output is meant, by place or name.
    """

    def __init__(self, session: Any, output: int | str) -> None:  # noqa: ANN401
        super().__init__()
        self.session = session
        self.input = session.get_inputs()[0].name
        names = [found.name for found in session.get_outputs()]
        self.output = names.index(output) if isinstance(output, str) and output in names else output

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[N, O]`` of prepared images ``[N, 3, H, W]``."""
        outputs = self.session.run(None, {self.input: np.ascontiguousarray(x.detach().cpu().numpy())})
        return torch.from_numpy(pick_output(outputs, self.output)).to(x.device)


def open_onnx(path: Path, output: int | str, device: str | torch.device) -> OnnxBackbone:
    """Read an ONNX graph; on a GPU it runs there when onnxruntime was built for it, else on the CPU.

    Raises:
        PipelineError: when onnxruntime is missing, or the file is damaged or no graph that it can run alone.
    """
    runtime, onnx = import_optional("onnxruntime", "onnx"), import_optional("onnx", "onnx")
    content = path.read_bytes()
    check_graph(_parse(onnx, content, path), path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # the last bits depend on it, as in torch
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only
    wanted = ["CUDAExecutionProvider"] * (torch.device(device).type == "cuda") + ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in runtime.get_available_providers()]
    try:
        session = runtime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no class
        raise _unreadable(path, error) from None
    if len(inputs := session.get_inputs()) != 1:
        raise PipelineError(
            f"expected one input, the images, got {[found.name for found in inputs]}, in {path}: "
            "export the model with images alone"
        )
    return OnnxBackbone(session, output)


def _parse(onnx: Any, content: bytes, path: Path) -> Any:  # noqa: ANN401
    """The graph as a message of protobuf."""
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # the class depends on which protobuf there is
        raise _unreadable(path, error) from None


def check_graph(model: Any, path: Path, external: bool = False) -> None:  # noqa: ANN401
    """Refuse a graph that needs more than onnxruntime and its own bytes.

    Arguments:
        model: an ``onnx.ModelProto``.
        path: its file, for errors.
        external: whether weights in other files are allowed, which import takes in.

    Raises:
        PipelineError: for operators of other domains, and for weights that stand in other files.
    """
    local = {function.domain for function in model.functions}
    imports = [*model.opset_import, *(entry for f in model.functions for entry in f.opset_import)]
    if foreign := {entry.domain for entry in imports} - DOMAINS - local:
        raise PipelineError(
            f"expected operators of ONNX, got the domains {sorted(foreign)}, in {path}: "
            "export the model with standard operators"
        )
    if not external and any(t.external_data or t.data_location for t in _tensors(model)):
        raise PipelineError(
            f"expected one file with all weights, got weights in other files, in {path}: "
            "run `python -m pipeline import-labeler`"
        )


def _tensors(message: Any) -> Iterator[Any]:  # noqa: ANN401
    """Every ``TensorProto`` in a message of protobuf, however deep."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)


def _unreadable(path: Path, error: Exception) -> PipelineError:
    reason = " ".join(str(error).split())[:200]
    return PipelineError(
        f"expected a whole ONNX graph that onnxruntime can run, got {reason!r}, in {path}: export it again"
    )
