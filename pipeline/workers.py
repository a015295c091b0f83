"""Ray Train: the workers of a training, and the trainer that starts them. Import it when Ray is connected.

A worker builds the editor from the training split, runs the loop and returns the finished editor. Rank 0
saves a checkpoint every few epochs; after a lost worker, or when a driver that was killed is run again, all
go on from the last one, as many as there are then. Every rank reports every epoch; what rank 0 reports goes
to the driver, and no worker talks to MLflow.
"""

from __future__ import annotations

__all__ = ["Job", "run_job"]

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy

from pipeline.cluster import Fit
from pipeline.editors import Editor, FitContext, editor_class, save_editor
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.generators.pullback import load_metric
from pipeline.loop import Loop, peak_mib
from pipeline.meeting import Meeting
from pipeline.splits import read_split
from pipeline.storage import Storage
from pipeline.trees import enter
from pipeline.watchdog import end_if_hanging
from pipeline.weights import CONFIG, WEIGHTS

STATE = "state.pt"
RESIZE_SECONDS = 15.0  # between two looks at whether there is room for more workers
COUNT_SECONDS = 10.0  # to wait for how much there is

# Actors of Ray Train that this training has no use for; each is a Python process to be started: one that
# serves datasets, one that tidies up for detached controllers (this controller dies with its driver, and its
# placement group with it).
UNUSED = ("DatasetsCallback", "PlacementGroupCleanerCallback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is told.

    Attributes:
        folder: the project's root; the other paths are relative to it.
        settings: the editor's settings.
        labels: the data folder.
        rows: most rows of each split; ``None`` for all.
        generator: the generator's folder.
        metric: the folder of the pull-back metric.
        seed: of initial weights and of the order of batches.
        checkpoint_epochs: epochs between checkpoints.
        threads: of torch, on a CPU.
        hang_seconds: after so long without a sign of life a worker is killed; Ray starts another.
        meeting: see :class:`pipeline.meeting.Meeting`.
    """

    folder: str
    settings: Any
    labels: str
    rows: int | None
    generator: str
    metric: str
    seed: int
    checkpoint_epochs: int
    threads: int
    hang_seconds: float
    meeting: Path | None


def run_job(
    job: Job, name: str, storage: Storage, progress: Path, resources: Fit, max_failures: int
) -> dict[str, Any]:
    """Train; what :func:`_train` returns on rank 0.

    Arguments:
        job: what to train.
        name: of the run; a run with the same name in the same storage is continued.
        storage: where checkpoints go, which all nodes see.
        progress: a file of this node that gets a line of JSON for each epoch.
        resources: of the workers.
        max_failures: how many lost workers are replaced.

    Raises:
        PipelineError: the one that a worker raised, or that too many workers were lost.
    """
    # Ray chooses the second version of its API when it is imported; what type checkers see is the first.
    trainer = LeanTrainer(
        _work,  # type: ignore[arg-type]
        train_loop_config={"job": job},
        torch_config=Meeting(folder=job.meeting),
        scaling_config=ray.train.ScalingConfig(  # type: ignore[call-arg]
            num_workers=_numbers(resources),
            elastic_resize_monitor_interval_s=RESIZE_SECONDS,
            use_gpu=resources.gpus > 0,
            resources_per_worker={"CPU": resources.cpus}
            | ({"GPU": resources.gpus} if resources.gpus else {}),
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage.path(""),
            storage_filesystem=storage.patient_filesystem if storage.elsewhere else None,
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            callbacks=[EpochLines(progress)],  # type: ignore[list-item]
        ),
    )
    try:
        outcome = trainer.fit().return_value  # type: ignore[attr-defined]
    except ray.train.TrainingFailedError as error:
        reason = next(iter(str(getattr(error, "worker_failures", error)).strip().splitlines()), "")
        raise PipelineError(
            f"expected a training that ends, got failing workers ({reason[:300]}), "
            f"after {max_failures} restarts: run the same command again to go on from the last checkpoint"
        ) from error
    if outcome is None or "error" in outcome:
        raise PipelineError(
            (outcome or {}).get("error", "expected a trained editor, got nothing from the workers")
        )
    return outcome


def _numbers(resources: Fit) -> Any:  # noqa: ANN401
    """How many workers, as Ray Train wants to know it: a number, or the least and the most."""
    return resources.processes if resources.enough is None else (resources.enough, resources.processes)


class LeanTrainer(TorchTrainer):
    """A ``TorchTrainer`` that starts no process which this training does not need, and counts afresh."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in callbacks if type(callback).__name__ not in UNUSED]

    def _initialize_and_run_controller(self, **options: Any) -> Any:  # noqa: ANN401
        if self.scaling_config.elasticity_enabled:  # type: ignore[attr-defined]
            options["scaling_policy"] = PresentNodes(self.scaling_config)  # type: ignore[arg-type]
        return super()._initialize_and_run_controller(**options)  # type: ignore[misc]


class PresentNodes(ElasticScalingPolicy):
    """Ray's policy by a fresh count: its own is up to 20 s old, with the node in it that was just lost."""

    def _get_reserved_resources(self) -> Any:  # noqa: ANN401
        counted = self._autoscaling_coordinator.get_reserved_resources.remote(
            self._requester_id, recompute=True
        )
        try:
            return ray.get(counted, timeout=COUNT_SECONDS)
        except ray.exceptions.GetTimeoutError:
            return None  # it asks again


class EpochLines(ray.train.UserCallback):
    """Writes what rank 0 reports as lines of JSON; it lives in the controller, on the driver's node."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def after_report(self, run_context: object, metrics: list[dict[str, Any]], checkpoint: object) -> None:
        """Append one line."""
        with open(self.path, "a") as file:
            file.write(json.dumps(metrics[0]) + "\n")


def _work(config: dict[str, Any]) -> dict[str, Any]:
    """A worker's main function. Ray restarts a worker that raises: what users must mend is returned."""
    try:
        return _train(config["job"])
    except PipelineError as error:
        return {"error": str(error)}


def _train(job: Job) -> dict[str, Any]:
    """Build, train, and give the files of the editor, the history and how it went."""
    end_if_hanging(job.hang_seconds)
    enter(job.folder)
    context, device = ray.train.get_context(), ray.train.torch.get_device()
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.manual_seed(job.seed)

    train, val = (read_split(job.labels, split, device, job.rows) for split in ("train", "val"))
    frozen = FitContext(
        load_generator=lambda: load_generator(job.generator, device),
        load_metric=lambda: load_metric(job.metric),
    )
    started = time.monotonic()
    editor = editor_class(job.settings.kind).build(job.settings, train, frozen, job.seed)
    objective = editor.objective(job.settings, frozen)
    built = time.monotonic() - started
    if objective is None:
        return _outcome(editor, [{"epoch": 0, "seconds": built, "peak_mib": peak_mib(device)}])

    objective.to(device)
    forward = ray.train.torch.prepare_model(objective, parallel_strategy_kwargs={"broadcast_buffers": False})
    rank, ranks = context.get_world_rank(), context.get_world_size()
    loop = Loop(objective, forward, job.settings, train, val, job.seed, rank, ranks)
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            loop.restore(torch.load(Path(folder) / STATE, map_location=device, weights_only=True))
    while not loop.finished:
        row = loop.run_epoch()
        _report(loop, row, save=rank == 0 and loop.epoch % job.checkpoint_epochs == 0)
    loop.load_best()
    loop.history[0]["seconds"] += built
    return _outcome(objective.editor, loop.history)


def _report(loop: Loop, row: dict[str, float], save: bool) -> None:
    """Report an epoch, which all ranks do together, with a checkpoint when it is time for one."""
    if not save:
        ray.train.report(row)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(loop.state(), Path(folder) / STATE)
        ray.train.report(row, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _outcome(editor: Editor, history: list[dict[str, float]]) -> dict[str, Any]:
    """The files of an editor, and its history."""
    with tempfile.TemporaryDirectory() as folder:
        save_editor(editor, folder)
        files = {name: (Path(folder) / name).read_bytes() for name in (WEIGHTS, CONFIG)}
    return {"files": files, "history": history}
