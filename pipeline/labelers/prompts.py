"""Attributes in words: what CLIP holds images against."""

from __future__ import annotations

__all__ = ["Prompts"]

from dataclasses import dataclass

from pipeline.attributes import Attribute, Kind
from pipeline.sections import SectionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """An attribute in words, for CLIP.

    Attributes:
        kind: ``binary``, ``continuous`` or ``categorical``.
        prompts: for a binary attribute what is said of images without it and of images with it, for a
            continuous one of its low and of its high end, for a categorical one of each class. A list of
            texts instead of one stands for their mean.
        classes: names of the classes of a categorical attribute.
        alias: a second name of the attribute that is accepted from users.
    """

    kind: Kind
    prompts: tuple[str | tuple[str, ...], ...]
    classes: tuple[str, ...] = ()
    alias: str | None = None

    def __post_init__(self) -> None:
        """Hold the number of prompts to the kind."""
        if not all(self.sides) or not all(map(all, self.sides)):
            raise SectionError("prompts", "expected texts, got an empty one")
        if (self.kind == "categorical") != bool(self.classes):
            raise SectionError(
                "classes", f"expected them for 'categorical' and only for it, got {self.kind!r}"
            )
        if len(self.prompts) != (expected := len(self.classes) or 2):
            raise SectionError("prompts", f"expected {expected} for {self.kind!r}, got {len(self.prompts)}")

    @property
    def sides(self) -> tuple[tuple[str, ...], ...]:
        """The texts of each side or class."""
        return tuple((side,) if isinstance(side, str) else side for side in self.prompts)

    def attribute(self, name: str) -> Attribute:
        """The attribute that the prompts describe."""
        return Attribute(name=name, kind=self.kind, classes=self.classes, alias=self.alias)
