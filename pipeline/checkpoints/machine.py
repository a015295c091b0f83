"""The parts of the pickle machine: where it reads, its stack with marks, and its memo.

Each part refuses what a pickler never writes: reading beyond the end, taking from an empty stack or from
below a mark, filling the memo out of order, keys that are not names or numbers.
"""

from __future__ import annotations

__all__ = ["Machine"]

import struct
import sys
from typing import Any

from pipeline.checkpoints.values import Budget, Call, LongText, shown
from pipeline.errors import PipelineError

STACK = 100_000  # values that wait for their container; a pickler hands over a thousand at a time
MARKS = 1_000  # containers inside of each other; networks nest some twenty deep
KEY = 1_000  # characters of a dict key or set member
TEXT = 2**20  # bytes of a text that becomes a str; a module's source has 50,000


class Machine:
    """The state of one pickle's reading.

    Attributes:
        position: the byte of ``data`` that is read next.
        persistent: the persistent ids that were met.
    """

    def __init__(self, data: memoryview, start: int, budget: Budget) -> None:
        self.data, self.position, self.budget = data, start, budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.persistent: list[Call] = []

    def error(self, expected: str, got: object) -> PipelineError:
        """What to raise for a pickle that is not one."""
        return PipelineError(
            f"expected {expected}, got {got}, before byte {self.position} of the pickle: "
            "the file is damaged or not a checkpoint"
        )

    def byte(self) -> int:
        """The next byte."""
        if self.position >= len(self.data):
            raise self.error("one more byte", "the end of the data")
        self.position += 1
        return self.data[self.position - 1]

    def take(self, size: int) -> memoryview:
        """A view of the next ``size`` bytes."""
        end = self.position + size
        if end > len(self.data):
            raise self.error(f"{size} more bytes", len(self.data) - self.position)
        view = self.data[self.position : end]
        self.position = end
        return view

    def number(self, layout: struct.Struct) -> int:
        """The next number."""
        return layout.unpack(self.take(layout.size))[0]

    def text(self, size: int) -> str | LongText:
        """The next ``size`` bytes as text."""
        view = self.take(size)
        if size > TEXT:
            return LongText(view)
        try:
            text = str(view, "utf-8")
        except UnicodeDecodeError as error:
            raise self.error("text in UTF-8", "other bytes") from error
        self.budget.spend_memory(sys.getsizeof(text))
        return text

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        if len(self.stack) >= STACK:
            raise self.error(f"at most {STACK} values on the stack", "more")
        self.stack.append(value)

    def top(self) -> object:
        """The top value of the stack; what lies below the last mark is out of reach."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.error("a value on the stack", "none")
        return self.stack[-1]

    def pop(self) -> object:
        """Take the top value."""
        self.top()
        return self.stack.pop()

    def mark(self) -> None:
        """Put a mark on the stack."""
        if len(self.marks) >= MARKS:
            raise self.error(f"at most {MARKS} open marks", "more")
        self.marks.append(len(self.stack))

    def pop_mark(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        if not self.marks:
            raise self.error("a mark on the stack", "none")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def remember(self, index: int) -> None:
        """Put the top value into the memo, whose places picklers fill in order."""
        if index != len(self.memo):
            raise self.error(f"place {len(self.memo)} of the memo", index)
        self.memo.append(self.top())

    def recall(self, index: int) -> None:
        """Put a value of the memo on the stack."""
        if index >= len(self.memo):
            raise self.error(f"one of {len(self.memo)} places of the memo", index)
        self.push(self.memo[index])

    def key(self, value: object) -> object:
        """A dict key or set member, if it is a name, a number or None, which hash and compare quickly."""
        if type(value) in (int, float):
            self.budget.spend_number_key()
        elif value is not None and not (type(value) is str and len(value) <= KEY):
            raise self.error("names or numbers as keys", shown(value))
        return value
