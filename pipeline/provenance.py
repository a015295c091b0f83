"""Where results come from: the commit of the code and the digests by which DVC knows the data.

Code that travels without its repository, as into a Ray job, takes both along in environment variables.
"""

from __future__ import annotations

__all__ = ["data_tags", "dvc_tags", "facts", "git_tags", "variables"]

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

LOCK = Path("dvc.lock")
COMMIT = "mlflow.source.git.commit"  # MLflow's own name, so that its UI shows it
DIRTY = "git.dirty"
MADE = ("dvc.lock", "comparison/**")  # committed files that a run itself writes
COMMIT_VARIABLE, DIRTY_VARIABLE, DATA_VARIABLE = "PIPELINE_COMMIT", "PIPELINE_DIRTY", "PIPELINE_DVC"


def variables() -> dict[str, str]:
    """Environment variables that say in another place what is known here."""
    tags = git_tags()
    found = {COMMIT_VARIABLE: tags.get(COMMIT), DIRTY_VARIABLE: tags.get(DIRTY)}
    known = {name: value for name, value in found.items() if value}
    return {**known, DATA_VARIABLE: json.dumps(_data_digests())}


def git_tags() -> dict[str, str]:
    """The commit and whether files differ from it, but for those that a run writes; as far as that is known.

    Empty outside of a repository.
    """
    if commit := os.environ.get(COMMIT_VARIABLE):
        dirty = os.environ.get(DIRTY_VARIABLE)
        return {COMMIT: commit, **({DIRTY: dirty} if dirty else {})}
    if not (commit := _git("rev-parse", "HEAD")):
        return {}
    made = [f":(exclude,top,glob)**/{name}" for name in MADE]
    return {COMMIT: commit, DIRTY: str(bool(_git("status", "--porcelain", "--", ":/", *made))).lower()}


def data_tags() -> dict[str, str]:
    """MLflow's tags of the shared data: what a training has read."""
    return _tags(_data_digests())


def dvc_tags(editor: str) -> dict[str, str]:
    """MLflow's tags of the shared data and of this editor's files."""
    return _tags(_data_digests() | _locked(f"models/{editor}/", f"reports/{editor}/"))


def _tags(digests: Mapping[str, str]) -> dict[str, str]:
    return {f"dvc/{path}": md5 for path, md5 in digests.items()}


def _data_digests() -> dict[str, str]:
    """Path → MD5 of the shared data, from the environment or from ``dvc.lock``."""
    if given := os.environ.get(DATA_VARIABLE):
        found: dict[str, str] = json.loads(given)
        return found
    return _locked("data/")


def _locked(*prefixes: str) -> dict[str, str]:
    """Path → MD5 as ``dvc.lock`` has it, of what is below some folders."""
    if not LOCK.is_file():
        return {}
    stages = (yaml.safe_load(LOCK.read_text()) or {}).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if out["path"].startswith(prefixes) and "md5" in out}


def facts() -> dict[str, str]:
    """When and where a report is made: date, commit, machine."""
    tags = git_tags()
    changed = " and changes" if tags.get(DIRTY) == "true" else ""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": f"{tags[COMMIT][:12]}{changed}" if tags else "unknown",
        "machine": f"{os.cpu_count()} cores of {_processor()}, {platform.system()}, Python "
        f"{platform.python_version()}",
    }


def _processor() -> str:
    """What Linux calls the processor, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(*arguments: str) -> str:
    """What git prints, or nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
