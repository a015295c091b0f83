"""Declarations: what is accepted, what every refusal says, and that they survive the disk."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.labelers.sources import Sources, classifier_sources, embedder_source
from pipeline.sections import SectionError, build_section
from tests.classifiers import AS_IT_IS, classifier, embedder

SMILE = {"smile": {"kind": "binary", "outputs": [1]}}
WORDS = {"smile": {"kind": "binary", "prompts": ["a sad face", ["a smile", "a laugh"]]}}
ONNX: dict[str, Any] = {"kind": "onnx", "file": "a.onnx", "image": AS_IT_IS, "attributes": SMILE}
CLIP: dict[str, Any] = {"kind": "clip", "model": "openai/clip", "image": AS_IT_IS, "attributes": WORDS}
FOLDER: dict[str, Any] = {"kind": "folder", "folder": "models/own", "attributes": ["age"]}


def test_every_kind_survives_the_disk():
    declared = (
        classifier("torchscript", file="a.pt", attributes=SMILE, output="logits"),
        classifier("export", file="a.pt2", attributes=SMILE),
        classifier("onnx", file="a.onnx", attributes=SMILE),
        classifier("huggingface", model="a/b", revision="main", attributes=SMILE),
        classifier("timm", model="a.pth", architecture="resnet18", num_classes=2, attributes=SMILE),
        classifier("clip", model="a", attributes=WORDS),
        classifier("folder", folder="a", attributes=["age"]),
    )
    written = json.dumps({"sources": [dataclasses.asdict(source) for source in declared]})
    assert classifier_sources(json.loads(written), "net") == declared
    identity = embedder("huggingface", model="a", pooling="cls")
    written = json.dumps({"sources": [dataclasses.asdict(identity)]})
    assert embedder_source(json.loads(written), "net") == identity


def test_a_network_of_our_own_declares_nothing():
    assert classifier_sources({"architecture": "convnet"}, "net") == ()
    assert embedder_source({"architecture": "conv_embedder"}, "net") is None


def test_a_damaged_declaration_on_disk_is_named():
    with pytest.raises(PipelineError, match=r"sources\[0\]\.kind: unknown kind 'pickle'.*net/config\.json"):
        classifier_sources({"sources": [{"kind": "pickle"}]}, "net")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            {"weights": [ONNX | {"kind": "onxn"}]},
            r"weights\[0\]\.kind: unknown kind 'onxn', did you mean",
        ),
        ({"weights": [ONNX | {"flie": "x"}]}, r"weights\[0\]\.flie: unknown key, did you mean 'file'"),
        ({"weights": [ONNX | {"attributes": {}}]}, r"weights\[0\]\.attributes: expected at least one"),
        ({"weights": [ONNX | {"attributes": {"a.b": SMILE["smile"]}}]}, "name without a dot, got 'a.b'"),
        (
            {"weights": [ONNX | {"attributes": {"smile": {"kind": "binary", "outputs": ["yes"]}}}]},
            r"attributes\.smile\.outputs: expected places from 0, got \['yes'\]: only 'huggingface'",
        ),
        (
            {"weights": [ONNX | {"image": AS_IT_IS | {"std": [0, 1, 1]}}]},
            r"weights\[0\]\.image\.std: expected numbers above 0",
        ),
        (
            {"weights": [ONNX | {"attributes": {"smile": {"kind": "binary", "outputs": [0, 1, 2]}}}]},
            r"weights\[0\]\.attributes\.smile\.outputs: expected one output, or two",
        ),
        (
            {"weights": [CLIP | {"attributes": {"smile": {"kind": "binary", "prompts": ["one"]}}}]},
            r"attributes\.smile\.prompts: expected 2 for 'binary', got 1",
        ),
        (
            {"weights": [CLIP | {"attributes": {"smile": {"kind": "binary", "prompts": ["one", ""]}}}]},
            r"attributes\.smile\.prompts: expected texts, got an empty one",
        ),
        (
            {
                "weights": [
                    CLIP | {"attributes": {"pet": {"kind": "categorical", "prompts": ["a", "b", "c"]}}}
                ]
            },
            r"attributes\.pet\.classes: expected them for 'categorical' and only for it",
        ),
        ({"weights": [FOLDER | {"attributes": []}]}, r"weights\[0\]\.attributes: expected at least one"),
        ({"weights": [ONNX, CLIP]}, r"weights: expected each attribute from one source, got \['smile'\]"),
        (
            {"weights": [ONNX], "judge": [ONNX]},
            r"judge: expected other networks .* got \['a\.onnx'\] in both",
        ),
        (
            {"weights": [CLIP], "judge": [FOLDER, CLIP | {"attributes": {"other": WORDS["smile"]}}]},
            r"judge: expected other networks .* got \['openai/clip'\] in both",
        ),
        ({"identity": FOLDER}, r"identity\.kind: unknown kind 'folder'"),
        ({"identity": ONNX}, r"identity\.attributes: unknown key"),
        (
            {"identity": {"kind": "huggingface", "model": "a", "image": AS_IT_IS}},
            r"identity\.pooling: expected 'pooler' or 'cls' or 'mean', got nothing",
        ),
    ],
)
def test_a_refusal_names_the_key(sources, message):
    with pytest.raises(SectionError, match=message):
        build_section(Sources, sources)


def test_null_is_no_source():
    assert build_section(Sources, {"identity": None}) == Sources()
