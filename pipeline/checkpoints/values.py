"""What a pickle turns into besides plain data, and what reading it may cost."""

from __future__ import annotations

__all__ = ["Budget", "Call", "Global", "LongText", "shown"]

from dataclasses import dataclass
from typing import Any

from pipeline.errors import PipelineError


@dataclass(frozen=True, slots=True)
class Global:
    """Something that the pickle imports: its name, never looked up."""

    name: str


@dataclass(slots=True, eq=False)
class Call:
    """Something that the pickle calls, written down and never done."""

    name: str
    args: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class LongText:
    """A text that stays in the file, undecoded: protocol 2 writes the bytes of a tensor so."""

    utf8: memoryview


@dataclass(slots=True)
class Budget:
    """What all the pickles of one file may use up together.

    Attributes:
        payload: bytes of tensors, decoded and converted.
        opcodes: instructions; the largest real checkpoints have some 50,000, and this many take half a
            second.
        memory: bytes of Python objects.
        number_keys: numbers among dict keys and set members. Unlike texts they hash predictably, so that many
            could be chosen to collide; an optimizer has some hundred.
    """

    payload: int
    opcodes: int = 300_000
    memory: int = 32 * 2**20
    number_keys: int = 2_000

    def step(self, memory: int) -> None:
        """Take one instruction from the budget, and the memory for what it makes.

        Raises:
            PipelineError: when either is used up.
        """
        self.opcodes -= 1
        self.memory -= memory
        if self.opcodes < 0:
            raise _exhausted("too many instructions")
        if self.memory < 0:
            raise _exhausted("too many objects")

    def spend_memory(self, amount: int) -> None:
        """Take bytes of Python objects from the budget."""
        self.memory -= amount
        if self.memory < 0:
            raise _exhausted("too much text or too large containers")

    def spend_payload(self, amount: int) -> None:
        """Take bytes of tensors from the budget."""
        self.payload -= amount
        if self.payload < 0:
            raise _exhausted("larger tensors than its size allows")

    def spend_number_key(self) -> None:
        """Take one number among keys from the budget."""
        self.number_keys -= 1
        if self.number_keys < 0:
            raise _exhausted("too many numbers as keys")


def _exhausted(what: str) -> PipelineError:
    return PipelineError(
        f"expected a file of a checkpoint's proportions, got one with {what}: "
        "it may have been made to exhaust its reader, so do not open it elsewhere"
    )


def shown(value: object) -> str:
    """A value from a file for an error message: short, on one line, and never walked into."""
    match value:
        case str():
            return repr(value if len(value) <= 60 else value[:60] + "…")
        case None | bool() | float():
            return repr(value)
        case int():
            return repr(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
        case Global() | Call():
            return value.name
        case list() | tuple() if len(value) <= 8 and all(type(n) in (int, float) for n in value):
            return f"[{', '.join(map(shown, value))}]"
    return f"a {type(value).__name__}"
