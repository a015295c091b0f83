"""A machine that reads a pickle without doing what it says.

A pickle is a program for a stack machine, and two of its instructions are "import this" and "call that". This
machine knows the instructions that checkpoints consist of. It makes plain data out of them (dicts, lists,
tuples, sets, text, numbers, views of bytes); where the program would import or call, it writes a note, a
:class:`Global` or a :class:`Call`, and goes on. Nothing is imported, nothing called, no attribute looked up
or set; a name or an instruction that no checkpoint needs ends the reading.

The program is not trusted with resources either: every length is checked against the bytes that are there,
payloads stay in the file, and a :class:`Budget` bounds time and memory.

References:
    pickletools, the standard library's description of the instructions,
    https://github.com/python/cpython/blob/3.11/Lib/pickletools.py
"""

from __future__ import annotations

__all__ = ["PERSISTENT", "PROTO", "Pickle", "read_pickle"]

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.checkpoints.machine import Machine
from pipeline.checkpoints.names import ALLOWED, CALLABLE, DICTS, HINTS, SETS, STATEFUL
from pipeline.checkpoints.values import Budget, Call, Global, shown
from pipeline.errors import PipelineError

T = TypeVar("T")

PERSISTENT = "persistent id"  # the name of a Call that no Global can have
PROTOCOLS = range(2, 6)
PROTO, STOP = 0x80, 0x2E
NAME = 256  # bytes of a module's or attribute's name

UINT16, UINT32, UINT64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
INT32, FLOAT64 = struct.Struct("<i"), struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class Pickle:
    """One pickle: its value, the persistent ids that it mentions, and where it ends."""

    value: object
    persistent: list[Call]
    end: int

    def alone_in(self, data: memoryview) -> object:
        """The value, if nothing follows the pickle.

        Raises:
            PipelineError: when something does.
        """
        if self.end != len(data):
            raise PipelineError(
                f"expected the end after the pickle, got {len(data) - self.end} more bytes: "
                "the file is damaged"
            )
        return self.value


def read_pickle(data: memoryview, start: int, budget: Budget) -> Pickle:
    """Read the pickle that starts at byte ``start``.

    Raises:
        PipelineError: for anything but the whole and ordinary pickle of a checkpoint.
    """
    machine = Machine(data, start, budget)
    if machine.byte() != PROTO or machine.byte() not in PROTOCOLS:
        raise machine.error("a pickle of protocol 2 to 5", "something else")
    while (opcode := machine.byte()) != STOP:
        if opcode not in OPCODES:
            raise machine.error("the instructions of a checkpoint", bytes([opcode]))
        handler, memory = OPCODES[opcode]
        budget.step(memory)
        handler(machine)
    if machine.marks or len(machine.stack) != 1:
        raise machine.error("one value at the end", len(machine.stack))
    return Pickle(machine.stack.pop(), machine.persistent, machine.position)


# Containers.


def _tuple(machine: Machine, size: int) -> None:
    items = [machine.pop() for _ in range(size)]
    machine.push(tuple(items[::-1]))


def _extend(machine: Machine, items: list[Any]) -> None:
    machine.budget.spend_memory(ENTRY * len(items))
    _target(machine, list).extend(items)


def _update(machine: Machine, items: list[Any]) -> None:
    machine.budget.spend_memory(ENTRY * len(items))
    target = _target(machine, dict)
    if len(items) % 2:
        raise machine.error("keys and values in pairs", "a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[machine.key(key)] = value


def _add(machine: Machine, items: list[Any]) -> None:
    machine.budget.spend_memory(ENTRY * len(items))
    _target(machine, set).update(machine.key(item) for item in items)


def _target(machine: Machine, kind: type[T]) -> T:
    """The container on top of the stack."""
    target = machine.top()
    if not isinstance(target, kind):
        raise machine.error(f"a {kind.__name__} to fill", shown(target))
    return target


# Names, calls and states: notes of what another reader would do.


def _global(machine: Machine) -> None:
    _mention(machine, _line(machine), _line(machine))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    _mention(machine, module, name)


def _line(machine: Machine) -> str:
    """Text up to the end of the line."""
    start = bytes(machine.data[machine.position : machine.position + NAME])
    length = start.find(b"\n")
    if length < 0:
        raise machine.error(f"a name of at most {NAME} bytes", "a longer one")
    machine.take(length + 1)
    return start[:length].decode("latin-1")


def _mention(machine: Machine, module: object, name: object) -> None:
    if type(module) is not str or type(name) is not str:
        raise machine.error("a module's and an attribute's name", f"{shown(module)} and {shown(name)}")
    if name not in ALLOWED.get(module, ()):
        hint = HINTS.get(module, "nothing was run; do not load the file with a program that would")
        raise PipelineError(
            f"expected the names that checkpoints consist of, got {shown(f'{module}.{name}')}: {hint}"
        )
    machine.push(Global(f"{module}.{name}"))


def _call(machine: Machine) -> None:
    args, function = machine.pop(), machine.pop()
    if type(function) is not Global or type(args) is not tuple:
        raise machine.error("a name and a tuple of arguments", f"{shown(function)} and {shown(args)}")
    if function.name in DICTS and not args:
        machine.push({})
    elif function.name in SETS and len(args) == 1 and type(args[0]) is list:
        machine.push(set())
        _add(machine, args[0])
    elif function.name in CALLABLE:
        machine.push(Call(function.name, args))
    else:
        raise machine.error("a call as checkpoints make it", f"one of {function.name}")


def _build(machine: Machine) -> None:
    state, target = machine.pop(), machine.top()
    if type(target) is dict and type(state) is dict and state.keys() == {"_metadata"}:
        return  # what a state dict says about the versions of its modules
    if type(target) is not Call or target.name not in STATEFUL or target.state is not None:
        raise machine.error("a state where checkpoints have one", f"one for {shown(target)}")
    target.state = state


def _persistent(machine: Machine) -> None:
    call = Call(PERSISTENT, (machine.pop(),))
    machine.persistent.append(call)
    machine.push(call)


def _frame(machine: Machine) -> None:
    """A hint for reading ahead, which must be true: nothing is read ahead here."""
    size = machine.number(UINT64)
    if size > len(machine.data) - machine.position:
        raise machine.error(f"{size} more bytes", len(machine.data) - machine.position)


Handler = Callable[[Machine], Any]
ENTRY = 128  # bytes of an item in a container, with room for the container's growth

# The instruction set: handler, and bytes of memory that the result takes at most besides text and entries.
_TABLE: dict[str, tuple[Handler, int]] = {
    # constants
    "N": (lambda m: m.push(None), 16),
    "\x88": (lambda m: m.push(True), 16),
    "\x89": (lambda m: m.push(False), 16),
    # numbers
    "K": (lambda m: m.push(m.byte()), 16),
    "M": (lambda m: m.push(m.number(UINT16)), 48),
    "J": (lambda m: m.push(m.number(INT32)), 48),
    "G": (lambda m: m.push(FLOAT64.unpack(m.take(FLOAT64.size))[0]), 48),
    "\x8a": (lambda m: m.push(int.from_bytes(m.take(m.byte()), "little", signed=True)), 320),
    # text
    "\x8c": (lambda m: m.push(m.text(m.byte())), 16),
    "X": (lambda m: m.push(m.text(m.number(UINT32))), 256),
    "\x8d": (lambda m: m.push(m.text(m.number(UINT64))), 256),
    # bytes: short ones are copied, as a view of them would be larger; long ones stay in the file
    "C": (lambda m: m.push(bytes(m.take(m.byte()))), 320),
    "B": (lambda m: m.push(m.take(m.number(UINT32))), 256),
    "\x8e": (lambda m: m.push(m.take(m.number(UINT64))), 256),
    "\x96": (lambda m: m.push(m.take(m.number(UINT64))), 256),
    # containers
    "(": (lambda m: m.mark(), 48),
    ")": (lambda m: m.push(()), 16),
    "\x85": (lambda m: _tuple(m, 1), 80),
    "\x86": (lambda m: _tuple(m, 2), 80),
    "\x87": (lambda m: _tuple(m, 3), 96),
    "t": (lambda m: m.push(tuple(m.pop_mark())), 80),
    "]": (lambda m: m.push([]), 80),
    "a": (lambda m: _extend(m, [m.pop()]), 16),
    "e": (lambda m: _extend(m, m.pop_mark()), 16),
    "}": (lambda m: m.push({}), 256),
    "s": (lambda m: _update(m, [m.pop(), m.pop()][::-1]), 16),
    "u": (lambda m: _update(m, m.pop_mark()), 16),
    "\x8f": (lambda m: m.push(set()), 256),
    "\x90": (lambda m: _add(m, m.pop_mark()), 16),
    # the memo
    "q": (lambda m: m.remember(m.byte()), 16),
    "r": (lambda m: m.remember(m.number(UINT32)), 16),
    "\x94": (lambda m: m.remember(len(m.memo)), 16),
    "h": (lambda m: m.recall(m.byte()), 16),
    "j": (lambda m: m.recall(m.number(UINT32)), 16),
    # names, calls, states, persistent ids
    "c": (_global, 256),
    "\x93": (_stack_global, 256),
    "R": (_call, 256),
    "\x81": (_call, 256),  # object.__new__, of which as little is done
    "b": (_build, 16),
    "Q": (_persistent, 160),
    "\x95": (_frame, 16),
}
OPCODES = {ord(code): entry for code, entry in _TABLE.items()}
