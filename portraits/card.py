"""The model card of the embedded domain: every number in it comes from ``portraits.score``."""

from __future__ import annotations

__all__ = ["ACCURACY_BAR", "SPEARMAN_BAR", "contact_sheet", "meets_bar", "model_card"]

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from portraits.factors import ATTRIBUTES, FACTORS, INDEX, NUISANCES
from portraits.renders import PERSON

ACCURACY_BAR = 0.03  # accuracy that the judge may lose from rendered to generated portraits
SPEARMAN_BAR = 0.9
COLUMNS, ZOOM = 4, 2  # of the contact sheet
KINDS = ("natural", "shuffled")  # of the held-out portraits

TEMPLATE = Path(__file__).with_suffix(".md")


def model_card(scores: Mapping[str, Any]) -> str:
    """The card in Markdown: the text of ``card.md`` with what ``portraits.score.score_all`` measured."""
    classifiers = scores["classifiers"]
    return TEMPLATE.read_text().format(
        factors=len(FACTORS),
        nuisances=len(NUISANCES),
        attributes=", ".join(ATTRIBUTES),
        images=scores["images"],
        networks=_rows((f"`{name}`", *_network(network)) for name, network in scores["networks"].items()),
        readings=_rows(_reading(name, reading) for name, reading in scores["attributes"].items()),
        held_out=classifiers["judge"]["rows"],
        held_out_scores=_rows(_held_out(f.name, classifiers) for f in FACTORS),
        accuracy_bar=100 * ACCURACY_BAR,
        spearman_bar=SPEARMAN_BAR,
        person=", ".join(name.replace("_", " ") for name in PERSON),
        **scores["generator"],
        **scores["likeness"],
        **classifiers["identity"],
    )


def meets_bar(reading: Mapping[str, Any]) -> bool:
    """Whether the judge reads an attribute well enough from generated portraits."""
    if reading["measure"] == "accuracy":
        return reading["generated"] >= reading["rendered"] - ACCURACY_BAR
    return reading["generated"] >= SPEARMAN_BAR


def contact_sheet(rendered: Tensor, generated: Tensor) -> bytes:
    """A PNG of pairs, rendered left, generated right: ``[N, 3, H, W]`` in [-1, 1], N a multiple of four."""
    pairs = torch.cat([rendered, generated], dim=3)
    strips = [torch.cat(list(row), dim=2) for row in pairs.split(COLUMNS)]
    pixels = torch.cat(strips, dim=1).add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0)
    picture = Image.fromarray(pixels.contiguous().numpy())
    file = io.BytesIO()
    picture = picture.resize((ZOOM * picture.width, ZOOM * picture.height), Image.Resampling.LANCZOS)
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _rows(cells: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _network(network: Mapping[str, Any]) -> tuple[str, str, str]:
    return network["architecture"], f"{network['parameters']:,}", f"`{network['digest'][:12]}`"


def _reading(name: str, reading: Mapping[str, Any]) -> tuple[str, ...]:
    values = (f"{reading[key]:.3f}" for key in ("rendered", "generated"))
    return (
        name,
        reading["measure"],
        *values,
        "met" if meets_bar(reading) else "missed",
        f"{reading['agreement']:.3f}",
    )


def _held_out(name: str, classifiers: Mapping[str, Any]) -> tuple[str, ...]:
    measure = "accuracy" if FACTORS[INDEX[name]].kind == "binary" else "spearman"
    values = [[classifiers[role][kind][name][measure] for kind in KINDS] for role in ("labeler", "judge")]
    return name, *(f"{natural:.3f} ({shuffled:.3f})" for natural, shuffled in values)
