"""Trees: the files that a stage reads or has made, taken to another machine by way of a storage.

A tree is a list of names, sizes and digests. Its files lie in the storage under their digests, so that what
is there already is not sent again; the list is written last, under its own digest. Large data do not travel:
of a data folder a tree holds the manifest alone, which says where each part is.
"""

from __future__ import annotations

__all__ = ["TREE_VARIABLE", "Tree", "enter", "home_of_trees", "unpack"]

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from pipeline.data import part_bytes
from pipeline.errors import PipelineError
from pipeline.manifest import MANIFEST, FileEntry, read_manifest
from pipeline.storage import AT_ONCE, Storage
from pipeline.weights import sha256, write_atomic

TREE_VARIABLE = "PIPELINE_TREE"
"""Names the tree that the processes of a Ray job work in: the URI of its list."""

UNPACKED = ".unpacked"  # in a tree that is whole; as old as the last process that came to work there
KEPT_SECONDS = 24 * 3600.0
_USED: dict[Path, int] = {}  # the trees that this process works in, with the descriptors of its locks


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One file of a tree."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Files by their names.

    Attributes:
        folder: the working directory inside of the tree, ``"."`` or such as ``"comparisons/peers"``.
        files: name → file; names never leave the tree.
    """

    folder: str
    files: Mapping[str, TreeFile]

    @classmethod
    def send(
        cls,
        storage: Storage,
        paths: Iterable[str | Path],
        extra: Mapping[str, bytes] = {},
        on_file: Callable[[], None] = lambda: None,
    ) -> str:
        """Put files and folders of the working directory into a storage.

        Arguments:
            storage: where to.
            paths: files and folders, relative to the working directory.
            extra: names and contents of files that are not there, or differ there.
            on_file: called when another file is in the storage.

        Returns:
            The name of the list.

        Raises:
            PipelineError: for a path that is missing or absolute.
        """
        found = {name: path for path in paths for name, path in _files(Path(path)).items()}
        contents = dict(extra) | _manifests(storage, found)
        here = Path.cwd()
        base = os.path.commonpath([here, *(os.path.normpath(path.absolute()) for path in found.values())])
        folder = here.relative_to(base)

        def send(item: tuple[str, Path | bytes]) -> tuple[str, TreeFile]:
            name, source = item
            content = source if isinstance(source, bytes) else source.read_bytes()
            file = TreeFile(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
            if not storage.has(_key(file.sha256), file.size):
                storage.write(_key(file.sha256), content)
            on_file()
            return os.path.normpath(folder / name), file

        with ThreadPoolExecutor(AT_ONCE) as pool:
            tree = cls(
                folder=folder.as_posix(), files=dict(sorted(pool.map(send, {**found, **contents}.items())))
            )
        content = json.dumps(asdict(tree), sort_keys=True).encode()
        name = f"trees/{hashlib.sha256(content).hexdigest()}.json"
        storage.write(name, content)
        return name

    @classmethod
    def read(cls, storage: Storage, name: str) -> Tree:
        """The tree of a list.

        Raises:
            PipelineError: when it names a file outside of the tree.
            FileNotFoundError: when there is no such list.
        """
        plain = json.loads(storage.read(name))
        for path in map(PurePosixPath, [plain["folder"], *plain["files"]]):
            if path.is_absolute() or ".." in path.parts:
                raise PipelineError(
                    f"expected names inside of the tree, got {str(path)!r}, in {storage.uri(name)}"
                )
        return cls(
            folder=plain["folder"], files={name: TreeFile(**file) for name, file in plain["files"].items()}
        )

    def fetch(self, storage: Storage, target: Path, on_file: Callable[[], None] = lambda: None) -> None:
        """Bring all files into a folder, each whole and held to its digest; those that are there stay."""

        def fetch(item: tuple[str, TreeFile]) -> None:
            name, file = item
            path = target / name
            if not (path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256):
                write_atomic(path, _read_checked(storage, file))
            on_file()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(fetch, self.files.items()))


def unpack(uri: str) -> Path:
    """The working directory of a tree on this machine, which gets its files first if it has not.

    Processes of one machine that want the same tree wait for the first. Work in flight that earlier ones left
    there is still there, for a day.

    Arguments:
        uri: of the list.
    """
    where, _, query = uri.partition("?")
    where, _, name = where.rpartition("/trees/")
    storage, digest = Storage(where + (f"?{query}" if query else "")), name.removesuffix(".json")
    home = home_of_trees()
    folder = home / digest
    if folder not in _USED:
        _USED[folder] = os.open(_mark_of(folder), os.O_CREAT | os.O_RDWR)  # never closed
        fcntl.flock(_USED[folder], fcntl.LOCK_SH)  # for as long as this process lives
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = Tree.read(storage, f"trees/{name}")
        if not (folder / UNPACKED).exists():
            tree.fetch(storage, folder)
            (folder / tree.folder).mkdir(parents=True, exist_ok=True)
        (folder / UNPACKED).touch()  # last
    _remove_old(home)
    return folder / tree.folder


def _remove_old(home: Path) -> None:
    """Make room: of trees that no process works in, and none has for a while."""
    for unpacked in home.glob(f"*/{UNPACKED}"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError):  # in use, or gone already
            if time.time() - unpacked.stat().st_mtime > KEPT_SECONDS:
                with open(_mark_of(unpacked.parent), "w") as mark:
                    fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(unpacked.parent)


def _mark_of(folder: Path) -> Path:
    """A lock that whoever works in a tree shares, and that whoever removes it has alone."""
    return folder.with_suffix(".used")


def enter(folder: str) -> None:
    """Make the working directory of a stage this process's: its tree, or a folder that all nodes see."""
    tree = os.environ.get(TREE_VARIABLE)
    os.chdir(unpack(tree) if tree else folder)


def _data_at(storage: Storage, folder: Path) -> bytes:
    """The manifest of a data folder with every part in the storage, where they are put if they lack."""
    manifest = read_manifest(folder)

    def put(part: FileEntry) -> FileEntry:
        if part.uri:
            return part
        size = (folder / part.name).stat().st_size
        if not storage.has(_key(part.sha256), size):
            storage.write(_key(part.sha256), part_bytes(folder, part))
        return replace(part, size=size, uri=storage.uri(_key(part.sha256)))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return replace(manifest, files=tuple(pool.map(put, manifest.files))).to_bytes()


def _manifests(storage: Storage, found: dict[str, Path]) -> dict[str, bytes]:
    """The manifests of data folders among the files, whose parts are put into the storage and left out."""
    contents = {}
    for name in [name for name in found if Path(name).name == MANIFEST]:
        contents[name] = _data_at(storage, found.pop(name).parent)
        for part in [other for other in found if Path(other).parent == Path(name).parent]:
            del found[part]
    return contents


def _files(path: Path) -> dict[str, Path]:
    """The files at a path, by their names seen from the working directory."""
    if path.is_absolute():
        raise PipelineError(
            f"expected a path inside of the project, got {path}: a cluster's nodes have other folders, so "
            "put it into the project, such as under models/, where git may ignore it"
        )
    if not path.exists():
        raise PipelineError(f"expected a file or folder, got none, in {path}: run `dvc repro` or `dvc pull`")
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {file.as_posix(): file for file in files if "__pycache__" not in file.parts}


def _read_checked(storage: Storage, file: TreeFile) -> bytes:
    """A file's content, which is what its digest says."""
    content = storage.read(_key(file.sha256))
    if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise PipelineError(
            f"expected the SHA-256 {file.sha256[:12]}…, got {found[:12]}…, in "
            f"{storage.uri(_key(file.sha256))}: remove it there and run the same command again"
        )
    return content


def _key(digest: str) -> str:
    """Where a file lies in the storage."""
    return f"files/{digest}"


def home_of_trees() -> Path:
    """This user's folder of trees on this machine, which no other user can write to.

    Raises:
        PipelineError: when somebody else has made it.
    """
    home = Path(tempfile.gettempdir()) / f"styleae-trees-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PipelineError(f"expected a private folder of one's own, got another, in {home}: remove it")
    return home
