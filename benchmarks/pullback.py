"""The pull-back metric: products a second, what noise costs, how it settles, and how well it predicts images.

A pool of products, several for each style, stands for the truth where nothing else is known: estimates are
taken from its first half and compared with its second. Steps begin at styles that are not in the pool.
"""

from __future__ import annotations

__all__ = ["main"]

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Asked, Case, Report, Row, arguments, flops_of, measure
from benchmarks.locality import cluster_forms
from pipeline import console
from pipeline.editors import Editor, load_editor
from pipeline.generators import load_generator
from pipeline.generators.base import Generator, Synthesis
from pipeline.generators.low_rank import quadratic_form
from pipeline.generators.pullback import convergence, image_products
from pipeline.generators.validity import image_changes, valid_up_to, validity
from pipeline.sampling import draw_styles

GENERATOR = "models/portraits64/generator"
EDITOR = "models/styleae"  # its edits and its reconstructions are tried, too, when it is there
SEED = 100
BATCH = 10
NOISES = 8  # of each style in the pool
PROBE = 1 << 40  # ids from here on are not in the pool
SIZES = (0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class Pool:
    """Styles ``w [N, w_dim]`` and their ``products [N, NOISES, w_dim]``, float64, per root of 3·H·W."""

    w: Tensor
    products: Tensor


def main() -> None:
    """Measure, print, write."""
    asked = arguments("pullback", __doc__)
    generator = load_generator(GENERATOR, asked.device)
    synthesize = generator.prepare()
    report = Report(asked)
    rates = measure(_product_cases(generator, synthesize, asked), asked)
    report.add("products", "Products for the metric", "products", rates)
    pool = _pool(generator, synthesize, 200 if asked.short else 1600, asked.device)
    report.add("noise", "Noises for each style: time for the same error", "", _noise_rows(pool, rates))
    report.add("convergence", "Error with the number of products", "", _convergence_rows(pool, rates))
    steps = _steps(generator, synthesize, 64 if asked.short else 256, asked.device)
    validities = _validity_rows(pool, steps)
    report.add("validity", "Form over real image change", "", validities)
    way = [row | {"size": size} for row, size in zip(validities[2 * len(SIZES) :], SIZES, strict=False)]
    console.result(f"toward another style, the form is {valid_up_to(way)}")
    report.add("locality", "Correlation of forms with real image change", "", _locality_rows(pool, steps))
    report.write()


def _styles(generator: Generator, ids: np.ndarray, device: str) -> Tensor:
    return draw_styles(generator, SEED, ids, 1.0, device=device)


def _product_cases(generator: Generator, synthesize: Synthesis, asked: Asked) -> list[Case]:
    """One noise in batches of 25 is what the stage did first; its plain synthesis did not prepare weights."""

    def case(name: str, run: Synthesis, batch: int, noises: int) -> Case:
        ids = np.arange(batch)
        w = _styles(generator, ids, asked.device)

        def products(synthesis: Synthesis = run) -> Tensor:
            return image_products(synthesis, w, ids, SEED, noises)

        flops = flops_of(lambda: products(lambda w: run(w + 0)))  # the counter wants no leaves in modules
        labels = {"batch": batch, "noises": noises}
        return Case(name=name, run=products, work=batch * noises, flops=flops, labels=labels)

    return [
        case("plain", generator.synthesize, 25, 1),
        case("prepared", synthesize, 25, 1),
        *(case("prepared", synthesize, BATCH, noises) for noises in (1, 2, 4, NOISES)),
    ]


def _pool(generator: Generator, synthesize: Synthesis, count: int, device: str) -> Pool:
    batches = [np.arange(at, at + BATCH) for at in range(0, count, BATCH)]
    w = [_styles(generator, ids, device) for ids in batches]
    products = [
        image_products(synthesize, rows, ids, SEED, NOISES).reshape(len(ids), NOISES, -1)
        for rows, ids in zip(w, batches, strict=True)
    ]
    pixels = 3 * generator.img_resolution**2
    return Pool(torch.cat(w).cpu(), torch.cat(products).double() / pixels**0.5)


def _noise_rows(pool: Pool, rates: list[Row]) -> list[Row]:
    """How much products scatter by their style and by their noise, and what that means for time.

    ``E (v·v')²`` is ‖M‖² for products of two styles, ‖M‖² and the scatter of styles for two of one style, and
    that and the scatter of noise for a product with itself: three means give both scatters.
    """
    first, second = pool.products[:, 0], pool.products[:, 1]
    across = float((first @ second.T).square().fill_diagonal_(0).sum()) / (len(first) * (len(first) - 1))
    within = float((first * second).sum(dim=1).square().mean())
    alone = float(first.square().sum(dim=1).square().mean())
    style, noise = (within - across) / across, (alone - within) / across
    seconds = {row["noises"]: row["noises"] / row["rate"] for row in rates if row["batch"] == BATCH}
    once = (style + noise) * seconds[1]
    return [
        {
            "name": f"{noises} for each style",
            "style scatter": style,
            "noise scatter": noise / noises,
            "ms for each style": 1000 * seconds[noises],
            "time for the same error": (style + noise / noises) * seconds[noises] / once,
        }
        for noises in seconds
    ]


def _metric(products: Tensor) -> Tensor:
    """The mean of ``v vᵀ`` over products ``[..., w_dim]``."""
    rows = products.flatten(0, -2)
    return rows.T @ rows / len(rows)


def _convergence_rows(pool: Pool, rates: list[Row]) -> list[Row]:
    """Estimates of the first half of the pool against the second; 4 noises for each style."""
    half, noises = len(pool.w) // 2, 4
    truth = _metric(pool.products[half:])
    rate = statistics.median(row["rate"] for row in rates if row["noises"] == noises)
    rows = []
    styles = half
    while styles >= 25:
        found = [_metric(part[:, :noises]) for part in pool.products[:half].split(styles)[: half // styles]]
        errors = [convergence(metric, truth) for metric in found]
        rows.append(
            {"name": f"{styles * noises} products", "seconds": styles * noises / rate}
            | {key: statistics.median(error[key] for error in errors) for key in errors[0]}
        )
        styles //= 2
    return rows[::-1]


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of one kind and size: where they begin, ``[N, w_dim]``, what they add, what that changes ``[N]``.

    The size is a share of the way between two styles. ``local`` is what the metric of the very style says,
    ``|J(w) d|²``, the best that any metric can do.
    """

    kind: str
    size: str
    w: Tensor
    d: Tensor
    changes: Tensor
    local: Tensor


def _steps(generator: Generator, synthesize: Synthesis, count: int, device: str) -> list[Steps]:
    """Random steps, steps along the styles' covariance, toward unrelated styles, edits, reconstructions."""
    w, other, third = (_styles(generator, PROBE + k * count + np.arange(count), device) for k in range(3))
    random = torch.randn(w.shape, generator=torch.Generator().manual_seed(0)).to(w)
    way = (other - w).square().sum(dim=1).mean().sqrt()
    kinds = {
        "random in w": random / random.norm(dim=1, keepdim=True) * way,
        "along the covariance": third - other,
        "toward another style": other - w,
    }
    found = [(kind, f"{size:.0%}", d * size) for kind, d in kinds.items() for size in SIZES] + _editor_steps(
        w
    )
    return [_seen(synthesize, kind, size, w, d) for kind, size, d in found]


def _editor_steps(w: Tensor) -> list[tuple[str, str, Tensor]]:
    """Edits by 1 σ, attributes in turn, and errors of reconstruction."""
    if not Path(EDITOR).is_dir():
        return []
    editor = load_editor(EDITOR).to(w.device).eval()
    with torch.no_grad():
        return [
            ("edit by 1 σ", "", _edits(editor, w)),
            ("reconstruction", "", editor.decode(editor.encode(w)) - w),
        ]


def _edits(editor: Editor, w: Tensor) -> Tensor:
    names = editor.columns
    rows = [editor.edit(w[i : i + 1], names[i % len(names)], 1.0) for i in range(len(w))]
    return torch.cat(rows) - w


def _seen(synthesize: Synthesis, kind: str, size: str, w: Tensor, d: Tensor) -> Steps:
    changes, local = [], []
    for start, step in zip(w.split(BATCH), d.split(BATCH), strict=True):
        changes.append(image_changes(synthesize, start, step[:, None])[:, 0])
        moved = cast(Tensor, torch.func.jvp(synthesize, (start,), (step,))[1])
        local.append(moved.detach().double().square().mean(dim=(1, 2, 3)).cpu())
    return Steps(kind, size, w.cpu(), d.cpu(), torch.cat(changes), torch.cat(local))


def _validity_rows(pool: Pool, steps: list[Steps]) -> list[Row]:
    metric = _metric(pool.products)
    return [
        {"name": step.kind, "size": step.size, "real rmse": float(step.changes.mean().sqrt())}
        | {
            key: value
            for key, value in validity(metric, step.d[:, None], step.changes[:, None], (0.0,))[0].items()
            if key != "size"
        }
        for step in steps
    ]


def _locality_rows(pool: Pool, steps: list[Steps]) -> list[Row]:
    """One metric for all styles, one for each cluster of styles, one for each style."""
    rows = []
    for step in steps:
        forms = {"global": quadratic_form(_metric(pool.products), step.d)}
        forms |= cluster_forms(pool.w, pool.products, step.w, step.d)
        forms |= {"each style": step.local}
        rows.append(
            {"name": step.kind, "size": step.size}
            | {name: _correlation(form, step.changes) for name, form in forms.items()}
        )
    return rows


def _correlation(form: Tensor, changes: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([form.log(), changes.log()]))[0, 1])


if __name__ == "__main__":
    main()
