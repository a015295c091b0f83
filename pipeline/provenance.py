"""Where results come from: the commit of the code and the digests by which DVC knows the data."""

from __future__ import annotations

__all__ = ["dvc_digests", "facts", "git_tags"]

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import yaml

LOCK = Path("dvc.lock")
COMMIT_VARIABLE = "PIPELINE_COMMIT"  # says the commit where the code travels without its repository


def git_tags() -> dict[str, str]:
    """The commit and whether files differ from it; empty outside of a repository.

    MLflow's own name for the commit is used, so that its UI shows it.
    """
    commit = os.environ.get(COMMIT_VARIABLE) or _git("rev-parse", "HEAD")
    if not commit:
        return {}
    return {"mlflow.source.git.commit": commit, "git.dirty": str(bool(_git("status", "--porcelain"))).lower()}


def dvc_digests(editor: str, lock: Path = LOCK) -> dict[str, str]:
    """Path → MD5 as ``dvc.lock`` has it, of the shared data and of this editor's files."""
    if not lock.is_file():
        return {}
    stages = (yaml.safe_load(lock.read_text()) or {}).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    ours = ("data/", f"models/{editor}/", f"reports/{editor}/")
    return {out["path"]: out["md5"] for out in outs if out["path"].startswith(ours) and "md5" in out}


def facts() -> dict[str, str]:
    """When and where a report is made: date, commit, machine."""
    tags = git_tags()
    changed = " and changes" if tags.get("git.dirty") == "true" else ""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": f"{tags['mlflow.source.git.commit'][:12]}{changed}" if tags else "unknown",
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
