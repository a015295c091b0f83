"""Sending a stage to a cluster: its files by way of the storage, its code by the Ray Jobs API.

A job's id holds all that determines what it makes. Whoever runs the same stage again, after a lost
connection, on another machine or with other resources, finds the job by it, and goes on watching instead of
starting a second one.
"""

from __future__ import annotations

__all__ = ["runs_as_job", "submit_stage"]

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from pipeline import console, provenance
from pipeline.config import Params, load_params
from pipeline.data import new_folder
from pipeline.interrupts import terminate_like_interrupt
from pipeline.jobs.running import COMMAND, bring_home, is_done
from pipeline.jobs.watching import Cluster
from pipeline.local_head import ROOT
from pipeline.paths import PARAMS
from pipeline.placement import STAGES, Stage
from pipeline.scratch import fingerprint
from pipeline.storage import Storage
from pipeline.trees import TREE_VARIABLE, Tree
from pipeline.weights import sha256

CODE = ("pipeline", "stages")


def runs_as_job(stage: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A stage's function that sends itself to the cluster when ``cluster.address`` is a dashboard's.

    Arguments:
        stage: its name in :data:`pipeline.placement.STAGES`.
    """

    def wrap(main: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(main)
        def run(*arguments: str) -> None:
            params = load_params()
            if params.cluster.submits:
                for name in arguments:
                    params.editor_settings(name)  # a misspelt name is refused before anything is sent
                submit_stage(stage, arguments, params)
            else:
                main(*arguments)

        return run

    return wrap


def submit_stage(name: str, arguments: tuple[str, ...], params: Params) -> None:
    """Run a stage on the cluster, show what it says, and put what it made where it would be made here.

    Arguments:
        name: of the stage.
        arguments: of the stage, such as the editor.
        params: all parameters; ``cluster.address`` is a dashboard, ``cluster.storage`` a place that both see.

    Raises:
        PipelineError: when the cluster or the storage does not answer, and with the job's own last line when
            the job fails; what the job has finished is kept for the next one.
        KeyboardInterrupt: after the job has been stopped, for a Ctrl-C and for SIGTERM.
    """
    stage, storage = STAGES[name], Storage(params.cluster.storage or "")
    tree = _send(stage, arguments, params, storage)
    with _package() as code:
        job = f"styleae-{name}-{fingerprint(_facts(storage, tree, code, params, [name, *arguments]))}"
        if not is_done(storage, job):
            cluster = Cluster(params.cluster.address, params.cluster.connect_timeout)
            environment = _runtime_env(params, storage.uri(tree), code)
            with terminate_like_interrupt():
                cluster.run(job, [*COMMAND, storage.uri(tree), job, name, *arguments], environment)
    made = stage.makes(*arguments)
    with new_folder(made) as folder:
        bring_home(storage, job, made, folder, params.cluster.bring_home_mib * 2**20)
    console.result(f"brought home as {made}")


def _send(stage: Stage, arguments: tuple[str, ...], params: Params, storage: Storage) -> str:
    """Put what the stage reads into the storage; the name of the list."""
    with console.progress(None, "files") as bar:
        extra = {str(PARAMS): _params_there()}
        return Tree.send(storage, stage.reads(params, *arguments), extra, bar.advance)


def _facts(storage: Storage, tree: str, code: Path, params: Params, command: list[str]) -> dict[str, object]:
    """All that determines what a job makes, and not where and by how many it is made."""
    files = {name: file.sha256 for name, file in Tree.read(storage, tree).files.items()}
    asked = yaml.safe_load(PARAMS.read_text())
    return {
        "command": command,
        "files": {name: digest for name, digest in files.items() if Path(name).name != PARAMS.name},
        "params": {name: section for name, section in asked.items() if name != "cluster"},
        "code": {str(file.relative_to(code)): sha256(file) for file in code.rglob("*") if file.is_file()},
        "runtime_env": asdict(params.cluster.runtime_env),
    }


@contextmanager
def _package() -> Iterator[Path]:
    """A folder with the code, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="styleae-code-") as folder:
        for name in CODE:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


def _params_there() -> bytes:
    """``params.yaml`` as the job reads it: the cluster is the one that it finds itself in."""
    content = yaml.safe_load(PARAMS.read_text())
    for name in ("connect_timeout", "bring_home_mib", "runtime_env"):  # of this side alone
        content["cluster"].pop(name, None)
    content["cluster"]["address"] = "auto"
    return yaml.safe_dump(content).encode()


def _runtime_env(params: Params, tree: str, code: Path) -> dict[str, Any]:
    """What the job's processes get: the code alone, and what says where it comes from."""
    asked = {key: value for key, value in asdict(params.cluster.runtime_env).items() if value}
    variables = {
        TREE_VARIABLE: tree,
        **provenance.variables(),
        "PIPELINE_VERBOSE": str(int(console.verbose())),
    }
    return {**asked, "working_dir": str(code), "env_vars": {**asked.get("env_vars", {}), **variables}}
