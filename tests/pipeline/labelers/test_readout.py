"""Outputs to columns: every logit says with its sign which side has more than half."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.labelers.readout import Outputs, Readout, pick_output, resolve_outputs
from pipeline.sections import SectionError, build_section

X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 3
CLASSES = ("a", "b", "c", "d")


def read(x: torch.Tensor, **fields: object) -> torch.Tensor:
    return Readout({"it": Outputs(**fields)})(x)


def log_odds(p: torch.Tensor) -> torch.Tensor:
    return p.log() - (1 - p).log()


def test_one_output_is_the_logit():
    assert torch.equal(read(X, kind="binary", outputs=(2,)), X[:, 2:3])


def test_two_outputs_are_no_and_yes_of_a_softmax():
    p = X[:, [3, 1]].double().softmax(1)[:, 1:]
    assert torch.allclose(read(X, kind="binary", outputs=(3, 1)).double(), log_odds(p), atol=1e-5)


def test_a_probability_becomes_its_logit():
    ours = read(X.sigmoid(), kind="binary", outputs=(2,), activation="probability")
    assert torch.allclose(ours, X[:, 2:3], atol=1e-2)
    pair = X[:, :2].softmax(1)
    ours = read(pair, kind="binary", outputs=(0, 1), activation="probability")
    assert torch.allclose(ours, X[:, 1:2] - X[:, :1], atol=1e-2)


def test_a_certain_probability_stays_finite():
    certain = torch.tensor([[0.0], [1.0]])
    ours = read(certain, kind="binary", outputs=(0,), activation="probability")
    assert torch.isfinite(ours).all() and ours[0] < -13 and ours[1] > 13


def test_a_value_is_taken_as_it_is():
    assert torch.equal(read(X, kind="continuous", outputs=(1,)), X[:, 1:2])


@pytest.mark.parametrize("activation", ["logit", "probability"])
def test_bins_give_their_expected_value(activation):
    outputs = X if activation == "logit" else X.softmax(1)
    ages = (5.0, 20.0, 40.0, 70.0)
    ours = read(outputs, kind="continuous", outputs=(0, 1, 2, 3), values=ages, activation=activation)
    assert torch.allclose(ours[:, 0], X.softmax(1) @ torch.tensor(ages), atol=1e-3)


@pytest.mark.parametrize("activation", ["logit", "probability"])
def test_classes_give_log_odds_against_the_rest(activation):
    outputs = X if activation == "logit" else X.softmax(1)
    ours = read(outputs, kind="categorical", outputs=(0, 1, 2, 3), classes=CLASSES, activation=activation)
    p = X.double().softmax(1)
    assert torch.allclose(ours.double(), log_odds(p), atol=1e-2)
    assert torch.equal(ours > 0, p > 0.5)
    assert ((ours > 0).sum(1) <= 1).all()


def test_a_certain_class_stays_finite():
    ours = read(torch.tensor([[200.0, 0, 0, 0]]), kind="categorical", outputs=(0, 1, 2, 3), classes=CLASSES)
    assert torch.isfinite(ours).all() and ours[0, 0] > 190


def test_columns_come_in_the_order_of_the_attributes():
    readout = Readout(
        {
            "hair": Outputs(kind="categorical", outputs=(2, 1, 0), classes=("none", "short", "long")),
            "age": Outputs(kind="continuous", outputs=(3,)),
        }
    )
    assert readout.columns == ("hair.none", "hair.short", "hair.long", "age")
    assert torch.equal(readout(X)[:, 3], X[:, 3])


def test_labels_become_places():
    declared = {"mood": Outputs(kind="binary", outputs=("sad", "glad"))}
    assert resolve_outputs(declared, 3, {"glad": 0, "sad": 2}, "net")["mood"].outputs == (2, 0)


@pytest.mark.parametrize(
    ("output", "labels", "message"),
    [
        (3, {}, "attribute 'mood': expected an output below 3, got 3, in net"),
        (
            "gald",
            {"glad": 0},
            "attribute 'mood': expected an output, got label 'gald', in net: did you mean 'glad'",
        ),
        ("glad", {}, "its outputs have no names"),
        ("glad", {"glad": 7}, "attribute 'mood': expected an output below 3, got 'glad'"),
    ],
)
def test_an_output_that_is_not_there_names_the_attribute(output, labels, message):
    with pytest.raises(PipelineError, match=message):
        resolve_outputs({"mood": Outputs(kind="binary", outputs=(output,))}, 3, labels, "net")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "binary", "outputs": []}, "outputs: expected one output, or two"),
        ({"kind": "binary", "outputs": [1, 2, 3]}, "outputs: expected one output, or two"),
        ({"kind": "binary", "outputs": [1, 1]}, "outputs: expected different places"),
        ({"kind": "binary", "outputs": [-1]}, "outputs: expected different places from 0"),
        (
            {"kind": "categorical", "outputs": [0, 1], "classes": ["a", "b", "c"]},
            "outputs: expected one for each",
        ),
        ({"kind": "continuous", "outputs": [0, 1]}, "values: expected a value for each of 2"),
        ({"kind": "continuous", "outputs": [0], "values": [3]}, "values: expected a value"),
        ({"kind": "continuous", "outputs": [0], "activation": "probability"}, "activation: expected 'logit'"),
        ({"kind": "binary", "outputs": [0], "values": [3]}, "values: expected them for 'continuous' only"),
        (
            {"kind": "binary", "outputs": [0], "classes": ["a"]},
            "classes: expected them for 'categorical' only",
        ),
        ({"kind": "ordinal", "outputs": [0]}, "kind: expected 'binary' or"),
        ({"kind": "binary", "outputs": [0], "activation": "relu"}, "activation: expected 'logit' or"),
    ],
)
def test_a_wrong_declaration_names_the_key(fields, message):
    with pytest.raises(SectionError, match=message):
        build_section(Outputs, fields)


def test_outputs_are_picked_from_whatever_holds_them():
    assert pick_output(X, 0) is X
    assert pick_output((0, X), 1) is X
    assert pick_output({"features": 0, "logits": X}, "logits") is X
    assert pick_output({"features": 0, "logits": X}, 1) is X
    for outputs, which in (((X,), 1), ((X,), "logits"), ({"logits": X}, "features")):
        with pytest.raises(LookupError):
            pick_output(outputs, which)
