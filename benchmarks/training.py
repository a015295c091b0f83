"""Training an editor: what a step costs, how long a whole recipe takes, several seeds at once.

Recipes differ in where reconstruction is measured. ``image`` is the paper's: the frozen generator twice in
every step, once with gradients. ``pullback`` needs the generator's pull-back metric once and no generator
after it. Steps are timed; a recipe's time is its number of steps times the time of one, and for the pull-back
metric its vector-Jacobian products come on top, as many as the parameters ask for. Steps of the image recipe
at 1024×1024 are counted from one image: no batch of 128 fits here. Networks with random styles and labels
cost what real ones do. Run it as ``python -m benchmarks.training``.
"""

from __future__ import annotations

__all__ = ["main"]

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from benchmarks.harness import Asked, Case, Report, Row, arguments, flops_of, measure
from pipeline.config import PullbackParams
from pipeline.editors import EditingData, FitContext, Objective, StyleAE, losses
from pipeline.editors.settings import StyleAEParams
from pipeline.generators import Generator, StyleGAN2, load_generator
from pipeline.generators.base import Synthesis
from pipeline.generators.pullback import image_products
from pipeline.loop import Loop
from pipeline.members import train_members

GENERATOR = "models/portraits64/generator"
DEFAULT = StyleAEParams()
PAPER = StyleAEParams(**yaml.safe_load(Path("conf/editor/styleae_paper.yaml").read_text())["styleae_paper"])
PULLBACK = PullbackParams()
LARGE = 1024
ROWS, VAL_ROWS, ATTRIBUTES, W_DIM = 9_000, 500, 8, 512


def main() -> None:
    """Measure, print tables, write JSON."""
    asked = arguments("training", __doc__)
    report = Report(asked)
    found = steps(asked)
    report.add("steps", f"A step of {DEFAULT.batch_size} latents at 64×64", "steps", found)
    costs = image_costs(asked)
    report.add("images", "What a recipe asks of the generator", "latents", costs)
    report.add("recipes", "Whole recipes, 9,000 latents", "", recipes(found, costs))
    report.add("whole", "The default StyleAE, start to end, without Ray", "trainings", whole(asked))
    report.add("seeds", "Seeds trained at once, against one by one", "seed epochs", seeds(asked))
    report.add("attributes", "A step against the number of attributes", "steps", attributes(asked))
    report.add("width", "A step against w_dim", "steps", widths(asked))
    report.write()


def data_of(rows: int, attributes: int = ATTRIBUTES, w_dim: int = W_DIM, device: str = "cpu") -> EditingData:
    """Random styles with labels that are linear in them, and noise."""
    random = torch.Generator().manual_seed(rows)
    w = torch.randn(rows, w_dim, generator=random)
    mix = torch.randn(w_dim, attributes, generator=random) / math.sqrt(w_dim)
    attrs = w @ mix + 0.3 * torch.randn(rows, attributes, generator=random)
    return EditingData(w.to(device), attrs.to(device), tuple(f"a{k}" for k in range(attributes)))


def objective_of(
    settings: StyleAEParams, data: EditingData, generator: Generator | None, probe_epochs: int = 1
) -> Objective:
    """The loss of an untrained editor."""
    w_dim = data.w.shape[1]
    # Directions of falling importance, as generators have them.
    metric = torch.diag(torch.logspace(0, -4, w_dim, dtype=torch.float64))
    context = FitContext(load_generator=lambda: _given(generator), load_metric=lambda: metric)
    short = replace(settings, probe_epochs=probe_epochs)
    return StyleAE.build(short, data, context, seed=0).objective(short, context)


def _given(generator: Generator | None) -> Generator:
    assert generator is not None
    return generator


def step_of(objective: Objective, settings: StyleAEParams, data: EditingData) -> Callable[[], object]:
    """One update of the loop, the same batch every time."""
    loop = Loop(objective, objective, settings, data, data, seed=0)
    batch = torch.arange(min(settings.batch_size, len(data.w)))
    loop.forward.train()
    return lambda: loop._step(batch, 0.5)


def steps(asked: Asked) -> list[Row]:
    """The paper's recipe, the same with the pull-back metric, with plain w, and the default."""
    data = data_of(512, device=asked.device)
    generator = load_generator(GENERATOR, asked.device)
    found = {
        "paper, image": (PAPER, generator),
        "paper, pullback": (replace(PAPER, reconstruction="pullback"), None),
        "paper, w": (replace(PAPER, reconstruction="w"), None),
        "default, image": (replace(DEFAULT, reconstruction="image"), generator),
        "default, pullback": (DEFAULT, None),
    }
    cases = []
    for name, (settings, network) in found.items():
        step = step_of(objective_of(settings, data, network).to(asked.device), settings, data)
        cases.append(Case(name=name, run=step, flops=flops_of(step)))
    return measure(cases, asked)


def image_costs(asked: Asked) -> list[Row]:
    """Seconds of one latent in a step of the image loss, and in the products of the pull-back metric."""
    torch.manual_seed(0)
    large = StyleGAN2(img_resolution=256 if asked.short else LARGE, conv_clamp=256.0)
    networks = {"64×64": load_generator(GENERATOR), f"{large.img_resolution}×{large.img_resolution}": large}
    cases = []
    for name, generator in networks.items():
        synthesize = generator.to(asked.device).eval().requires_grad_(False).prepare()
        count = 32 if generator.img_resolution == 64 else 1
        w = generator.mapping(torch.randn(count, generator.z_dim, device=asked.device)).detach()
        for what, run in (("image loss", _image_loss), ("products", _products)):
            counted = functools.partial(run, _past_leaf(synthesize), w)
            run = functools.partial(run, synthesize, w)
            labels = {"resolution": name}
            cases.append(Case(name=what, labels=labels, run=run, work=count, flops=flops_of(counted)))
    return measure(cases, asked)


def _past_leaf(synthesize: Synthesis) -> Synthesis:
    """The same for the counter of operations, which wants no leaves in modules."""
    return lambda w: synthesize(w + 0)


def _image_loss(synthesize: Synthesis, w: Tensor) -> None:
    """What the image loss costs: images of the originals, images of the reconstructions, their gradient."""
    leaf = w.clone().requires_grad_(True)
    with torch.no_grad():
        img = synthesize(w)
    losses.image_loss(img, synthesize(leaf)).backward()


def _products(synthesize: Synthesis, w: Tensor) -> None:
    """The products of a style, as many as the pullback stage makes for each."""
    image_products(synthesize, w, np.arange(len(w)), seed=0, noises=PULLBACK.noises)


def recipes(steps: list[Row], costs: list[Row]) -> list[Row]:
    """How long whole recipes take, by steps and the time of one; resolution changes image losses alone."""
    per_step = {row["name"]: 1 / row["rate"] for row in steps}
    made = []
    for image, pullback, settings in (
        ("paper, image", "paper, pullback", PAPER),
        ("default, image", "default, pullback", DEFAULT),
    ):
        count = settings.epochs * (ROWS // settings.batch_size)
        for resolution in dict.fromkeys(row["resolution"] for row in costs):
            seconds = {r["name"]: 1 / r["rate"] for r in costs if r["resolution"] == resolution}
            step = per_step[pullback] + settings.batch_size * seconds["image loss"]
            metric = PULLBACK.products / PULLBACK.noises * seconds["products"]
            slow, fast = count * step, count * per_step[pullback]
            made.append(
                {
                    "name": image.partition(",")[0],
                    "resolution": resolution,
                    "steps": count,
                    "image s": slow,
                    "pullback s": fast,
                    "metric s": metric,
                    "× less": slow / fast,
                    "× less with metric": slow / (fast + metric),
                }
            )
    return made


def whole(asked: Asked) -> list[Row]:
    """The default training from data to weights, probes included."""
    data, held = (data_of(rows, device=asked.device) for rows in (ROWS, VAL_ROWS))
    settings = replace(DEFAULT, epochs=2) if asked.short else DEFAULT

    def train() -> None:
        objective = objective_of(settings, data, None, settings.probe_epochs).to(asked.device)
        loop = Loop(objective, objective, settings, data, held, seed=0)
        while not loop.finished:
            loop.run_epoch()

    return measure([Case(name="epochs", labels={"epochs": settings.epochs}, run=train)], asked)


def seeds(asked: Asked) -> list[Row]:
    """One epoch of several seeds, in one batched model and one by one."""
    data, held = (data_of(rows, device=asked.device) for rows in (1280, 128))
    settings = replace(DEFAULT, epochs=1)
    cases = []
    for count in (1, 4) if asked.short else (1, 2, 4, 8):
        objectives = [objective_of(settings, data, None).to(asked.device) for _ in range(count)]

        def alone(objectives: list[Objective] = objectives) -> None:
            for seed, objective in enumerate(objectives):
                Loop(objective, objective, settings, data, held, seed).run_epoch()

        def together(objectives: list[Objective] = objectives) -> None:
            train_members(objectives, settings, data, held, range(len(objectives)))

        for name, run in (("one by one", alone), ("at once", together)):
            cases.append(Case(name=name, labels={"seeds": count}, run=run, work=count))
    return measure(cases, asked)


def attributes(asked: Asked) -> list[Row]:
    """A step of the default with 1 to 80 attributes."""
    counts = (1, 8, 40) if asked.short else (1, 4, 8, 20, 40, 80)
    return measure([_step_case(asked, {"attributes": k}, data_of(512, k)) for k in counts], asked)


def widths(asked: Asked) -> list[Row]:
    """A step of the default on styles of several widths."""
    counts = (128, 512) if asked.short else (128, 256, 512, 1024, 2048)
    return measure([_step_case(asked, {"w_dim": k}, data_of(512, w_dim=k)) for k in counts], asked)


def _step_case(asked: Asked, labels: dict[str, int], data: EditingData) -> Case:
    data = replace(data, w=data.w.to(asked.device), attrs=data.attrs.to(asked.device))
    step = step_of(objective_of(DEFAULT, data, None).to(asked.device), DEFAULT, data)
    return Case(name="step", labels=labels, run=step, flops=flops_of(step))


if __name__ == "__main__":
    main()
