"""Tensors out of storages: a window of given sizes and strides on a flat row of numbers.

Nothing about the window is believed. It lies within its storage and has no more elements than that, so that
no tensor is larger than what the file holds for it; and all tensors of a file together stay within a few
times its size.
"""

from __future__ import annotations

__all__ = ["DTYPES", "LARGEST", "Storage", "StorageOf", "read_tensor"]

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.checkpoints.names import PARAMETER, TENSOR
from pipeline.checkpoints.values import Budget, Call, shown
from pipeline.errors import PipelineError

DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
}
DIMENSIONS = 8  # a convolution's weight has four
LARGEST = 2**40  # of any count, size, stride or offset, so that their products fit 64 bits


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a row, where they lie in the file."""

    data: memoryview
    dtype: torch.dtype

    @property
    def numel(self) -> int:
        """How many numbers."""
        return len(self.data) // self.dtype.itemsize


StorageOf = Callable[[object], Storage]  # finds the storage that a tensor's first argument stands for


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a storage that is a tensor."""

    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.size)

    @property
    def span(self) -> int:
        """The number of places from the first to the last element."""
        return 1 + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))


def read_tensor(node: object, name: str, storage_of: StorageOf, budget: Budget) -> Tensor:
    """The tensor that a note in a pickle describes: float32, contiguous, in memory of its own.

    Raises:
        PipelineError: naming the tensor, when it is none or does not fit its storage.
    """
    storage_node, window = _window(_data_of(node), name)
    storage = storage_of(storage_node)
    if max(window.offset + window.span, window.numel) > storage.numel:
        raise PipelineError(
            f"expected tensor {name} within the {storage.numel} numbers of its storage, got offset "
            f"{window.offset}, size {window.size}, stride {window.stride}: the file is damaged"
        )
    item = storage.dtype.itemsize
    budget.spend_payload(item * window.span + 4 * window.numel)
    # A copy first: aligned and writable, as tensors want their memory, and no view keeps the file open.
    row = bytearray(storage.data[item * window.offset : item * (window.offset + window.span)])
    view = torch.frombuffer(row, dtype=storage.dtype).as_strided(window.size, window.stride)
    return view.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _data_of(node: object) -> object:
    """The tensor of a parameter; whether it wants a gradient does not matter."""
    match node:
        case Call(name=function, args=(data, bool(), dict(hooks))) if function == PARAMETER and not hooks:
            return data
    return node


def _window(node: object, name: str) -> tuple[object, Window]:
    """What stands for the storage, and the window on it."""
    got = shown(node)
    match node:
        case Call(name=function, args=(storage, offset, size, stride, bool(), dict(hooks))) if (
            function == TENSOR and not hooks
        ):
            if _are_counts((offset,), 0) and _are_counts(size, 1) and _are_counts(stride, 0, len(size)):
                return storage, Window(offset, size, stride)
            got = f"offset {shown(offset)}, size {shown(size)}, stride {shown(stride)}"
    raise PipelineError(
        f"expected a tensor {name} of some numbers in a storage, got {got}: "
        "the file is damaged or of another kind"
    )


def _are_counts(values: object, least: int, dimensions: int | None = None) -> bool:
    """Whether these are whole numbers that can be of a tensor."""
    return (
        isinstance(values, tuple)
        and len(values) <= DIMENSIONS
        and dimensions in (None, len(values))
        and all(type(value) is int and least <= value <= LARGEST for value in values)
    )
