"""Foreign checkpoints: plain data is read as data, and an imported network is like any other."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.checkpoints import read_checkpoint
from pipeline.checkpoints.pickles import read_pickle
from pipeline.checkpoints.values import Budget, Global
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.weights import save_weights
from tests.checkpoints import assert_same, loaded, nvidia_file, written
from tests.foreign import dump, nvidia_generator
from tests.generators import frozen
from tests.state_dicts import rosinality_state, save

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | st.text(),
    lambda values: (
        st.lists(values, max_size=5)
        | st.lists(values, max_size=5).map(tuple)
        | st.dictionaries(st.text() | st.integers(-5, 2**40) | st.none(), values, max_size=5)
        | st.dictionaries(st.text(), values, max_size=5).map(OrderedDict)
        | st.sets(st.text() | st.integers(), max_size=5)
        | st.binary(max_size=255)
    ),
    max_leaves=30,
)


@settings(deadline=None)
@given(PLAIN, st.sampled_from([3, 4, 5]))
def test_plain_data_is_read_as_python_reads_it(value: object, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    assert read_pickle(memoryview(content), 0, Budget(payload=0)).alone_in(memoryview(content)) == value


def test_what_a_pickle_would_call_is_only_noted() -> None:
    content = pickle.dumps({"device": torch.device("cpu"), "kind": torch.float32})
    value = read_pickle(memoryview(content), 0, Budget(payload=0)).value
    assert isinstance(value, dict) and value["kind"] == Global("torch.float32")
    assert (value["device"].name, value["device"].args) == ("torch.device", ("cpu",))


def test_an_imported_network_is_saved_and_loaded_like_any_other(tmp_path: Path) -> None:
    for content in (
        dump({"G_ema": nvidia_generator(frozen())}),
        save({"g_ema": rosinality_state((4, 3), 8, 1)}),
    ):
        checkpoint = read_checkpoint(written(tmp_path, content))
        save_weights(tmp_path / "imported", checkpoint.tensors, checkpoint.config)
        w = torch.randn(2, 8)
        expected = loaded(checkpoint).synthesize(w)
        assert torch.equal(load_generator(tmp_path / "imported").synthesize(w), expected)


def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path) -> None:
    nvidia = written(tmp_path, dump({"G_ema": nvidia_generator(frozen())}), "network.pt")
    rosinality = written(tmp_path, save({"g_ema": rosinality_state((4, 3), 8, 1)}), "network.pkl")
    assert read_checkpoint(nvidia).source["format"] == "nvidia-pickle"
    assert read_checkpoint(rosinality).source["format"] == "rosinality"


def test_reading_leaves_random_numbers_and_modules_alone(tmp_path: Path) -> None:
    paths = [
        nvidia_file(tmp_path, G_ema=nvidia_generator(frozen())),
        written(tmp_path, save({"g_ema": rosinality_state((4, 3), 8, 1)}), "network.pt"),
    ]
    before, modules = torch.get_rng_state(), set(sys.modules)
    for path in paths:
        read_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not {name for name in set(sys.modules) - modules if not name.startswith(("torch.", "sympy"))}


def test_tensors_outlive_the_file(tmp_path: Path) -> None:
    path = nvidia_file(tmp_path, G_ema=nvidia_generator(frozen()))
    checkpoint = read_checkpoint(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert_same(checkpoint, frozen())


@pytest.mark.parametrize("content", [b"", b"once upon a time", b"\x80\x04N.", b"\x1f\x8b\x08\x00"])
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    with pytest.raises(PipelineError, match=f"cannot read the checkpoint {path}: expected"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["absent.pkl", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PipelineError, match="expected a file"):
        read_checkpoint(tmp_path / name)
