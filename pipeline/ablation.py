"""What each choice of an editor is worth: variants that differ from it in one thing, and their table."""

from __future__ import annotations

__all__ = ["BASE", "EDITOR", "Variant", "load_variants", "overrides_of", "rows_of", "table_csv", "table_md"]

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.attributes import nearest_name
from pipeline.config import EditorParams
from pipeline.errors import PipelineError
from pipeline.searching import changed
from pipeline.sections import SectionError, build_section

EDITOR = "styleae"
BASE = "default"
Value = bool | int | float | str | Mapping[str, float] | Mapping[str, tuple[int, int]]

# Of the table: key of metrics.json, heading, decimals. The seconds of a training have no interval.
COLUMNS = (
    ("success", "success ↑", 3),
    ("dependency", "dependency ↓", 3),
    ("identity", "identity ↑", 3),
    ("psnr", "PSNR ↑", 2),
    ("reconstruction/psnr", "reconstruction PSNR ↑", 2),
    ("style_distance", "style distance", 3),
    ("train_seconds", "training, s", 0),
)

# Nobody looks at the pictures of a variant, so as few as can be are drawn.
FEW_PICTURES = {"faces": 1, "explorer_faces": 1, "explorer_steps": 3}


@dataclass(frozen=True, slots=True)
class Variant:
    """An editor that differs from the default: what of its settings is changed, and all of them."""

    name: str
    changes: Mapping[str, Value]
    settings: EditorParams


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The content of ``conf/ablation.yaml``."""

    variants: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


def load_variants(path: Path, present: EditorParams, only: Sequence[str] = ()) -> list[Variant]:
    """The default, and the variants of a file, each held to the ranges of its settings.

    Arguments:
        path: the file.
        present: the settings of the default.
        only: names of the variants that are wanted; empty for all.

    Raises:
        PipelineError: when the file is missing or is no YAML, and for a name or a value that cannot be.
    """
    try:
        changes = build_section(_File, yaml.safe_load(path.read_text())).variants
        for name in changes:
            if name == BASE or not re.fullmatch(r"[a-z0-9_]+", name):
                raise SectionError(f"variants.{name}", "expected a name of a-z, 0-9 and _ other than default")
        found = [Variant(name, these, changed(present, these)) for name, these in changes.items()]
    except FileNotFoundError:
        raise PipelineError(
            f"expected the variants of an ablation, got no file, in {path}: restore it"
        ) from None
    except (yaml.YAMLError, SectionError) as error:
        raise PipelineError(f"{' '.join(str(error).split())}, in {path}: correct the key there") from None
    for name in only:
        if name not in changes:
            raise PipelineError(f"unknown variant {name!r}, in {path}: {nearest_name(name, changes)}")
    return [Variant(BASE, {}, present), *(each for each in found if not only or each.name in only)]


def overrides_of(variant: Variant, faces: int | None) -> list[str]:
    """The Hydra overrides of a variant's experiment, which edits latents of the validation split.

    Arguments:
        variant: the variant.
        faces: how many latents; ``None`` for as many as the configuration says.
    """
    evaluate: dict[str, Value] = {"split": "val", **FEW_PICTURES, **({"count": faces} if faces else {})}
    values: dict[str, Value] = {f"evaluate.{name}": value for name, value in evaluate.items()}
    values |= {f"editor.{EDITOR}.{name}": value for name, value in variant.changes.items()}
    return [f"{_sign(value)}{key}={_text(value)}" for key, value in values.items()]


def rows_of(results: Mapping[str, tuple[Variant, Mapping[str, Any]]]) -> list[dict[str, str | float]]:
    """A row for each variant: what it changes, and of each number its value, interval and difference.

    Arguments:
        results: by name the variant and its ``metrics.json``; the differences are from the one named
            ``default``, without which there are none.
    """
    base = results[BASE][1] if BASE in results else None
    rows = []
    for name, (variant, metrics) in results.items():
        changes = " ".join(f"{key}={_text(value)}" for key, value in variant.changes.items())
        row: dict[str, str | float] = {"variant": name, "changes": changes}
        for key, _, _ in COLUMNS:
            for part in (key, f"{key}_low", f"{key}_high"):
                if (value := _number(metrics, part)) is not None:
                    row[part] = value
            ours, theirs = _number(metrics, key), _number(base, key) if base else None
            if name != BASE and ours is not None and theirs is not None:
                row[f"{key}_difference"] = round(ours - theirs, 6)
        rows.append(row)
    return rows


def table_csv(rows: Sequence[Mapping[str, str | float]]) -> str:
    """The rows as CSV; what is not known is empty."""
    parts = [
        part for key, _, _ in COLUMNS for part in (key, f"{key}_low", f"{key}_high", f"{key}_difference")
    ]
    used = {key for row in rows for key in row}
    text = io.StringIO()
    names = ["variant", "changes", *(part for part in parts if part in used)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def table_md(rows: Sequence[Mapping[str, str | float]], faces: int | str) -> str:
    """The rows as a page: ``value [interval] (difference)``."""
    cells = [
        [
            str(row["variant"]),
            f"`{row['changes']}`" if row["changes"] else "",
            *(_cell(row, *c) for c in COLUMNS),
        ]
        for row in rows
    ]
    headings = ["variant", "what it changes", *(heading for _, heading, _ in COLUMNS)]
    lines = [headings, ["---", "---", *("---:" for _ in COLUMNS)], *cells]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (
        "# What each choice of StyleAE is worth\n\n"
        f"Variants of the default, each trained once, measured on {faces} latents of the validation split.\n"
        "In brackets the 95 % interval over latents, in parentheses the difference from the default.\n"
        "Made by `make ablate`; [what the numbers mean](../../docs/protocol.md).\n\n" + table
    )


def _cell(row: Mapping[str, str | float], key: str, heading: str, decimals: int) -> str:
    """``value [low, high] (difference)``, as far as they are known."""
    if key not in row:
        return "–"
    text = f"{row[key]:.{decimals}f}"
    if f"{key}_low" in row:
        text += f" [{row[f'{key}_low']:.{decimals}f}, {row[f'{key}_high']:.{decimals}f}]"
    if f"{key}_difference" in row:
        text += f" ({row[f'{key}_difference']:+.{decimals}f})"
    return text


def _number(metrics: Mapping[str, Any], key: str) -> float | None:
    """A number of ``metrics.json`` by its path, ``None`` where it is absent."""
    found: Any = metrics
    for name in key.split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _sign(value: Value) -> str:
    """What Hydra wants before the key: a table may get keys that it has not had."""
    return "++" if isinstance(value, Mapping) else ""


def _text(value: Value | Sequence[int]) -> str:
    """A value as Hydra reads it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_text(each)}" for name, each in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
