"""What interrupted runs leave in a storage is told from what somebody may need, and goes alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.cli.clean import _job
from pipeline.config import load_params
from pipeline.data import read_manifest, read_table
from pipeline.errors import PipelineError
from pipeline.jobs.leftovers import stored_leftovers
from pipeline.jobs.running import bring_home
from pipeline.jobs.watching import Cluster, RunningJob
from pipeline.labelling import CODE, provenance_of
from pipeline.paths import LABELS, LATENTS
from pipeline.scratch import code_digest, work_folder, work_storage
from pipeline.storage import Storage
from pipeline.trees import Tree
from tests.jobs.conftest import SECRETS
from tests.tiny import fill_labels, fill_latents, make_tiny_project

JOB = "styleae-label-0123456789abcdef"


@pytest.fixture(params=["file", "s3"])
def storage(request, tmp_path, monkeypatch):
    """The storage of the project in the working directory."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    where = f"file://{tmp_path}/storage"
    if request.param == "s3":
        where = Storage(request.getfixturevalue("bucket")).uri(tmp_path.name)
    project = make_tiny_project(tmp_path / "project", {"cluster.storage": where})
    monkeypatch.chdir(project)
    monkeypatch.setattr("pipeline.cli.clean.here", lambda: iter(()))  # other tests run on this machine
    return Storage(where)


def names(storage: Storage) -> set[str]:
    return {file.name for file in storage.files()}


def left(storage: Storage, *jobs: RunningJob, hours: float = 0.0) -> set[str]:
    return {file.name for each in stored_leftovers(storage, jobs, hours) for file in each.files}


def test_what_killed_stages_have_left_is_shown_and_goes_if_asked(storage, capsys):
    for name in ("label/ab/parts/part-00000.parquet", "label/ab/seals/part-00000.parquet.json"):
        storage.write(name, b"unfinished")
    storage.write("pullback/cd/0-4.safetensors", b"unfinished")
    storage.write("train/styleae-ef/checkpoint/state.pt", b"unfinished")
    storage.write("trees/.ab.json.0123456789abcdef", b'{"fold')  # a writer that was killed
    everything = names(storage)
    assert main(["clean"]) == 0
    assert "nothing is left" in capsys.readouterr().out  # it is too young
    assert main(["clean", "--hours", "0"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("label/ab", "pullback/cd", "train/styleae-ef", "half written")), said
    assert names(storage) == everything
    assert main(["clean", "--hours", "0", "--yes"]) == 0
    assert names(storage) == set()


def test_of_large_data_the_manifest_comes_home_and_every_part_must_be_there(storage, tmp_path):
    fill_labels()
    storage.write(f"results/{JOB}", Tree.send(storage, [LABELS]).encode())
    bring_home(storage, JOB, LABELS, tmp_path / "first", most=0)
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["manifest.json"]
    part = read_manifest(tmp_path / "first").files[0]
    storage.remove([file for file in storage.files() if file.name == f"files/{part.sha256}"])
    with pytest.raises(
        PipelineError, match=f"expected [0-9,]+ bytes, got another file or none, in .*{part.sha256}"
    ):
        bring_home(storage, JOB, LABELS, tmp_path / "second", most=0)


def test_labels_and_results_stay_and_are_read_afterwards(storage, tmp_path):
    fill_labels()
    table = read_table(LABELS)
    storage.write(f"results/{JOB}", Tree.send(storage, [LABELS]).encode())
    sent = Tree.send(storage, ["models/tiny", LATENTS])  # of a job that has ended
    finished = names(storage) - left(storage)
    assert sent not in finished and f"results/{JOB}" in finished
    assert main(["clean", "--hours", "0", "--yes"]) == 0
    assert names(storage) == finished
    bring_home(storage, JOB, LABELS, tmp_path / "home", most=0)
    assert read_table(tmp_path / "home").equals(table)


def test_labels_that_lie_there_for_a_manifest_at_home_stay(storage):
    fill_labels()
    labelled = read_manifest(LABELS)
    provenance = provenance_of(load_params(), read_manifest(LATENTS))
    folder = work_folder("label", provenance | {"code": code_digest(*CODE)})
    work = work_storage(storage.place, folder)
    for part in labelled.files:
        work.write(f"parts/{part.name}", (LABELS / part.name).read_bytes())
    work.write("parts/manifest.json", labelled.to_bytes())
    assert left(storage) == set()


def test_what_a_running_job_works_on_is_not_left(storage):
    fill_latents()
    sent = Tree.send(storage, ["models/tiny", LATENTS])
    storage.write("label/ab/seals/part-00000.parquet.json", b"unfinished")
    storage.write("train/styleae-ef/checkpoint/state.pt", b"unfinished")
    command = f"python -m pipeline.jobs.running '{storage.uri(sent)}' {JOB}.1 label"
    job = RunningJob(f"{JOB}.1", command, ours=False)
    assert left(storage, job) == {"train/styleae-ef/checkpoint/state.pt"}
    assert left(storage) == names(storage)
    assert left(storage, RunningJob("raysubmit_1", "dvc repro", ours=False)).isdisjoint(
        {"train/styleae-ef/checkpoint/state.pt", "label/ab/seals/part-00000.parquet.json"}
    )


def test_what_was_sent_a_moment_ago_keeps_its_files(storage):
    fill_latents()
    Tree.send(storage, ["models/tiny", LATENTS])
    assert left(storage, hours=1.0) == set()


def test_a_job_of_another_folder_is_left_to_that():
    cluster = object.__new__(Cluster)  # asked for nothing
    theirs, ours = (_job(cluster, RunningJob(f"{JOB}.1", "", ours=ours)) for ours in (False, True))
    assert theirs.remove is None and "sent from elsewhere" in theirs.what
    assert ours.remove is not None and "sent from this folder" in ours.what


def test_nothing_outside_of_the_place_is_looked_at(storage):
    another = Storage(storage.place.replace("/storage", "/another").replace("project", "elsewhere"))
    assert another.place != storage.place
    another.write("label/ab/seals/part-00000.parquet.json", b"unfinished")
    assert left(storage) == set() and names(another)


def test_a_file_of_parameters_without_a_storage_asks_nobody(storage, capsys):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["cluster"]["storage"] = None
    Path("params.yaml").write_text(yaml.safe_dump(params))
    storage.write("label/ab/seals/part-00000.parquet.json", json.dumps({}).encode())
    assert main(["clean", "--hours", "0", "--yes"]) == 0
    assert names(storage)
