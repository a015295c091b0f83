"""Networks whose modules, arguments or architecture are not what they say."""

from __future__ import annotations

__all__ = ["hostile_modules"]

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch

from tests.security.genuine import Stored, network, nvidia, replaced, rosinality, stored
from tests.security.opcodes import END, PROTO, Op, called, named, ops
from tests.state_dicts import save


def module(state: Any, class_name: Any = "Generator", source: Any = "", kind: Any = "class") -> Op:
    """A persistent object, assembled."""
    meta = {"type": kind, "version": 6, "module_src": source, "class_name": class_name, "state": state}
    return called("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


def modules() -> Iterator[tuple[str, bytes]]:
    """Networks whose modules are none, are in several places, or never end."""

    def alone(root: Any) -> bytes:
        return PROTO + ops({"G_ema": root}) + END

    parts = {"mapping": module({}), "synthesis": module({"_modules": {"b4": module({})}})}
    itself = Op(b"}\x94" + ops("synthesis") + module({"_modules": Op(b"h\x00")}).code + b"s")
    yield "module-in-itself", alone(module({"_modules": itself}))
    twin, leaf = module({}), Op(b"h\x00")
    yield "module-twice", alone(module({"_modules": {"mapping": Op(twin.code + b"\x94"), "synthesis": leaf}}))
    doubled, deep = Op(module({}).code + b"\x94"), module({})
    for i in range(40):
        doubled = Op(module({"_modules": {"a": doubled, "b": Op(b"h" + bytes([i]))}}).code + b"\x94")
    yield "module-doubled-40-times", alone(doubled)
    for _ in range(200):
        deep = module({"_modules": {"a": deep}})
    yield "module-200-deep", alone(deep)
    yield (
        "module-of-itself-as-state",
        alone(Op(b"}\x94" + ops("_modules") + b"h\x00s" + ops("state") + b"h\x00s")),
    )
    yield "module-list-of-itself", alone(module({"_modules": Op(b"]\x94h\x00a")}))
    for name, root in {
        "no-state": module(None),
        "state-list": module([]),
        "state-text": module("x"),
        "class-number": module({}, class_name=1),
        "class-long": module({}, class_name="x" * 1_000_000),
        "source-bytes": module({}, source=b"import os"),
        "source-huge": module({}, source="x" * 2_000_000),
        "kind-function": module({}, kind="function"),
        "no-meta": called("torch_utils.persistence", "_reconstruct_persistent_obj"),
        "meta-list": called("torch_utils.persistence", "_reconstruct_persistent_obj", []),
        "two-metas": called("torch_utils.persistence", "_reconstruct_persistent_obj", {}, {}),
        "named-with-dots": module({"_modules": {"a.b": module({})}}),
        "named-with-newline": module({"_modules": {"a\nb": module({})}}),
        "named-with-number": module({"_modules": {1: module({})}}),
        "named-long": module({"_modules": {"a" * 10_000: module({})}}),
        "child-is-text": module({"_modules": {"synthesis": "x"}}),
        "modules-is-list": module({"_modules": [module({})]}),
        "buffers-is-set": module({"_buffers": Op(b"\x8f"), "_modules": parts}),
        "passing-is-list": module({"_non_persistent_buffers_set": [1], "_modules": parts}),
        "parameters-of-itself": module(
            {"_parameters": Op(b"}\x94" + ops("w") + b"h\x00s"), "_modules": parts}
        ),
        "is-import": named("torch_utils.persistence", "_reconstruct_persistent_obj"),
        "many-tensors": module({"_parameters": {f"p{i}": 1 for i in range(9_000)}, "_modules": parts}),
    }.items():
        yield f"module-{name}", alone(root)
    many = {f"network{i}" * 80: module({}) for i in range(10_000)}
    yield "module-many-networks-with-long-names", PROTO + ops(many) + END
    wide = {f"p{i}": 1 for i in range(20_000)}
    shared = Op(
        ops({"type": "class", "module_src": "", "class_name": "X", "state": {"_parameters": wide}})
        + b"\x85\x94"
    )
    again = Op(named("torch_utils.persistence", "_reconstruct_persistent_obj").code + b"h\x00R")
    first = Op(named("torch_utils.persistence", "_reconstruct_persistent_obj").code + shared.code + b"R")
    for count in (90, 8_000):
        children = {"first": first} | {f"c{i}": again for i in range(count)} | parts
        yield f"module-{count}-with-one-large-state", alone(module({"_modules": children}))


def arguments() -> Iterator[tuple[str, bytes]]:
    """Networks whose arguments or settings would exhaust or fool whoever believes them."""
    laughs: list[Any] = []
    for _ in range(24):
        laughs = [laughs, laughs, 1]
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]

    def with_argument(part: str, name: Any, value: Any) -> bytes:
        root = network()
        root.state["_modules"][part].state["_init_kwargs"][name] = value
        return nvidia(root)

    def with_setting(name: str, value: Any) -> bytes:
        root = network()
        blocks = root.state["_modules"]["synthesis"].state["_modules"]
        for layer in (layer for block in blocks.values() for layer in block.state["_modules"].values()):
            layer.state[name] = value
        return nvidia(root)

    for i, (part, name, value) in enumerate(
        (
            ("mapping", "num_layers", 10**12),
            ("mapping", "z_dim", 2**62),
            ("mapping", "w_dim", -1),
            ("mapping", "c_dim", 2**200),
            ("mapping", "lr_multiplier", laughs),
            ("mapping", "embed_features", laughs),
            ("mapping", "hidden", 1),
            ("mapping", 1, 1),
            ("synthesis", "img_resolution", 2**60),
            ("synthesis", "img_resolution", laughs),
            ("synthesis", "resample_filter", laughs),
            ("synthesis", "resample_filter", deep),
            ("synthesis", "architecture", laughs),
            ("synthesis", "architecture", "x" * 100_000),
            ("synthesis", "x" * 100_000, 1),
        )
    ):
        yield f"argument-{i}-{part}-{str(name)[:20]}", with_argument(part, name, value)
    for name, value in {
        "huge": 2**2000,
        "nan": float("nan"),
        "laughs": laughs,
        "long": "x" * 100_000,
    }.items():
        yield f"setting-conv-clamp-{name}", with_setting("conv_clamp", value)
    for name, value in {"init-list": [1], "init-many": tuple(range(100)), "init-laughs": (laughs,)}.items():
        root = network()
        root.state["_modules"]["mapping"].state["_init_args"] = value
        yield f"argument-{name}", nvidia(root)
    for name, value in {"kwargs-list": [1], "kwargs-laughs": laughs, "kwargs-number": 1}.items():
        root = network()
        root.state["_modules"]["mapping"].state["_init_kwargs"] = value
        yield f"argument-{name}", nvidia(root)


def shapes() -> Iterator[tuple[str, bytes]]:
    """Tensors that are sound, of networks that are not."""

    def with_block(name: str) -> bytes:
        root = network()
        blocks = root.state["_modules"]["synthesis"].state["_modules"]
        blocks[name] = blocks.pop("b8")
        return nvidia(root)

    yield "shape-block-99999", with_block("b99999")
    yield "shape-block-65536", with_block("b65536")
    yield "shape-block-16", with_block("b16")
    yield "shape-block-arabic", with_block("b\u0668")
    yield "shape-block-huge", with_block("b" + "9" * 60)
    wide = stored(torch.zeros(70_000))
    long = replace_window(wide, (70_000, 1, 1, 1), (1, 1, 1, 1))
    yield "shape-wide", nvidia(replaced(long))
    yield "shape-one-dimension", nvidia(replaced(wide))
    yield (
        "shape-wide-affine",
        nvidia(replaced(replace_window(wide, (1, 70_000), (1, 1)), "synthesis.b4.conv1.affine.weight")),
    )
    state = rosinality()
    layers = {f"style.{i}.weight": torch.zeros(1) for i in range(3, 1_900)}
    yield "shape-many-layers", save({"g_ema": OrderedDict(state | layers)})
    blocks = {f"to_rgbs.{i}.conv.weight": torch.zeros(1) for i in range(1, 1_900)}
    yield "shape-many-blocks", save({"g_ema": OrderedDict(state | blocks)})
    many = {f"style.{i}.weight": torch.zeros(4, 4) for i in range(1, 900)}
    many |= {f"style.{i}.bias": torch.zeros(4) for i in range(1, 900)}
    yield "shape-900-layers", save({"g_ema": OrderedDict(state | many)})
    for name in ("style.1.weight\n", "\x1b[2J", "\u202egpj.exe", "x" * 900, ""):
        odd = OrderedDict({name: torch.zeros(1), **state})
        yield f"shape-odd-name-{name.encode().hex()[:12]}", save({"g_ema": odd})
    yield "shape-too-many-tensors", save({"g_ema": {f"t{i}": torch.zeros(1) for i in range(3_000)}})
    yield (
        "shape-z-of-a-million",
        save({"g_ema": OrderedDict(state | {"style.1.weight": torch.zeros(1, 10**6)})}),
    )


def replace_window(tensor: Stored, size: tuple[int, ...], stride: tuple[int, ...]) -> Stored:
    """The same numbers in another shape."""
    return Stored(tensor.storage, (0, size, stride, False, OrderedDict()))


def hostile_modules() -> Iterator[tuple[str, bytes]]:
    """All of them, by name."""
    yield from modules()
    yield from arguments()
    yield from shapes()
