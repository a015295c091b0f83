"""Hold the locked versions against the database of known vulnerabilities: ``make audit``.

Findings that ``audit-allowed.yaml`` does not name fail. A database that is out of reach fails nothing, and is
said plainly: pip-audit itself calls packages that it could not look up free of known vulnerabilities.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
LOCKS = tuple(HERE / f"{name}.txt" for name in ("lock", "lock-cluster", "lock-extras", "lock-dev"))
ALLOWED = HERE / "audit-allowed.yaml"


def audit(locks: Sequence[Path], options: Sequence[str]) -> list[dict[str, Any]] | str:
    """What pip-audit says of each package, or why it says nothing."""
    given = [text for lock in locks for text in ("--requirement", str(lock))]
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, "--format", "json", *options, *given], capture_output=True, text=True, check=False
    )
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return (done.stderr.strip().splitlines() or ["no answer"])[-1]
    skipped = [package["skip_reason"] for package in packages if "skip_reason" in package]
    return skipped[0] if len(skipped) == len(packages) else packages


def report(packages: Sequence[Mapping[str, Any]], allowed: Mapping[str, str]) -> int:
    """Print what was found; the number of findings that are not allowed."""
    count = 0
    for package in packages:
        if "skip_reason" in package:
            print(f"not audited: {package['skip_reason']}")
        for found in package.get("vulns", []):
            names = [found["id"], *found["aliases"]]
            reason = next((allowed[name] for name in names if name in allowed), None)
            fixed = ", ".join(found["fix_versions"]) or "no release"
            print(f"{package['name']} {package['version']}: {' '.join(names)}, fixed in {fixed}")
            print(f"  allowed: {reason}" if reason else f"  not in {ALLOWED.name}")
            count += reason is None
    audited = sum("skip_reason" not in package for package in packages)
    print(f"{audited} of {len(packages)} packages audited, {count} findings to mend")
    return count


def main(options: Sequence[str], locks: Sequence[Path] = LOCKS, allowed: Path = ALLOWED) -> int:
    """Audit; the exit status."""
    found = audit(locks, options)
    if isinstance(found, str):
        print(f"NOT AUDITED, the database is out of reach from here: {found}")
        return 0
    return int(report(found, yaml.safe_load(allowed.read_text()) or {}) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
