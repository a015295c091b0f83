"""Write ``lock.txt`` and the other locks on top of it: the exact versions of this environment.

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
    return {name: version for name, version in sorted(versions.items()) if name not in ("pip", "setuptools")}


def write(name: str, wanted: list[str], bases: tuple[str, ...], known: dict[str, str]) -> dict[str, str]:
    """Lock ``wanted``, one ``name==version`` a line, on top of the files ``bases`` that hold ``known``."""
    versions = known | closure(wanted)
    lines = [f"{package}=={version}\n" for package, version in versions.items() if package not in known]
    (HERE / name).write_text(NOTE + "".join(f"-r {base}\n" for base in bases) + "".join(lines))
    return versions


def main() -> None:
    """Write the files beside this one."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    readers = sum((optional[name] for name in ("onnx", "huggingface", "timm")), [])
    base = write("lock.txt", project["dependencies"], (), {})
    nodes = write("lock-cluster.txt", optional["cluster"], ("lock.txt",), base)
    extras = write("lock-extras.txt", readers, ("lock.txt",), base)
    write("lock-dev.txt", optional["dev"], ("lock-extras.txt", "lock-cluster.txt"), extras | nodes)


if __name__ == "__main__":
    main()
