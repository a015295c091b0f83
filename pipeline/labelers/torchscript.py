"""TorchScript: a model as a program in a small subset of Python, with its weights.

Such a file is run, by torch's own interpreter: it cannot import, and can call nothing but torch's operators.
Of those, a few reach beyond tensors (files, other processes, Python itself); a program that mentions one of
them, an operator that torch does not bring itself or a compiled class is refused before it is loaded.
"""

from __future__ import annotations

__all__ = ["TorchScriptBackbone", "open_torchscript"]

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.labelers.archives import pack_records, read_records
from pipeline.labelers.readout import pick_output

BEYOND_TENSORS = {
    "IgnoredPythonOp",
    "PythonOp",
    "from_file",
    "rpc_async",
    "rpc_remote",
    "rpc_sync",
    "save",
}
"""Operators of ``aten::`` and ``prim::`` that touch files, processes or Python."""

OPERATOR = re.compile(rb"\bops\s*\.\s*(\w+)")  # other namespaces than aten are spelt ops.namespace.name
COMPILED_CLASS = re.compile(rb"__torch__\s*\.\s*torch\s*\.\s*classes")


class TorchScriptBackbone(nn.Module):
    """A loaded program as a module of images.

    Arguments:
        program: what ``torch.jit.load`` gave.
        output: which output is meant, when there are several.
    """

    def __init__(self, program: torch.jit.ScriptModule, output: int | str) -> None:
        super().__init__()
        self.program, self.output = program, output

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[N, O]`` of prepared images ``[N, 3, H, W]``."""
        # Without the optimiser that rewrites the program after its first runs: the bits would depend on how
        # many batches came before.
        with torch.jit.optimized_execution(False):
            return pick_output(self.program(x), self.output)


def open_torchscript(path: Path, output: int | str, device: str | torch.device) -> TorchScriptBackbone:
    """Read a program that ``torch.jit.save`` wrote, after a look at everything it may call.

    Raises:
        PipelineError: when the file is damaged, no TorchScript, or a program that reaches beyond tensors.
    """
    records = read_records(path)
    code = {name: content for name, content in records.items() if name.endswith(".py")}
    if not code:
        raise PipelineError(
            f"expected TorchScript, got an archive without code, in {path}: write it with torch.jit.save"
        )
    for content in code.values():
        _refuse_reach(content, path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", DeprecationWarning)
            program = torch.jit.load(pack_records(records), map_location=device)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PipelineError(
            f"expected TorchScript that torch {torch.__version__} reads, got {reason!r}, in {path}: "
            "save it again"
        ) from None
    return TorchScriptBackbone(program, output)


def _refuse_reach(code: bytes, path: Path) -> None:
    """Refuse code that mentions what reaches beyond tensors, wherever in it the words stand."""
    found = {word.decode() for word in re.findall(rb"\w+", code)} & BEYOND_TENSORS
    found |= {f"{space.decode()}::" for space in OPERATOR.findall(code)} - {"aten::", "prim::"}
    if COMPILED_CLASS.search(code):
        found.add("torch.classes")
    if found:
        raise PipelineError(
            f"expected a program of tensor operators, got {', '.join(sorted(found))}, in {path}: "
            "save a model that calls only torch's own tensor operators"
        )
