"""Write ``lock.txt`` and ``lock-dev.txt``: the exact versions that stand in this environment.

Only what ``pyproject.toml`` asks for and what that needs in turn is written, so that a stray package stays
out. A local build tag such as ``+cpu`` is left out: any build of the same version satisfies the lock.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
NOTE = "# Written by `make lock`; the ranges stand in pyproject.toml.\n"


def closure(wanted: list[str]) -> dict[str, str]:
    """Name → version of the wanted packages and of everything they need, in this environment."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = [Requirement(text) for text in wanted]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        found = distribution(requirement.name)
        versions[name] = found.version.partition("+")[0]
        for text in found.requires or []:
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in extras | {""}
            ):
                queue.append(needed)
    return {name: version for name, version in sorted(versions.items()) if name != "setuptools"}


def write(path: Path, head: str, versions: dict[str, str]) -> None:
    """One ``name==version`` a line."""
    path.write_text(NOTE + head + "".join(f"{name}=={version}\n" for name, version in versions.items()))


def main() -> None:
    """Write both files beside this one."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    runtime = closure(project["dependencies"])
    both = closure(project["dependencies"] + project["optional-dependencies"]["dev"])
    write(HERE / "lock.txt", "", runtime)
    write(
        HERE / "lock-dev.txt", "-r lock.txt\n", {name: v for name, v in both.items() if name not in runtime}
    )


if __name__ == "__main__":
    main()
