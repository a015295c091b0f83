"""What a labeler says about an image: named attributes, each one or several columns of numbers."""

from __future__ import annotations

__all__ = ["Attribute", "columns_of", "nearest_name"]

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pipeline.errors import PipelineError

Kind = Literal["binary", "continuous", "categorical"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """One attribute of an image.

    Attributes:
        name: what users call it, such as ``"age"``.
        kind: ``binary`` (one logit), ``continuous`` (one value) or ``categorical`` (one score per class).
        classes: the class names of a categorical attribute, otherwise empty.
        alias: a second name that is accepted from users, or ``None``.
    """

    name: str
    kind: Kind = "continuous"
    classes: tuple[str, ...] = ()
    alias: str | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown kind, and classes that do not go with the kind."""
        if self.kind not in get_args(Kind):
            raise PipelineError(
                f"attribute {self.name!r}: expected a kind in {get_args(Kind)}, got {self.kind!r}"
            )
        if (self.kind == "categorical") != bool(self.classes):
            raise PipelineError(
                f"attribute {self.name!r}: expected classes for 'categorical' and only for it"
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


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A ``did you mean`` ending for an error about a misspelt name, or the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
