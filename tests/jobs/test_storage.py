"""One face for folders and object stores, which are real servers of their protocols here."""

from __future__ import annotations

import doctest
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyarrow.fs import LocalFileSystem, copy_files

import pipeline.storage
from pipeline.errors import PipelineError
from pipeline.storage import Storage, read_uri
from tests.jobs.cluster import stopped
from tests.jobs.conftest import BUCKET, SECRETS, make_bucket, s3_server
from tests.ports import free_port
from tests.tiny import ROOT

LARGE = 30 * 2**20  # goes up in parts


@pytest.fixture(params=["folder", "file", "s3", "gs"])
def storage(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return Storage(tmp_path / "storage")
    if request.param == "file":
        return Storage(f"file://{tmp_path}/storage")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    bucket = request.getfixturevalue({"s3": "bucket", "gs": "google"}[request.param])
    return Storage(bucket).child(tmp_path.name)


def test_a_file_is_what_was_written_last(storage):
    assert not storage.has("a/b")
    with pytest.raises(FileNotFoundError):
        storage.read("a/b")
    storage.write("a/b", b"first")
    storage.write("a/b", b"second")
    assert storage.read("a/b") == b"second"
    assert storage.child("a").read("b") == b"second"
    assert read_uri(storage.uri("a/b")) == b"second"
    assert storage.has("a/b") and storage.has("a/b", 6) and not storage.has("a/b", 5)


def test_nothing_is_left_of_what_is_deleted(storage):
    storage.write("a/b", b"1")
    storage.write("c", b"2")
    storage.child("a").delete()
    storage.child("a").delete()
    assert not storage.has("a/b") and storage.has("c")


def test_files_are_listed_with_size_and_age_and_go_one_by_one(storage):
    assert storage.files() == []
    storage.write("a/b", b"12")
    storage.write("c", b"345")
    inner, outer = storage.files()
    assert (inner.name, inner.size, outer.name, outer.size) == ("a/b", 2, "c", 3)
    assert all(abs(file.age) < 60 for file in (inner, outer))
    storage.remove([outer])
    storage.remove([outer])
    assert [file.name for file in storage.files()] == ["a/b"]


def test_a_large_file_arrives_whole(storage):
    content = os.urandom(LARGE)
    storage.write("large", content)
    assert storage.read("large") == content


def test_only_uris_are_elsewhere(tmp_path):
    assert not Storage(tmp_path).elsewhere
    assert Storage(f"file://{tmp_path}").elsewhere


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("ftp://host/x", "s3.*ftp://"),
        ("s3://key:word@bucket/x", "without a user"),
        ("gs://key:word@bucket/x", "without a user"),
        ("s3://key:sl/word@bucket/x", "without a user"),
    ],
)
def test_a_uri_that_is_none_or_holds_a_secret_is_refused(place, said):
    with pytest.raises(PipelineError, match=said) as refused:
        Storage(place)
    assert "word@" not in str(refused.value)


def test_a_store_that_is_away_for_a_while_is_waited_for(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    storage = Storage(f"s3://{BUCKET}/x?scheme=http&endpoint_override=127.0.0.1:{port}")
    monkeypatch.setattr(pipeline.storage, "FINAL", ())  # the bucket comes a moment after its server
    writing = threading.Thread(target=storage.write, args=("a", b"late"))
    writing.start()
    time.sleep(1)
    with s3_server(port):
        make_bucket(port)
        writing.join()
        assert storage.read("a") == b"late"


def test_others_who_do_not_ask_again_wait_for_a_store_all_the_same(monkeypatch, tmp_path):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "state.pt").write_bytes(b"late")
    port = free_port()
    storage = Storage(f"s3://{BUCKET}/x?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1")
    store = free_port()
    with s3_server(store), ThreadPoolExecutor(1) as pool:
        make_bucket(store)
        copying = pool.submit(
            copy_files,
            str(tmp_path / "state.pt"),
            storage.path("state.pt"),
            LocalFileSystem(),
            storage.patient_filesystem,
        )
        time.sleep(10)  # the library's own patience is six seconds
        with stopped([sys.executable, "-m", "tests.jobs.relay", str(port), str(store)], cwd=ROOT):
            copying.result()
            assert storage.read("state.pt") == b"late"


@pytest.mark.parametrize("bucket", [f"s3://{BUCKET}", f"gs://anonymous@{BUCKET}"])
def test_a_store_that_stays_away_is_one_line(bucket, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pipeline.storage, "PATIENCE", 0.5)
    with pytest.raises(PipelineError, match="nothing is lost, run the same command again"):
        Storage(f"{bucket}/x?scheme=http&endpoint_override=127.0.0.1:{free_port()}").read("a")


def test_a_bucket_that_is_not_there_is_not_waited_for(bucket, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    with pytest.raises(PipelineError, match="expected a store that answers"):
        Storage(bucket.replace(BUCKET, "another")).write("a", b"1")
    assert time.monotonic() - started < pipeline.storage.PATIENCE


def test_the_example_of_the_docstring_holds():
    assert doctest.testmod(pipeline.storage).failed == 0
