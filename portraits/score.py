"""Scores of the embedded domain's networks, and the model card that reports them.

The generator draws portraits of noise that it never saw; the renderer paints the portraits that it should
have drawn. The judge reads both: what it loses on the generated ones is the generator's fault.

Example:
    ``python -m portraits.score``
"""

from __future__ import annotations

__all__ = ["Portraits", "draw_portraits", "score_all", "score_generator", "score_readings"]

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.console import result, run_stage, stage
from pipeline.errors import PipelineError
from pipeline.generators import Generator, load_generator
from pipeline.labelers import Embedder, Labeler, ResNet, load_embedder, load_labeler
from pipeline.metrics.image import psnr, ssim
from pipeline.weights import weights_digest, write_atomic
from portraits.card import contact_sheet, model_card
from portraits.corpus import factors_of_z, sample_z
from portraits.factors import ATTRIBUTES, FACTORS, INDEX
from portraits.measures import accuracy, frechet_distance, spearman
from portraits.recipes import ROLES
from portraits.renderer import render
from portraits.train_classifiers import OUT, SCORES, rounded

COUNT = 2000
SEED = 64_000  # no corpus and no classifier draws from it
BATCH = 50
PAIRS = 16  # on the contact sheet


@dataclass(frozen=True, slots=True)
class Portraits:
    """What was asked for and what was drawn.

    Attributes:
        factors: ``[N, D]``.
        rendered: ``[N, 3, H, W]`` in [-1, 1], what the renderer paints of them.
        generated: the same portraits by the generator.
        images_per_second: of the generator, mapping included.
    """

    factors: Tensor
    rendered: Tensor
    generated: Tensor
    images_per_second: float


@torch.no_grad()
def draw_portraits(generator: Generator, count: int, seed: int) -> Portraits:
    """Portraits of fresh noise, rendered and generated."""
    z = sample_z(count, seed)
    factors = factors_of_z(z)
    rendered = render(factors, generator.img_resolution)
    generator.synthesize(generator.mapping(z[:BATCH]))  # the first call pays for warming up
    started = time.perf_counter()
    generated = torch.cat([generator.synthesize(generator.mapping(part)) for part in z.split(BATCH)])
    return Portraits(factors, rendered, generated.clamp(-1, 1), count / (time.perf_counter() - started))


def score_generator(portraits: Portraits, others: Tensor, judge: ResNet) -> dict[str, float]:
    """How close the generated portraits come to the rendered ones.

    Arguments:
        portraits: rendered and generated.
        others: rendered portraits of other noise ``[M, 3, H, W]``, the real side of the Fréchet distance.
        judge: the distance is measured between its features.

    Returns:
        ``psnr`` in dB and ``ssim`` (means over images), ``psnr_p10`` (a tenth is worse), ``fd_judge``,
        ``fd_judge_floor`` (of rendered portraits: what sampling alone makes), ``images_per_second``.
    """
    quality = psnr(portraits.generated, portraits.rendered)
    features = [_in_batches(judge.features, img) for img in (portraits.generated, portraits.rendered, others)]
    return {
        "psnr": quality.mean().item(),
        "psnr_p10": quality.quantile(0.1).item(),
        "ssim": ssim(portraits.generated, portraits.rendered).mean().item(),
        "fd_judge": frechet_distance(features[0], features[2]),
        "fd_judge_floor": frechet_distance(features[1], features[2]),
        "images_per_second": portraits.images_per_second,
    }


def score_readings(portraits: Portraits, judge: Labeler, labeler: Labeler) -> dict[str, dict[str, Any]]:
    """What the judge reads from rendered and from generated portraits, for each of the eight attributes.

    Returns:
        For each attribute ``measure`` (``accuracy`` of a binary one, else ``spearman``), its values
        ``rendered`` and ``generated``, and ``agreement``: labeler and judge, rank correlation on generated.
    """
    on_rendered, on_generated = (_in_batches(judge, img) for img in (portraits.rendered, portraits.generated))
    labels = _in_batches(labeler, portraits.generated)
    scores = {}
    for name in ATTRIBUTES:
        column, true = judge.columns.index(name), portraits.factors[:, INDEX[name]]
        binary = FACTORS[INDEX[name]].kind == "binary"
        measure = accuracy if binary else spearman
        scores[name] = {
            "measure": measure.__name__,
            "rendered": measure(on_rendered[:, column], true),
            "generated": measure(on_generated[:, column], true),
            "agreement": spearman(labels[:, labeler.columns.index(name)], on_generated[:, column]),
        }
    return scores


def score_likeness(portraits: Portraits, identity: Embedder) -> dict[str, float]:
    """Identity similarity of each generated portrait to its own rendered one, and to another person's."""
    rendered, generated = (_in_batches(identity, img) for img in (portraits.rendered, portraits.generated))
    return {
        "own": (rendered * generated).sum(dim=1).mean().item(),
        "other": (rendered.roll(1, dims=0) * generated).sum(dim=1).mean().item(),
    }


def score_all(folder: Path, count: int = COUNT) -> tuple[dict[str, Any], Portraits]:
    """Score every network of ``folder``; the classifiers' held-out scores are read from beside their weights.

    Raises:
        PipelineError: when a network is missing or damaged.
    """
    generator, judge = load_generator(folder / "generator"), load_labeler(folder / "judge")
    labeler, identity = load_labeler(folder / "labeler"), load_embedder(folder / "identity")
    if not isinstance(judge, ResNet):
        found = judge.config()["architecture"]
        raise PipelineError(
            f"expected a judge of architecture resnet, got {found}, in {folder}: train it again"
        )
    portraits = draw_portraits(generator, count, SEED)
    others = render(factors_of_z(sample_z(count, SEED + 1)), generator.img_resolution)
    scores = {
        "images": count,
        "generator": score_generator(portraits, others, judge),
        "attributes": score_readings(portraits, judge, labeler),
        "likeness": score_likeness(portraits, identity),
        "classifiers": {role: json.loads((folder / role / SCORES).read_text()) for role in ROLES},
        "networks": {
            name: {
                "architecture": network.config()["architecture"],
                "parameters": sum(p.numel() for p in network.parameters()),
                "digest": weights_digest(folder / name),
            }
            for name, network in (
                ("generator", generator),
                ("labeler", labeler),
                ("judge", judge),
                ("identity", identity),
            )
        },
    }
    return rounded(scores), portraits


def _in_batches(network: Any, img: Tensor) -> Tensor:  # noqa: ANN401
    """What a network says about ``img``."""
    with torch.no_grad():
        return torch.cat([network(part) for part in img.split(250)])


def main() -> None:
    """Score the networks, then write the model card, its numbers and its picture beside them."""
    parser = argparse.ArgumentParser(
        description="Score the networks of the embedded domain and write the model card."
    )
    parser.add_argument("--folder", type=Path, default=OUT, help="folder of the networks")
    parser.add_argument("--count", type=int, default=COUNT, help="portraits to draw")
    arguments = parser.parse_args()
    with stage("score the networks"):
        scores, portraits = score_all(arguments.folder, arguments.count)
        write_atomic(arguments.folder / SCORES, (json.dumps(scores, indent=2) + "\n").encode())
        write_atomic(arguments.folder / "README.md", model_card(scores).encode())
        pictures = contact_sheet(portraits.rendered[:PAIRS], portraits.generated[:PAIRS])
        write_atomic(arguments.folder / "samples.png", pictures)
        quality = scores["generator"]
        result(f"generator: {quality['psnr']:.2f} dB, Fréchet distance {quality['fd_judge']:.3f}")


if __name__ == "__main__":
    sys.exit(run_stage(main)())
