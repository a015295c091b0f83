"""``torch.export``: a model as a graph of tensor operators, with its weights (``.pt2``).

``torch.export.load`` trusts its file: it unpickles some records, evaluates the text of symbolic sizes as
Python, compiles the text of guards, and calls whatever function of torch a node names. So the archive is
packed anew from what has been checked, and torch sees nothing else:

* records of the graph and of plain tensors stay, all others (sample inputs, compiled code) are left out;
* a record that would have to be unpickled is refused;
* nodes may call operators of ``aten`` and arithmetic only, and none that touches files;
* symbolic sizes may be arithmetic of symbols and whole numbers;
* every other text must be a plain name; guards and notes about the source are left out.
"""

from __future__ import annotations

__all__ = ["ExportBackbone", "check_program", "open_export"]

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.labelers.archives import pack_records, read_records
from pipeline.labelers.readout import pick_output
from pipeline.labelers.torchscript import BEYOND_TENSORS

KEPT = re.compile(
    r"[^/]+/(models/model\.json|data/(weights|constants)/(model_(weights|constants)_config\.json|\w+)"
    r"|archive_format|archive_version|byteorder|\.data/(version|serialization_id))"
)
OPERATOR = re.compile(
    r"torch\.ops\.aten\.((?!__)\w+)\.(?!__)\w+|torch\.sym_\w+|math\.(ceil|floor|trunc)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|getitem|eq|ne|lt|le|gt|ge)"
)
SIZE = re.compile(  # possessive, so that no text takes longer than its length
    r"(?:Symbol\('[su]\d++'(?:, (?:positive|nonnegative|integer)=True)*+\)"
    r"|(?:Add|CeilDiv|CleanDiv|FloorDiv|Integer|Max|Min|Mod|ModularIndexing|Mul|Pow|PythonMod)(?=\()"
    r"|[su]?\d++|[-+*/(), ])*+"
)
NAME = re.compile(r"[\w.]*")
TREE = {"builtins.tuple", "builtins.list", "builtins.dict", None}
"""What inputs and outputs may be arranged in."""

EMPTIED: dict[str, Any] = {"guards_code": [], "metadata": {}}
"""Keys whose content is code, or notes from which torch would look up functions."""

DATA = ("as_string", "torch_version")
"""Keys whose content is text and stays text."""

TREES = ("in_spec", "out_spec")
"""Keys whose content is the arrangement of inputs or outputs, as JSON in JSON."""

REFUSED = ("as_graph", "as_operator", "as_custom_obj")
"""Arguments that are functions or objects rather than tensors and numbers."""


class ExportBackbone(nn.Module):
    """An exported graph as a module of images.

    Arguments:
        program: what torch has read of the archive.
        output: which output is meant, when there are several.
    """

    def __init__(self, program: torch.export.ExportedProgram, output: int | str) -> None:
        super().__init__()
        self.graph, self.output = program.module(check_guards=False).requires_grad_(False), output

    def train(self, mode: bool = True) -> ExportBackbone:
        """The graph is what it was exported as: it has no modes, and refuses to be asked."""
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[N, O]`` of prepared images ``[N, 3, H, W]``."""
        return pick_output(self.graph(x), self.output)


def open_export(path: Path, output: int | str, device: str | torch.device) -> ExportBackbone:
    """Read a program that ``torch.export.save`` wrote, after a look at everything in it.

    Raises:
        PipelineError: when the file is damaged or would run code.
    """
    records = {name: content for name, content in read_records(path).items() if KEPT.fullmatch(name)}
    from torch.export.pt2_archive._package import load_pt2  # seconds, so only where it is needed

    try:
        checked = {name: _check_record(name, content, path) for name, content in records.items()}
        program = load_pt2(pack_records(checked | _no_samples(checked))).exported_programs["model"]
    except PipelineError:
        raise
    except Exception as error:  # of JSON, of an unexpected schema, of the many parts of torch
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"expected a program that torch {torch.__version__} reads, got {reason!r}, in {path}: "
            "export the model again"
        ) from None
    if torch.device(device).type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return ExportBackbone(program, output)


def _no_samples(records: Mapping[str, bytes]) -> dict[str, bytes]:
    """An empty record in the place of the sample inputs, which are pickled; torch takes it for none."""
    return {
        name.replace("models/model.json", "data/sample_inputs/model.pt"): b""
        for name in records
        if name.endswith("models/model.json")
    }


def _check_record(name: str, content: bytes, path: Path) -> bytes:
    """A record as torch may see it."""
    if not name.endswith(".json"):
        return content
    values = json.loads(content)
    if name.endswith("_config.json"):
        _check_payloads(values, path)
    else:
        values = check_program(values, path)
    return json.dumps(values).encode()


def _check_payloads(config: Any, path: Path) -> None:  # noqa: ANN401
    """Refuse tensors that are pickled, and constants that are no tensors."""
    for name, payload in config["config"].items():
        if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise PipelineError(
                f"expected plain tensors, got {name!r}, which would be unpickled, in {path}: "
                "export a model of plain tensors"
            )


def check_program(program: Any, path: Path) -> Any:  # noqa: ANN401
    """The content of ``models/model.json`` without what is left out.

    Raises:
        PipelineError: naming the first text that is not what it may be.
    """
    if isinstance(program, list):
        return [check_program(item, path) for item in program]
    if not isinstance(program, dict):
        return program
    kept = {key: EMPTIED.get(key, value) for key, value in program.items()}
    for key, value in kept.items():
        if problem := _problem(key, value):
            raise PipelineError(
                f"expected a graph of tensor operators, got {problem}, in {path}: export a plain model whose "
                "outputs are tensors"
            )
    return {key: check_program(value, path) for key, value in kept.items()}


def _problem(key: str, value: Any) -> str | None:  # noqa: ANN401
    """What is wrong with one entry of the program; ``None`` when nothing is."""
    if not NAME.fullmatch(key):
        return f"the name {key!r}"
    if key in REFUSED and value is not None:
        return f"an argument of the kind {key!r}"
    texts = list(_texts(value))
    if key in DATA:
        return None
    if key in TREES:
        kinds = {kind for text in texts for kind in _tree_kinds(json.loads(text)[1])} - TREE
        return f"inputs or outputs in {kinds.pop()!r}" if kinds else None
    if key == "target":
        return next((f"a call of {text!r}" for text in texts if not _is_harmless(text)), None)
    pattern = SIZE if key == "expr_str" else NAME
    return next((f"the text {text!r}" for text in texts if not pattern.fullmatch(text)), None)


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401
    """The texts of a value, in lists too; those in dicts belong to the keys there."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _is_harmless(target: str) -> bool:
    """Whether a node calls an operator of tensors or arithmetic."""
    operator = OPERATOR.fullmatch(target)
    return operator is not None and operator[1] not in BEYOND_TENSORS


def _tree_kinds(spec: Any) -> Iterator[str | None]:  # noqa: ANN401
    """The containers in the arrangement of inputs or outputs."""
    yield spec["type"]
    for child in spec["children_spec"]:
        yield from _tree_kinds(child)
