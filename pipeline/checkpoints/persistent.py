"""Persistent objects: modules of PyTorch that NVIDIA's pickles describe by source, class and ``__dict__``.

Other readers run the source to get the class. Here it stays text: the tensors lie where ``torch.nn.Module``
keeps them, and a layer's settings beside them.
"""

from __future__ import annotations

__all__ = ["Module", "is_module", "modules_of", "setting", "tensor_nodes"]

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.checkpoints.names import NETWORK
from pipeline.checkpoints.values import Call, shown
from pipeline.errors import PipelineError

NAME = re.compile(r"[A-Za-z0-9_]{1,64}")  # of a module or a tensor
DEPTH = 8  # modules inside of each other; a generator nests five
MODULES = 500  # of one network; the largest have a hundred
TABLE = 100  # entries of one table of a module; the largest have twenty
PLAIN = (int, float, str, bool, type(None))
TENSORS = 2_000  # of one network; the largest have two hundred


@dataclass(frozen=True, slots=True)
class Module:
    """One persistent object."""

    source: str
    class_name: str
    state: dict[str, Any]

    def table(self, name: str) -> dict[str, Any]:
        """One of the dicts that a module keeps, without what is ``None`` in it."""
        table = self.state.get(name, {})
        plain = type(table) is dict and len(table) <= TABLE
        if not plain or not all(type(key) is str and NAME.fullmatch(key) for key in table):
            raise PipelineError(
                f"expected {name} of a {shown(self.class_name)} to be a dict of at most {TABLE} names, got "
                f"{shown(table)}: the file is damaged"
            )
        return {key: value for key, value in table.items() if value is not None}

    def tensors(self) -> dict[str, Any]:
        """What notes there are of its own tensors, without the buffers that no state dict has."""
        passing = self.state.get("_non_persistent_buffers_set", ())
        buffers = self.table("_buffers")
        if type(passing) is set:
            buffers = {name: node for name, node in buffers.items() if name not in passing}
        return buffers | self.table("_parameters")


def is_module(node: object) -> bool:
    """Whether a note in a pickle is of a persistent object."""
    return type(node) is Call and node.name == NETWORK


def modules_of(root: Call) -> dict[str, Module]:
    """A module and all inside of it by their dotted names; ``root`` has the name ``""``.

    Raises:
        PipelineError: when something is no module, or there are too many, or too deep, or one is in two
            places: real modules are in one, and following them twice may never end.
    """
    modules: dict[str, Module] = {}
    waiting: list[tuple[str, Any]] = [("", root)]
    seen: set[int] = set()
    while waiting:
        name, node = waiting.pop()
        if id(node) in seen or len(seen) >= MODULES or name.count(".") >= DEPTH:
            raise PipelineError(
                f"expected at most {MODULES} modules, each in one place and at most {DEPTH} deep, got "
                f"{shown(name)} again, deeper or beyond: the file is damaged"
            )
        seen.add(id(node))
        modules[name] = module = _module(node, name)
        children = module.table("_modules").items()
        waiting += [(f"{name}.{child}".strip("."), value) for child, value in children]
    return modules


def _module(node: object, name: str) -> Module:
    match node:
        case Call(
            args=(
                {
                    "type": "class",
                    "module_src": str(source),
                    "class_name": str(class_name),
                    "state": dict(state),
                },
            )
        ) if is_module(node):
            return Module(source, class_name, state)
    raise PipelineError(
        f"expected {name or 'the network'} to be a module with its source, class and state, "
        f"got {shown(node)}: the file is damaged"
    )


def tensor_nodes(modules: Mapping[str, Module]) -> dict[str, Any]:
    """The notes of all tensors that belong to the state of a network, by their dotted names.

    Raises:
        PipelineError: when there are more than any generator has.
    """
    nodes = {
        f"{path}.{name}".strip("."): node
        for path, module in modules.items()
        for name, node in module.tensors().items()
    }
    if len(nodes) > TENSORS:
        raise PipelineError(
            f"expected at most {TENSORS} tensors in a generator, got {len(nodes)}: it is none"
        )
    return nodes


def setting(modules: Mapping[str, Module], layers: re.Pattern[str], name: str, otherwise: object) -> object:
    """The setting that all layers share; ``otherwise`` when they do not tell.

    Arguments:
        modules: a network.
        layers: matches the names of the layers.
        name: an entry of their ``__dict__``.
        otherwise: what holds without it.

    Raises:
        PipelineError: when two layers differ.
    """
    values = [m.state[name] for path, m in modules.items() if layers.fullmatch(path) and name in m.state]
    if any(type(value) not in PLAIN for value in values):
        raise PipelineError(
            f"expected {name} of each layer to be a number or text, got more: the file is damaged"
        )
    if len(plain := set(values)) > 1:
        first, second, *_ = plain
        raise PipelineError(
            f"expected one {name} for all layers, got {shown(first)} and {shown(second)}: "
            "StyleGAN2 generators have no such choice"
        )
    return plain.pop() if plain else otherwise
