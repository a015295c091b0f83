import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import trees
from pipeline.config import load_params
from pipeline.data import read_manifest, read_table
from pipeline.errors import PipelineError
from pipeline.placement import STAGES
from pipeline.storage import Storage
from pipeline.trees import Tree, enter, unpack
from pipeline.weights import weights_digest
from tests.tiny import ROOT, fill_latents, make_tiny_project


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """A storage, and a home for trees that no other test has."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(trees.tempfile, "gettempdir", lambda: str(home))
    return Storage(f"file://{tmp_path}/storage")


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_tiny_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def test_files_arrive_as_they_were_sent(storage, project):
    name = Tree.send(storage, ["models/tiny/generator", "params.yaml"], {"extra/note": b"hello"})
    there = unpack(storage.uri(name))
    assert there != project
    assert (there / "extra/note").read_bytes() == b"hello"
    assert (there / "params.yaml").read_bytes() == Path("params.yaml").read_bytes()
    assert weights_digest(there / "models/tiny/generator") == weights_digest("models/tiny/generator")


def test_a_tree_that_was_removed_is_unpacked_again(storage, project):
    name = Tree.send(storage, ["params.yaml"])
    shutil.rmtree(unpack(storage.uri(name)))
    assert (unpack(storage.uri(name)) / "params.yaml").is_file()


def test_processes_share_a_tree(storage, project):
    tree = storage.uri(Tree.send(storage, ["params.yaml"]))
    mine = unpack(tree)
    home = str(mine.parents[1])
    code = (
        "import sys; from pipeline import trees; "
        "trees.tempfile.tempdir, tree = sys.argv[1:]; print(trees.unpack(tree))"
    )
    command = [sys.executable, "-c", code, home, tree]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == str(mine)


def test_old_trees_go_when_another_comes_unless_somebody_works_there(storage, project):
    mine, abandoned, young = (
        unpack(storage.uri(Tree.send(storage, ["params.yaml"], {"which": which})))
        for which in (b"mine", b"abandoned", b"young")
    )
    for folder in (abandoned, young):
        os.close(trees._USED.pop(folder))  # as when its process ends
    for folder in (mine, abandoned):
        os.utime(folder / trees.UNPACKED, (0, 0))
    unpack(storage.uri(Tree.send(storage, ["params.yaml"])))
    assert [folder.is_dir() for folder in (mine, abandoned, young)] == [True, False, True]


def test_a_damaged_part_is_not_sent(storage, project):
    fill_latents()
    part = Path("data/latents") / read_manifest("data/latents").files[0].name
    part.write_bytes(part.read_bytes()[::-1])
    with pytest.raises(PipelineError, match=r"expected the SHA-256 .* of the manifest"):
        Tree.send(storage, ["data/latents"])
    digest = read_manifest("data/latents").files[0].sha256
    assert not storage.has(f"files/{digest}")


def test_what_is_in_the_storage_is_not_sent_again(storage, project, monkeypatch):
    first = Tree.send(storage, ["models/tiny"])
    sent = []
    monkeypatch.setattr(Storage, "write", lambda self, name, content: sent.append(name))
    assert Tree.send(storage, ["models/tiny"]) == first
    assert sent == [first]


def test_a_content_that_differs_here_goes_in_the_place_of_the_file(storage, project):
    name = Tree.send(storage, ["params.yaml"], {"params.yaml": b"other: 1\n"})
    assert (unpack(storage.uri(name)) / "params.yaml").read_bytes() == b"other: 1\n"


def test_of_data_the_manifest_travels_alone_and_says_where_the_parts_are(storage, project):
    fill_latents()
    here, rows = read_manifest("data/latents"), read_table("data/latents")
    name = Tree.send(storage, ["data/latents"])
    folder = unpack(storage.uri(name)) / "data/latents"
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    there = read_manifest(folder)
    assert there.digest == here.digest and there.here().to_bytes() == here.to_bytes()
    assert all(file.uri and file.size for file in there.files)
    assert read_table(folder).equals(rows)


def test_a_part_that_was_changed_in_the_storage_is_refused_by_name(storage, project):
    fill_latents()
    name = Tree.send(storage, ["data/latents"])
    folder = unpack(storage.uri(name)) / "data/latents"
    part = read_manifest(folder).files[1]
    storage.write(f"files/{part.sha256}", b"something else")
    with pytest.raises(PipelineError, match=f"expected the SHA-256.*files/{part.sha256}"):
        read_table(folder)


def test_a_file_that_was_changed_in_the_storage_is_refused(storage, project):
    name = Tree.send(storage, ["params.yaml"])
    storage.write(f"files/{Tree.read(storage, name).files['params.yaml'].sha256}", b"something else")
    with pytest.raises(PipelineError, match="expected the SHA-256"):
        unpack(storage.uri(name))


@pytest.mark.parametrize("outside", ["../elsewhere", "/etc/passwd", "a/../../b"])
def test_a_list_that_names_a_file_outside_is_refused(storage, outside):
    plain = {"folder": ".", "files": {outside: {"sha256": "0" * 64, "size": 1}}}
    storage.write("trees/evil.json", json.dumps(plain).encode())
    with pytest.raises(PipelineError, match="expected names inside of the tree"):
        unpack(storage.uri("trees/evil.json"))


def test_a_project_below_its_networks_keeps_its_relative_paths(storage, project, monkeypatch):
    inner = project / "comparisons/peers"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    name = Tree.send(storage, ["../../models/tiny/judge"], {"params.yaml": b"{}"})
    there = unpack(storage.uri(name))
    assert there.parts[-2:] == ("comparisons", "peers")
    assert (there / "../../models/tiny/judge/config.json").is_file()


@pytest.mark.parametrize(("path", "said"), [("/etc/hostname", "inside of the project"), ("lost", "got none")])
def test_a_path_that_cannot_travel_is_refused(storage, project, path, said):
    with pytest.raises(PipelineError, match=said):
        Tree.send(storage, [path])


def test_trees_are_private_and_a_folder_of_somebody_else_is_refused(storage, project):
    name = Tree.send(storage, ["params.yaml"])
    home = unpack(storage.uri(name)).parent
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    home.chmod(0o777)
    with pytest.raises(PipelineError, match="private folder"):
        unpack(storage.uri(name))


def test_a_process_of_a_job_works_in_the_tree_and_any_other_in_the_folder(storage, project, monkeypatch):
    monkeypatch.setattr(os, "chdir", (went := []).append)
    enter("a folder")
    name = Tree.send(storage, ["params.yaml"])
    monkeypatch.setenv(trees.TREE_VARIABLE, storage.uri(name))
    enter("a folder")
    assert went == ["a folder", unpack(storage.uri(name))]


@pytest.mark.parametrize("stage", STAGES)
def test_what_travels_is_what_dvc_knows(stage):
    """Networks and data among the deps of ``dvc.yaml``, and the folder of its outs."""
    text = (ROOT / "dvc.yaml").read_text()
    params = load_params(ROOT / "params.yaml")
    for section, names in (("generator", ("weights",)), ("labeler", ("weights", "judge", "identity"))):
        for name in names:
            text = text.replace(f"${{{section}.{name}}}", getattr(getattr(params, section), name))
    known = yaml.safe_load(text)["stages"][stage]
    known, arguments = (known["do"], ["${key}"]) if "do" in known else (known, [])
    given = {str(path) for path in STAGES[stage].reads(params, *arguments)}
    deps = {dep for dep in known["deps"] if not dep.startswith(("pipeline/", "stages/"))}
    # Training asks which labeler made the labels; an evaluation's pictures are a parameter.
    also = {params.labeler.weights, params.evaluate.pictures}
    assert {dep for dep in deps if not any(f"{dep}/".startswith(f"{path}/") for path in given)} == set()
    assert {path for path in given if not any(dep.startswith(path) for dep in deps)} <= also
    made = STAGES[stage].makes(*arguments).as_posix()
    outs = [path for kind in ("outs", "metrics") for entry in known.get(kind, []) for path in entry]
    assert all(path == made or path.startswith(f"{made}/") for path in outs)
