"""The embedded labeler in every format that is one file, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from pipeline.labelers import Labeler, load_labeler
from tests import classifiers


@pytest.fixture(scope="session")
def portraits() -> Labeler:
    """The embedded labeler as we read it ourselves: what all formats have to agree with."""
    return load_labeler(classifiers.PORTRAITS / "labeler")


@pytest.fixture(scope="session")
def images() -> Tensor:
    """Images of the embedded generator."""
    return classifiers.portraits_images()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, portraits: Labeler) -> dict[str, Path]:
    """Kind → file."""
    folder = tmp_path_factory.mktemp("programs")
    return {
        "torchscript": classifiers.write_torchscript(folder / "labeler.pt", portraits),
        "export": classifiers.write_export(folder / "labeler.pt2", portraits),
        "onnx": classifiers.write_onnx(folder / "labeler.onnx", portraits),
    }
