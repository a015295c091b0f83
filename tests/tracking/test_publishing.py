"""Publishing: everything arrives, nothing twice, and the champion is the best."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from pipeline.errors import PipelineError
from pipeline.generators import StyleGAN2
from pipeline.mlflow_store import open_experiment, open_store, store_of
from pipeline.publishing import check_publishable, publish_editor
from pipeline.tracking import LiveRun
from pipeline.weights import save_weights
from tests.tracking.conftest import write_editor, write_report


def publish(params, name="styleae"):
    return publish_editor(params, open_store(params), check_publishable(params, name))


def client_of(params) -> MlflowClient:
    return MlflowClient(store_of(params).uri)


@pytest.fixture
def plain(monkeypatch):
    """No pictures: they take most of the time, and one test looks at them."""
    monkeypatch.setattr("pipeline.publishing._log_pictures", lambda *_: None)


def artifacts_of(client, run_id, path=None):
    files = client.list_artifacts(run_id, path)
    return {f.path for f in files if not f.is_dir}.union(
        *(artifacts_of(client, run_id, f.path) for f in files if f.is_dir)
    )


def test_a_run_has_parameters_metrics_history_data_tags_and_files(project):
    published = publish(project)
    client = client_of(project)
    run = client.get_run(published.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["sample.count"] == "10000"
    assert run.data.params["editor.kind"] == "style_ae"
    assert run.data.metrics["success"] == 0.5
    assert run.data.metrics["attributes/age/success"] == 0.5
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert [(m.step, m.value) for m in history] == [(1, 0.6), (2, 0.5), (3, 0.45)]
    [dataset] = run.inputs.dataset_inputs
    assert dataset.dataset.name == "tiny-labels"
    assert str(Path("data/labels").absolute()) in dataset.dataset.source
    assert "mlflow.note.content" in run.data.tags
    files = artifacts_of(client, run.info.run_id)
    assert {"explorer.html", "metrics.json", "figures/edits.png", "data/manifest.json"} <= files
    # The key and the step are what MLflow's image slider reads.
    files = artifacts_of(client, run.info.run_id, "images")
    pictures = {Path(f).name.split("+timestamp")[0] for f in files if f.endswith(".png")}
    assert pictures == {f"{name}+step+{s}" for name in ("gender", "age", "expression") for s in range(7)}


def test_tags_name_the_commit_and_the_dvc_digests(project, plain, monkeypatch):
    monkeypatch.setenv("PIPELINE_COMMIT", "c0ffee")
    outs = [{"path": "data/labels", "md5": "1.dir"}, {"path": "models/other/config.json", "md5": "2"}]
    Path("dvc.lock").write_text(json.dumps({"stages": {"label": {"outs": outs}}}))
    tags = client_of(project).get_run(publish(project).run_id).data.tags
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert {name: value for name, value in tags.items() if name.startswith("dvc/")} == {
        "dvc/data/labels": "1.dir"
    }


def test_publishing_again_adds_nothing(project, plain):
    first, second = publish(project), publish(project)
    client = client_of(project)
    assert (second.run_id, second.version, second.new) == (first.run_id, first.version, False)
    assert len(client.search_model_versions("name='styleae'")) == 1
    assert len(client.get_metric_history(first.run_id, "loss")) == 3


def test_a_publication_that_broke_off_is_completed_in_the_same_run(project, plain, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("pipeline.registry.log_editor", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            publish(project)
    published = publish(project)
    client = client_of(project)
    assert len(client.search_runs([client.get_experiment_by_name("tiny").experiment_id])) == 1
    assert len(client.get_metric_history(published.run_id, "loss")) == 3
    assert len(client.get_metric_history(published.run_id, "success")) == 1


def test_the_run_of_the_training_is_continued(project, plain):
    live = LiveRun(store_of(project), "styleae", key="abc")
    live.log({"loss": 0.5, "val_loss": 0.6}, step=1)
    run_id = live.close()
    Path("models/styleae/run.json").write_text(json.dumps({"run_id": run_id}))
    published = publish(project)
    history = client_of(project).get_metric_history(run_id, "loss")
    assert published.run_id == run_id
    assert sorted(m.step for m in history) == [1, 2, 3]


def test_a_run_that_this_store_never_saw_becomes_a_new_one(project, plain):
    Path("models/styleae/run.json").write_text(json.dumps({"run_id": "0" * 32}))
    published = publish(project)
    assert published.run_id != "0" * 32
    assert len(client_of(project).get_metric_history(published.run_id, "loss")) == 3


def test_a_new_evaluation_of_the_same_editor_is_a_new_run_of_the_same_version(project, plain):
    first = publish(project)
    write_report("styleae", success=0.6)
    second = publish(project)
    assert second.run_id != first.run_id
    assert second.version == first.version


def test_the_champion_changes_only_for_a_better_headline(project, plain):
    first = publish(project)
    write_editor("styleae", seed=5, success=0.5)
    tie = publish(project)
    write_editor("styleae", seed=6, success=0.7)
    better = publish(project)
    client = client_of(project)
    assert (first.champion, tie.champion, better.champion) == (True, False, True)
    assert client.get_model_version_by_alias("styleae", "champion").version == int(better.version)
    assert [first.version, tie.version, better.version] == ["1", "2", "3"]


def test_the_champion_of_another_generator_gives_way(project, plain):
    first = publish(project)
    torch.manual_seed(1)
    generator = StyleGAN2(z_dim=8, w_dim=16, num_layers=1, img_resolution=8, channel_max=4)
    save_weights("models/tiny/generator", generator.state_dict(), generator.config())
    write_report("styleae", success=0.1)
    other = publish(project)
    assert (first.champion, other.champion, other.version) == (True, True, "2")


def test_a_missing_report_is_refused_before_the_store_is_asked(project):
    Path("reports/styleae/metrics.json").unlink()
    with pytest.raises(PipelineError, match=r"got no reports/styleae/metrics\.json: run `dvc repro`"):
        check_publishable(project, "styleae")


def test_an_unknown_headline_is_refused(project):
    Path("reports/styleae/metrics.json").write_text('{"psnr": 3.0}')
    with pytest.raises(PipelineError, match="expected the metric 'success', got psnr"):
        check_publishable(project, "styleae")


def test_an_experiment_of_a_moved_folder_is_refused(project):
    store = store_of(project)
    client = MlflowClient(store.uri)
    client.create_experiment("tiny", artifact_location="/elsewhere")
    with pytest.raises(PipelineError, match="the folder was moved"):
        open_experiment(client, store)
