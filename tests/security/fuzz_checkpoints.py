"""Mutates genuine and hostile checkpoints until reading one goes wrong.

Run it as ``python -m tests.security.fuzz_checkpoints --minutes 10``. A file goes wrong when reading it ends
in anything but a ``PipelineError`` or the tensors of a genuine file, takes long, takes much memory, or makes
the interpreter open, import or run something. Such files are kept in ``tests/security/corpus``, which the
tests read.
"""

from __future__ import annotations

__all__ = ["fuzz", "mutated"]

import argparse
import gc
import hashlib
import io
import pickletools
import random
import signal
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.security.genuine import Stored, network, nvidia
from tests.security.hostile import FOUND, corpus, genuine_files
from tests.security.hostile_files import packed
from tests.security.watch import Report, Watcher, read, resident

LARGEST = 100_000  # bytes of a file to start from
SECONDS, HANG = 1.0, 20  # of processor time, until it counts as slow; until it is stopped
BYTES = 64 * 2**20

INTERESTING = [0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]


def flip(data: bytearray, dice: random.Random, pool: list[bytes]) -> None:
    """Another bit."""
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def replace(data: bytearray, dice: random.Random, pool: list[bytes]) -> None:
    """Another byte, often an instruction."""
    if data:
        data[dice.randrange(len(data))] = dice.choice(
            b".()NKMJGCBXtR]}aseuqrhjcQb\x80\x81\x85\x86\x87\x8a\x8c\x8f\x90\x93\x94\x95"
        )


def number(data: bytearray, dice: random.Random, pool: list[bytes]) -> None:
    """A number at its limits."""
    form = dice.choice(["<B", "<H", "<I", "<Q"])
    start = dice.randrange(len(data) + 1)
    data[start : start + struct.calcsize(form)] = struct.pack(
        form, dice.choice(INTERESTING) % 256 ** struct.calcsize(form)
    )


def delete(data: bytearray, dice: random.Random, pool: list[bytes]) -> None:
    """A part less."""
    start = dice.randrange(len(data) + 1)
    del data[start : start + dice.choice([1, 2, 8, 100])]


def repeat(data: bytearray, dice: random.Random, pool: list[bytes]) -> None:
    """A part several times."""
    start = dice.randrange(len(data) + 1)
    part = data[start : start + dice.choice([1, 2, 8, 100])]
    data[start:start] = part * dice.choice([1, 2, 1_000])


def graft(data: bytearray, dice: random.Random, pool: list[bytes]) -> None:
    """A part of another file."""
    other = dice.choice(pool)
    start, place = dice.randrange(len(other) + 1), dice.randrange(len(data) + 1)
    data[place : place + dice.choice([0, 0, 10, 100])] = other[
        start : start + dice.choice([1, 10, 100, 1_000])
    ]


def cut(data: bytearray, dice: random.Random, pool: list[bytes]) -> None:
    """The end missing."""
    del data[dice.randrange(len(data) + 1) :]


MUTATIONS: list[Callable[[bytearray, random.Random, list[bytes]], None]] = [
    flip, flip, replace, replace, number, number, delete, repeat, graft, cut,
]  # fmt: skip


def mutated(data: bytes, dice: random.Random, pool: list[bytes]) -> bytes:
    """A file with a few changes: of bytes, instructions, objects, or in a zip file's pickle."""
    if dice.random() < 0.1:
        return network_mutated(dice)
    if data[:4] == b"PK\x03\x04" and dice.random() < 0.7:
        return zip_mutated(data, dice, pool)
    if dice.random() < 0.5 and (instructions := instructions_of(data)):
        return b"".join(instructions_mutated(instructions, dice))
    return bytes_mutated(data, dice, pool)


def bytes_mutated(data: bytes, dice: random.Random, pool: list[bytes]) -> bytes:
    """Some changes of bytes."""
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 3, 8])):
        dice.choice(MUTATIONS)(changed, dice, pool)
    return bytes(changed)


def network_mutated(dice: random.Random) -> bytes:
    """A network with other objects somewhere in its modules, or in the windows of its tensors."""
    root = network(lambda name, tensor: strange_tensor(tensor, dice) if dice.random() < 0.02 else tensor)
    modules, waiting = [], [root]
    while waiting:
        modules.append(waiting.pop())
        waiting += modules[-1].state["_modules"].values()
    for _ in range(dice.choice([0, 1, 1, 2])):
        state = dice.choice(modules).state
        table = dice.choice([state, *(value for value in state.values() if isinstance(value, dict))])
        key = dice.choice([*table, "another"])
        if table.pop(key, None) is None or dice.random() < 0.7:
            table[key] = strange(dice)
    return nvidia(root, protocol=dice.choice([2, 3, 4, 5]))


def strange_tensor(tensor: Stored, dice: random.Random) -> Stored:
    """A tensor with another argument."""
    arguments = list(tensor.arguments)
    arguments[dice.randrange(len(arguments))] = strange(dice)
    return Stored(tensor.storage, tuple(arguments))


def strange(dice: random.Random, depth: int = 0) -> Any:
    """A number, text, container, or part of a network."""
    kind = dice.randrange(9 if depth < 3 else 5)
    if kind < 5:
        return [dice.choice(INTERESTING), -1.5, "weight", None, True][kind]
    inside = [strange(dice, depth + 1) for _ in range(dice.randrange(5))]
    return [inside, tuple(inside), {"weight": inside, "_modules": inside}, network()][kind - 5]


def instructions_of(data: bytes) -> list[bytes]:
    """The instructions of a pickle, the last with what follows; none if it is no pickle."""
    try:
        starts = [position for _, _, position in pickletools.genops(data) if position is not None]
    except Exception:  # hostile pickles puzzle pickletools in many ways
        return []
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def instructions_mutated(instructions: list[bytes], dice: random.Random) -> list[bytes]:
    """Instructions left out, doubled, exchanged, or with another argument."""
    changed = list(instructions)
    for _ in range(dice.choice([1, 1, 2, 4])):
        i, j = dice.randrange(len(changed)), dice.randrange(len(changed))
        match dice.randrange(5):
            case 0:
                changed[i] = b""
            case 1:
                changed[i] *= 2
            case 2:
                changed[i], changed[j] = changed[j], changed[i]
            case 3:
                changed[i] = changed[j]
            case 4:
                changed[i] = (
                    b"\x8a\x09" + struct.pack("<Q", dice.choice(INTERESTING)) + dice.choice([b"\0", b"\xff"])
                )
    return changed


def zip_mutated(data: bytes, dice: random.Random, pool: list[bytes]) -> bytes:
    """A zip file of the same entries with one of them changed, usually the pickle."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = list({name: archive.read(name) for name in archive.namelist()}.items())
    except Exception:  # what is hostile as a zip file is changed as bytes
        return bytes_mutated(data, dice, pool)
    chosen = 0 if dice.random() < 0.8 or not entries else dice.randrange(len(entries))
    return packed([(n, mutated(c, dice, pool) if i == chosen else c) for i, (n, c) in enumerate(entries)])


def fuzz(minutes: float, seed: int) -> int:
    """Read mutated files for some minutes; how many went wrong."""
    FOUND.mkdir(exist_ok=True)
    dice, started = random.Random(seed), time.monotonic()
    pool = [content for content in corpus().values() if 0 < len(content) < LARGEST]
    genuine = list(genuine_files().values())
    path = Path(tempfile.mkdtemp()) / "checkpoint"
    shapes = []
    for content in genuine:
        path.write_bytes(content)
        shapes.append(read(path).shapes)
    gc.freeze()
    signal.signal(signal.SIGALRM, _stop)
    watcher, count, wrong, messages = Watcher(), 0, 0, set()
    while time.monotonic() - started < 60 * minutes:
        content = mutated(dice.choice(genuine if dice.random() < 0.7 else pool), dice, pool)
        path.write_bytes(content)
        problem = _problem(path, watcher, shapes)
        count += 1
        if problem and problem not in messages:
            messages.add(problem)
            wrong += 1
            name = hashlib.sha256(content).hexdigest()[:12]
            (FOUND / f"{name}.bin").write_bytes(content)
            print(f"{name}.bin: {problem}", flush=True)
        if count % 10_000 == 0:
            print(
                f"{count} files, {wrong} went wrong, {(time.monotonic() - started) / 60:.1f} minutes",
                flush=True,
            )
    print(f"{count} files, {wrong} went wrong")
    return wrong


def _problem(path: Path, watcher: Watcher, shapes: list[dict[str, list[int]]]) -> str:
    """What went wrong in reading a file, if anything."""
    before = resident()
    signal.alarm(HANG)
    report: Report = read(path, watcher)
    signal.alarm(0)
    if report.outcome not in ("refused", "read"):
        return f"{report.outcome}: {report.message}"
    if report.outcome == "read" and report.shapes not in shapes:
        return "read as another network"
    if report.outcome == "refused" and not (report.message.isprintable() and len(report.message) < 500):
        return f"a message of {len(report.message)} characters: {report.message[:300]!r}"
    if report.seconds > SECONDS:
        return f"slow: {report.seconds:.1f} seconds"
    if resident() - before > BYTES:
        return "large: much more memory than before"
    return f"events: {report.events[0]}" if report.events else ""


def _stop(signum: int, frame: object) -> NoReturn:
    raise TimeoutError(f"still reading after {HANG} seconds")


def main() -> None:
    """Parse the command line and fuzz."""
    parser = argparse.ArgumentParser(description="read mutated checkpoints until one goes wrong")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations")
    options = parser.parse_args()
    raise SystemExit(fuzz(options.minutes, options.seed) > 0)


if __name__ == "__main__":
    main()
