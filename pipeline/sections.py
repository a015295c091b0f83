"""From YAML values to typed, frozen dataclasses, with errors that name the key and say what is allowed."""

from __future__ import annotations

__all__ = ["SEED_MAX", "SectionError", "build_section", "build_value", "require", "require_name"]

import dataclasses
import math
import re
import types
from collections import abc
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pipeline.attributes import nearest_name
from pipeline.errors import PipelineError
from pipeline.names import EXPECTED, is_plain

T = TypeVar("T")

EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")  # PyYAML reads 1e-4 as text, unlike YAML 1.2, DVC and Hydra

SEED_MAX = 2**63 - 1
NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}


class SectionError(ValueError):
    """A value that does not fit its field.

    Arguments:
        key: the field, dotted from the root (``"sample.count"``); empty for a section as a whole.
        problem: what was expected and what came.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}" if key else problem)
        self.key, self.problem = key, problem

    def within(self, path: str) -> SectionError:
        """The same error seen from the section that holds the field."""
        return SectionError(_join(path, self.key), self.problem)


def require(
    section: object,
    *names: str,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> None:
    """Hold numeric fields of a section to a range; ``None`` and text such as ``"auto"`` pass.

    Raises:
        SectionError: naming the first field outside, with the range.
    """
    bounds = [
        (at_least, "at least", lambda value, bound: value >= bound),
        (above, "above", lambda value, bound: value > bound),
        (at_most, "at most", lambda value, bound: value <= bound),
        (below, "below", lambda value, bound: value < bound),
    ]
    allowed = " and ".join(f"{word} {bound:,}" for bound, word, _ in bounds if bound is not None)
    for name in names:
        value = getattr(section, name)
        if isinstance(value, (int, float)) and not all(
            holds(value, b) for b, _, holds in bounds if b is not None
        ):
            raise SectionError(name, f"expected a number {allowed}, got {value!r}")


def require_name(key: str, name: str) -> None:
    """Refuse a name that is no plain word: see :mod:`pipeline.names`.

    Raises:
        SectionError: naming the key.
    """
    if not is_plain(name):
        raise SectionError(key, f"{EXPECTED}, got {name!r}")


def build_section(cls: type[T], values: object, path: str = "") -> T:
    """A dataclass from a mapping; nested dataclasses from nested mappings.

    Whole numbers are accepted for fractional ones; ``true`` is not a number. A union of dataclasses is told
    apart by their field ``kind``, a ``Literal``. A field whose metadata has ``needed`` may neither be missing
    nor null, and that text says why.

    Arguments:
        cls: a dataclass with type hints among int, float, str, bool, None, ``Literal``, ``tuple[X, ...]``,
            ``Mapping[str, X]``, unions, dataclasses.
        values: what YAML read.
        path: the dotted name of the section, for errors.

    Raises:
        SectionError: for an unknown or missing key, a wrong type, a value out of range.
    """
    if not isinstance(values, Mapping):
        raise SectionError(path, f"expected a section of keys, got {values!r}")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise SectionError(_join(path, str(key)), f"unknown key, {nearest_name(str(key), fields)}")
    for name, field in fields.items():
        if values.get(name) is None and "needed" in field.metadata:
            raise SectionError(_join(path, name), field.metadata["needed"])
        if name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise SectionError(
                _join(path, name), f"expected {_describe(hints[name])}, got nothing: the key is missing"
            )
    converted = {key: build_value(hints[key], value, _join(path, key)) for key, value in values.items()}
    try:
        return cls(**converted)
    except SectionError as error:
        raise error.within(path) from None
    except (PipelineError, ValueError) as error:
        raise SectionError(path, str(error)) from None


def build_value(hint: Any, value: object, path: str = "") -> Any:  # noqa: ANN401
    """``value`` as the type of a hint; see :func:`build_section` for the hints that are known.

    Raises:
        SectionError: for a value that the hint does not allow.
    """
    if dataclasses.is_dataclass(hint):
        return build_section(hint, value, path)  # type: ignore[arg-type]
    if get_origin(hint) in (Union, types.UnionType):
        return _convert_union(get_args(hint), value, path)
    if get_origin(hint) is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(build_value(get_args(hint)[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if get_origin(hint) is abc.Mapping and isinstance(value, Mapping):
        return {str(k): build_value(get_args(hint)[1], v, _join(path, str(k))) for k, v in value.items()}
    if hint is float and (type(value) is int or isinstance(value, str) and EXPONENT.fullmatch(value)):
        return float(value)
    if not _fits(hint, value):
        raise SectionError(path, f"expected {_describe(hint)}, got {value!r}")
    return value


def _fits(hint: Any, value: object) -> bool:  # noqa: ANN401
    """Whether a plain value is what a hint asks for, exactly: ``True`` is no number, 1 is not ``True``."""
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    return type(value) is hint and not (isinstance(value, float) and not math.isfinite(value))


def _convert_union(choices: tuple[Any, ...], value: object, path: str) -> Any:  # noqa: ANN401
    """``value`` as the choice of its ``kind``, or as the first of the choices that takes it."""
    if value is None and type(None) in choices:
        return None
    sections = tuple(choice for choice in choices if dataclasses.is_dataclass(choice))
    if sections and set(choices) <= {*sections, type(None)}:
        return build_section(_choice_of_kind(sections, value, path), value, path)
    for choice in choices:
        try:
            return build_value(choice, value, path)
        except SectionError:
            continue
    raise SectionError(path, f"expected {' or '.join(map(_describe, choices))}, got {value!r}")


def _choice_of_kind(choices: tuple[Any, ...], value: object, path: str) -> Any:  # noqa: ANN401
    """The dataclass whose ``kind`` the mapping names."""
    kinds = {kind: choice for choice in choices for kind in get_args(get_type_hints(choice)["kind"])}
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in kinds:
        raise SectionError(_join(path, "kind"), f"unknown kind {kind!r}, {nearest_name(str(kind), kinds)}")
    return kinds[kind]


def _describe(hint: Any) -> str:  # noqa: ANN401
    """What a hint allows, in words."""
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(_describe, get_args(hint)))
    if get_origin(hint) is tuple:
        return "a list"
    if get_origin(hint) is abc.Mapping:
        return "a section of keys"
    return NAMES.get(hint, "a section of keys")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key
