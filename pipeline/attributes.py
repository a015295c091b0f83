"""What a labeler says about an image: named attributes, each one or several columns of numbers."""

from __future__ import annotations

__all__ = ["Attribute", "class_groups", "columns_of", "nearest_name", "same_attribute"]

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError

Kind = Literal["binary", "continuous", "categorical"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """One attribute of an image.

    Attributes:
        name: what users call it, such as ``"age"``; without a dot, which parts a column from its class.
        kind: ``binary`` (one logit), ``continuous`` (one value) or ``categorical`` (one score per class).
        classes: the class names of a categorical attribute, three or more, otherwise empty.
        alias: a second name that is accepted from users, or ``None``.
    """

    name: str
    kind: Kind = "continuous"
    classes: tuple[str, ...] = ()
    alias: str | None = None

    def __post_init__(self) -> None:
        """Refuse a dotted name, an unknown kind, and classes that do not go with the kind."""
        if "." in self.name or not self.name:
            raise PipelineError(f"expected an attribute's name without a dot, got {self.name!r}: rename it")
        if self.kind not in get_args(Kind):
            raise PipelineError(
                f"attribute {self.name!r}: expected a kind in {get_args(Kind)}, got {self.kind!r}"
            )
        if (self.kind == "categorical") != bool(self.classes):
            raise PipelineError(
                f"attribute {self.name!r}: expected classes for 'categorical' and only for it"
            )
        if self.classes and len(set(self.classes)) < max(3, len(self.classes)):
            raise PipelineError(
                f"attribute {self.name!r}: expected three or more different classes, got "
                f"{list(self.classes)}: two classes are a 'binary' attribute"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns: its own name, or one ``name.class`` for each class."""
        return tuple(f"{self.name}.{c}" for c in self.classes) or (self.name,)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {"name": self.name, "kind": self.kind, "classes": list(self.classes), "alias": self.alias}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Attribute:
        """The inverse of :meth:`to_json`."""
        return cls(**{**fields, "classes": tuple(fields.get("classes", ()))})


def columns_of(attributes: Iterable[Attribute]) -> tuple[str, ...]:
    """The columns of several attributes, in order."""
    return tuple(column for attribute in attributes for column in attribute.columns)


def class_groups(columns: Sequence[str]) -> list[tuple[int, ...]]:
    """For each column the places of all classes of its categorical attribute; empty for any other column.

    Example:
        >>> class_groups(["age", "pet.cat", "pet.dog"])
        [(), (1, 2), (1, 2)]
    """
    return [
        tuple(np.flatnonzero(row).tolist()) if "." in column else ()
        for column, row in zip(columns, same_attribute(columns), strict=True)
    ]


def same_attribute(columns: Sequence[str]) -> NDArray[np.bool_]:
    """Which columns belong to one attribute, ``[K, K]``: each to itself, and to the other classes of its own.

    Example:
        >>> same_attribute(["age", "pet.cat", "pet.dog"]).astype(int).tolist()
        [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
    """
    names = np.array([column.partition(".")[0] for column in columns])
    return names[:, None] == names


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A ``did you mean`` ending for an error about a misspelt name, or the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
