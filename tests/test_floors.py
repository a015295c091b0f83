"""The two floors: what is pure torch, numpy and pyarrow imports no orchestration, not even through others."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline"
ORCHESTRATION = {"ray", "mlflow", "dvc", "hydra"}
# Whatever is not named here belongs to the ground floor, new modules, too.
UPPER = {
    "cluster",
    "capacity",
    "local_head",
    "labelling",
    "pulling",
    "training",
    "meeting",
    "workers",
    "evaluation",
    "elsewhere",
    "jobs",
    "__main__",
    "cli",
} | {
    "tracking",
    "mlflow_store",
    "publishing",
    "recording",
    "registry",
    "provenance",
    "serving_model",
}
GROUND = sorted(
    {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    - UPPER
    - {"__init__", "__pycache__"}
)


def files_of(name: str) -> list[Path]:
    """The source files of a module or package."""
    return [p for p in (PACKAGE / f"{name}.py", *(PACKAGE / name).rglob("*.py")) if p.is_file()]


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside of a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", GROUND)
def test_the_ground_floor_imports_neither_orchestration_nor_the_upper_floor(name):
    for file in files_of(name):
        imported = {tuple(module.split(".")) for module in imports_of(file)}
        assert not {module[0] for module in imported} & ORCHESTRATION, file
        above = {module[1] for module in imported if module[0] == "pipeline" and len(module) > 1} & UPPER
        assert not above, f"{file} imports {above} from the floor above"


def test_loading_the_ground_floor_loads_no_orchestration():
    modules = [f"pipeline.{name}" for name in GROUND]
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; "
        f"print(*sorted(set(sys.modules) & {ORCHESTRATION}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.strip() == ""


def test_the_portraits_need_no_orchestration():
    for file in (PACKAGE.parent / "portraits").rglob("*.py"):
        assert not {module.split(".")[0] for module in imports_of(file)} & ORCHESTRATION, file
