"""Writes pickles as NVIDIA's repositories do.

The pickles are made by ``pickle.dumps`` of objects that reduce as NVIDIA's do, with modules of NVIDIA's names
in ``sys.modules`` for as long as that takes.
"""

from __future__ import annotations

import copy
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.generators import StyleGAN2

SOURCE = "raise SystemExit('this module is never run')\n"
HOOKS = (
    "_backward_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


class EasyDict(dict):
    """A dict whose items are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError("a reader has called what it should only have noted")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Persistent:
    """An object that reduces to its source, class name and ``__dict__``."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": self.class_name,
            "state": self.state,
        }
        return _reconstruct_persistent_obj, (meta,), None


@contextmanager
def nvidia_modules() -> Iterator[None]:
    """Have the modules that NVIDIA's pickles name."""
    modules = {
        name: types.ModuleType(name)
        for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    }
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    modules["dnnlib.util"].EasyDict = EasyDict
    assert not modules.keys() & sys.modules.keys()
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def dump(content: object, protocol: int = 4) -> bytes:
    """``pickle.dump`` where NVIDIA's modules are installed."""
    with nvidia_modules():
        return pickle.dumps(content, protocol)


def persistent(
    class_name: str,
    tensors: nn.Module | None = None,
    children: dict[str, Persistent] | None = None,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    **attributes: Any,
) -> Persistent:
    """A persistent module with the ``__dict__`` of a real one."""
    state = {
        "training": False,
        "_parameters": OrderedDict(),
        "_buffers": OrderedDict(),
        "_non_persistent_buffers_set": set(),
    }
    state |= {name: OrderedDict() for name in HOOKS}
    state["_modules"] = OrderedDict(children or {})
    if tensors is not None:
        state["_parameters"].update(tensors._parameters)
        state["_buffers"].update(tensors._buffers)
    return Persistent(class_name, state | attributes | {"_init_args": args, "_init_kwargs": kwargs or {}})


def nvidia_generator(
    generator: StyleGAN2,
    layout: str = "ada",
    change: Callable[[Tensor], Tensor] = lambda t: t,
    mapping_kwargs: dict[str, Any] | None = None,
    synthesis_kwargs: dict[str, Any] | None = None,
    arguments: bool = True,
    settings: bool = True,
) -> Persistent:
    """A generator as NVIDIA's repositories keep it.

    Arguments:
        generator: its tensors and its architecture.
        layout: ``ada`` or ``stylegan3``: how the generator hands on the arguments of its parts.
        change: what happens to each tensor of the convolutions, such as ``half``.
        mapping_kwargs: more arguments of the mapping network.
        synthesis_kwargs: more arguments of the synthesis network.
        arguments: whether the parts keep their arguments as well.
        settings: whether layers keep their settings.
    """
    generator, config = copy.deepcopy(generator), generator.config()
    common = {"w_dim": config["w_dim"], "img_resolution": config["img_resolution"], "img_channels": 3}
    latent = {"z_dim": config["z_dim"], "c_dim": config["c_dim"]}
    for_mapping = {"num_layers": config["num_layers"], "lr_multiplier": config["mapping_lr_multiplier"]}
    for_mapping |= mapping_kwargs or {}
    for_synthesis = {"channel_base": 16384, "num_fp16_res": 4, "conv_clamp": config["conv_clamp"]}
    for_synthesis |= {"architecture": config["block_architecture"], **(synthesis_kwargs or {})}

    def keep(**values: Any) -> dict[str, Any]:
        return values if settings else {}

    def connected(module: nn.Module, activation: str = "linear") -> Persistent:
        gains = keep(
            activation=activation, weight_gain=np.float64(module.weight_gain), bias_gain=module.bias_gain
        )
        return persistent("FullyConnectedLayer", module, args=tuple(reversed(module.weight.shape)), **gains)

    def layer(module: nn.Module, class_name: str, **values: Any) -> Persistent:
        module.weight = nn.Parameter(change(module.weight.detach()))
        children = {"affine": connected(module.affine)} if hasattr(module, "affine") else {}
        return persistent(class_name, module, children, kwargs=EasyDict(w_dim=config["w_dim"]), **values)

    def block(module: nn.Module) -> Persistent:
        clamp = keep(conv_clamp=config["conv_clamp"])
        convolution = keep(use_noise=True, activation="lrelu", act_gain=np.sqrt(2)) | clamp
        children = {
            name: layer(module.get_submodule(name), "SynthesisLayer", **convolution)
            for name in ("conv0", "conv1")
            if hasattr(module, name)
        }
        if module.torgb is not None:
            children["torgb"] = layer(module.torgb, "ToRGBLayer", **clamp)
        if module.skip is not None:
            children["skip"] = layer(
                module.skip, "Conv2dLayer", **keep(conv_clamp=None, activation="linear"), bias=None
            )
        return persistent(
            "SynthesisBlock", module, children, **keep(architecture=config["block_architecture"])
        )

    parts = generator._modules
    mapping = persistent(
        "MappingNetwork",
        parts["mapping"],
        {
            name: connected(module, "linear" if name == "embed" else "lrelu")
            for name, module in parts["mapping"].named_children()
        },
        kwargs=EasyDict(**latent, w_dim=config["w_dim"], num_ws=generator.num_ws, **for_mapping)
        if arguments
        else {},
    )
    synthesis = persistent(
        "SynthesisNetwork",
        None,
        {name: block(module) for name, module in parts["synthesis"].named_children()},
        kwargs=EasyDict(**common, **for_synthesis) if arguments else {},
    )
    own = {**latent, **common, "mapping_kwargs": EasyDict(for_mapping)}
    own |= {"synthesis_kwargs": EasyDict(for_synthesis)} if layout == "ada" else for_synthesis
    return persistent(
        "Generator", None, {"synthesis": synthesis, "mapping": mapping}, kwargs=EasyDict(own), **latent
    )


def nvidia_content(networks: dict[str, Persistent]) -> dict[str, Any]:
    """A snapshot of a training run: networks, a discriminator, augmentation, the data set's settings."""
    discriminator = persistent(
        "Discriminator",
        None,
        {"b4": persistent("DiscriminatorEpilogue", nn.Linear(3, 2), mbstd_group_size=None)},
    )
    augment = persistent("AugmentPipe", None, {}, xflip=1.0, brightness_std=np.float64(0.2))
    augment.state["_buffers"]["p"] = torch.ones([])
    return {
        "training_set_kwargs": EasyDict(
            class_name="training.dataset.ImageFolderDataset", path="/data", max_size=None
        ),
        "D": discriminator,
        "augment_pipe": augment,
        **networks,
    }


def stylegan3_generator() -> Persistent:
    """The outside of a StyleGAN3 generator, with the arrays and scalars of NumPy that it keeps."""
    synthesis_input = persistent(
        "SynthesisInput",
        nn.Linear(2, 2),
        bandwidth=np.float64(2.5),
        size=np.broadcast_to(np.asarray(36), [2]),
    )
    layer = persistent(
        "SynthesisLayer", nn.Linear(2, 2), in_size=np.array([36, 36]), in_cutoff=np.float64(2), is_torgb=False
    )
    synthesis = persistent("SynthesisNetwork", None, {"input": synthesis_input, "L0_36_512": layer})
    mapping = persistent("MappingNetwork", None, {"fc0": persistent("FullyConnectedLayer", nn.Linear(2, 2))})
    return persistent("Generator", None, {"synthesis": synthesis, "mapping": mapping})
