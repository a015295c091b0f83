"""Small stand-ins for the frozen networks: smooth, seeded, fast."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.attributes import Attribute
from pipeline.editors.base import EditingData, FitContext
from pipeline.generators.base import Generator, NoiseMode
from pipeline.labelers.base import Labeler

ATTRIBUTES = (Attribute(name="gender", kind="binary"), Attribute(name="age"), Attribute(name="smile"))


class FakeGenerator(Generator):
    """Two random smooth layers from w to an 8 x 8 image."""

    def __init__(self, z_dim: int = 6, w_dim: int = 16, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.z_dim, self.w_dim, self.num_ws, self.img_resolution = z_dim, w_dim, 2, 8
        self.register_buffer("map", torch.linalg.qr(torch.randn(w_dim, z_dim, generator=random)).Q)
        self.register_buffer("hidden", torch.randn(2 * w_dim, 32, generator=random) / (2 * w_dim) ** 0.5)
        self.register_buffer("out", torch.randn(32, 3 * 64, generator=random) / 32**0.5)

    def mapping(self, z: Tensor, truncation_psi: float = 1.0, c: Tensor | None = None) -> Tensor:
        return truncation_psi * (z @ self.map.T)

    def synthesis(self, ws: Tensor, noise_mode: NoiseMode = "const") -> Tensor:
        features = torch.tanh(ws.flatten(1) @ self.hidden)
        return torch.tanh(features @ self.out).reshape(len(ws), 3, 8, 8)

    def config(self) -> dict[str, Any]:
        return {"architecture": "fake", "z_dim": self.z_dim, "w_dim": self.w_dim}


class FakeLabeler(Labeler):
    """Attributes that are linear in the pixels."""

    def __init__(
        self, attributes: tuple[Attribute, ...] = ATTRIBUTES, pixels: int = 192, seed: int = 1
    ) -> None:
        super().__init__()
        self.attributes = attributes
        weights = torch.randn(len(self.columns), pixels, generator=torch.Generator().manual_seed(seed))
        self.read = nn.Parameter(weights / pixels**0.5, requires_grad=False)

    def forward(self, img: Tensor) -> Tensor:
        return img.flatten(1) @ self.read.T

    def config(self) -> dict[str, Any]:
        return {"architecture": "fake", "attributes": [a.to_json() for a in self.attributes]}


class MeetingActor:
    """An actor for shards that come in pairs: each waits for another one."""

    at_once = 2

    def __init__(self, device: str) -> None:
        self.meeting = threading.Barrier(self.at_once, timeout=60)

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        self.meeting.wait()
        return {**shard, "threads": torch.get_num_threads()}


def fake_data(generator: Generator, labeler: Labeler, count: int, seed: int = 0) -> EditingData:
    """Sampled styles with the labels of their images."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    w = generator.mapping(z)
    with torch.no_grad():
        return EditingData(w, labeler(generator.synthesize(w)), labeler.columns)


def fake_metric(generator: Generator, count: int = 64, seed: int = 0) -> Tensor:
    """The pull-back metric from whole Jacobians, float64."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))

    def image(w: Tensor) -> Tensor:
        return generator.synthesize(w[None])[0].flatten()

    jacobians = torch.func.vmap(torch.func.jacrev(image))(generator.mapping(z)).double()
    return torch.einsum("npi,npj->ij", jacobians, jacobians) / (count * jacobians.shape[1])


def fake_context(generator: Generator) -> FitContext:
    """What editors may load for training."""
    return FitContext(load_generator=lambda: generator, load_metric=lambda: fake_metric(generator))


class GreedyActor:
    """An actor that asks for more memory than there is."""

    def __init__(self, device: str) -> None:
        pass

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        return {"bytes": torch.empty(2**56).nbytes}


class DyingActor:
    """An actor whose process dies of every shard."""

    def __init__(self, device: str) -> None:
        pass

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


class HungryActor:
    """An actor whose process takes memory until it is killed; what is started in its place is content."""

    MOST = 5 * 2**30

    def __init__(self, device: str) -> None:
        pass

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        if not (marker := Path("hungry")).exists():
            marker.write_text(str(os.getpid()))
            self.eat()
        return {"process": os.getpid()}

    def eat(self) -> None:
        """Touch more and more memory, up to a bound that spares the machine."""
        taken = []
        for _ in range(0, self.MOST, 2**25):
            taken.append(torch.ones(2**25, dtype=torch.uint8))
            time.sleep(0.05)
