"""Outputs that look wrong: a wrong range or normalisation shows in the columns, a right one does not."""

from __future__ import annotations

import pytest
import torch

from pipeline.attributes import Attribute
from pipeline.labelers.checking import suspicious_embeddings, suspicious_outputs
from tests import classifiers

SMILE, AGE = Attribute(name="smile", kind="binary"), Attribute(name="age")
RANDOM = torch.Generator().manual_seed(0)


def doubts_of(image, programs, images, tmp_path):
    source = classifiers.classifier(
        "torchscript",
        file=str(programs["torchscript"]),
        image=classifiers.AS_IT_IS | image,
        attributes=classifiers.portraits_attributes(),
    )
    loaded = classifiers.imported(tmp_path / "net", source)
    with torch.no_grad():
        return suspicious_outputs(loaded(images), loaded.attributes)


def test_a_right_declaration_raises_no_doubt(programs, images, tmp_path):
    assert doubts_of({}, programs, images, tmp_path) == []


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        ({"low": 0.0, "high": 255.0}, "saturated"),
        ({"low": 0.0, "high": 255.0, "mean": [0.5] * 3, "std": [0.5] * 3}, "saturated"),
        ({"mean": [127.5] * 3, "std": [127.5] * 3}, "nearly constant"),
        ({"low": 0.0, "high": 1.0, "std": [255.0] * 3}, "nearly constant"),
    ],
    ids=["bytes for fractions", "mean of fractions for bytes", "mean of bytes", "std of bytes"],
)
def test_a_wrong_range_or_normalisation_is_seen(image, seen, programs, images, tmp_path):
    doubts = doubts_of(image, programs, images, tmp_path)
    for column in ("gender", "glasses"):
        (doubt,) = [doubt for doubt in doubts if doubt.startswith(f"{column}: ")]
        assert seen in doubt and "16 different images give" in doubt and "check image (low, high" in doubt


def test_a_constant_value_is_doubted_in_any_unit():
    for scale in (1e-3, 1.0, 1e4):
        flat = scale * (1 + 1e-4 * torch.randn(16, 1, generator=RANDOM))
        assert "age: nearly constant" in suspicious_outputs(flat, [AGE])[0]
        assert suspicious_outputs(scale * torch.randn(16, 1, generator=RANDOM), [AGE]) == []


def test_rare_attributes_and_sure_classifiers_are_not_doubted():
    rare = -8 + torch.randn(16, 1, generator=RANDOM)
    sure = 12 * torch.randn(200, 1, generator=RANDOM)
    assert suspicious_outputs(rare, [SMILE]) == suspicious_outputs(sure, [SMILE]) == []


def test_extreme_values_of_a_continuous_attribute_are_its_unit():
    assert suspicious_outputs(1000 * torch.randn(16, 1, generator=RANDOM), [AGE]) == []


def test_each_class_is_a_column_of_its_own():
    pet = Attribute(name="pet", kind="categorical", classes=("cat", "dog", "fox"))
    scores = torch.randn(16, 3, generator=RANDOM)
    scores[:, 1] = 0.5
    (doubt,) = suspicious_outputs(scores, [pet])
    assert doubt.startswith("pet.dog: nearly constant, 16 different images give 0.5 … 0.5")


def test_embeddings_of_different_images_differ():
    vectors = torch.nn.functional.normalize(torch.randn(8, 4, generator=RANDOM), dim=1)
    assert suspicious_embeddings(vectors) == []
    (doubt,) = suspicious_embeddings(vectors[:1].repeat(8, 1))
    assert "nearly the same embedding" in doubt
