"""Files that several machines see: a folder here or on NFS, or a prefix in an object store, behind one face.

A file appears whole or not at all, and is never looked for in a list: whoever wants it knows its name from a
manifest that was written after it, so that no store has to be consistent about lists (tidying up lists old
files). What fails on the way to an object store is tried again for a while.
"""

from __future__ import annotations

__all__ = ["AT_ONCE", "Storage", "StoredFile", "has_uri", "read_uri", "refuse_place"]

import contextlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pyarrow import ArrowException
from pyarrow.fs import (
    AwsStandardS3RetryStrategy,
    FileSelector,
    FileSystem,
    FileType,
    LocalFileSystem,
    S3FileSystem,
)

from pipeline.errors import PipelineError
from pipeline.weights import write_atomic

T = TypeVar("T")
SCHEMES = ("file", "gs", "s3")
PATIENCE = 60.0
"""Seconds for which a store that fails is asked again."""

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
ATTEMPTS = 10  # of the library for S3, which waits up to 20 s between two: about a minute in all
FLAGS = {"true": True, "false": False}  # as a URI has them
AT_ONCE = 16  # files on their way
FINAL = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "NO_SUCH_BUCKET", "SIGNATURE_DOES_NOT_MATCH")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is there.

    Attributes:
        name: its name inside of the storage.
        size: bytes.
        age: seconds since it was written.
    """

    name: str
    size: int
    age: float


class Storage:
    """A place for files.

    Arguments:
        place: a folder, or a URI that pyarrow knows: ``s3://bucket/prefix``,
            ``s3://bucket/prefix?scheme=http&endpoint_override=127.0.0.1:9000``, ``gs://bucket/prefix``
            (``gs://anonymous@…`` where everybody may write), ``file:///…``. Who may read and write is not
            part of it: stores take that from their own variables and files.

    Attributes:
        elsewhere: whether the place was given as a URI: then files stay there, and manifests say so.

    Raises:
        PipelineError: for a URI of another kind, or one with a password.

    Example:
        >>> import tempfile
        >>> storage = Storage(tempfile.mkdtemp())
        >>> storage.child("labels").write("part.json", b"{}")
        >>> storage.read("labels/part.json")
        b'{}'
    """

    def __init__(self, place: str | Path) -> None:
        self.place = str(place)
        refuse_place(self.place)
        self.elsewhere = "://" in self.place

    def child(self, name: str) -> Storage:
        """A folder inside of this one."""
        return Storage(self.uri(name))

    def uri(self, name: str) -> str:
        """What finds one file from anywhere: see :func:`read_uri`."""
        if "://" not in self.place:
            return str(Path(self.place) / name)
        parts = urlsplit(self.place)
        return urlunsplit(parts._replace(path=str(PurePosixPath(parts.path or "/") / name)))

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: when it is not there.
            PipelineError: when the store does not answer.
        """
        return self._patiently(lambda: self._read(name))

    def write(self, name: str, content: bytes) -> None:
        """Put a file in its place, whole; one that is there is replaced.

        Raises:
            PipelineError: when the store does not answer or refuses.
        """
        if self._here:
            write_atomic(self.path(name), content)
            return
        self._patiently(lambda: self._put(name, content))

    def has(self, name: str, size: int | None = None) -> bool:
        """Whether a file is there, of this size in bytes if one is given."""
        info = self._patiently(lambda: self.filesystem.get_file_info(self.path(name)))
        return info.type == FileType.File and size in (None, info.size)

    def files(self) -> list[StoredFile]:
        """All files, by name; what was written a moment ago may lack in some stores.

        Raises:
            PipelineError: when the store does not answer.
        """
        root = self.path("")
        selector = FileSelector(root, allow_not_found=True, recursive=True)
        found, now = self._patiently(lambda: self.filesystem.get_file_info(selector)), time.time()
        return sorted(
            (
                StoredFile(info.path.removeprefix(f"{root}/"), info.size, now - info.mtime_ns / 1e9)
                for info in found
                if info.type == FileType.File
            ),
            key=lambda file: file.name,
        )

    def remove(self, files: Iterable[StoredFile]) -> None:
        """Remove those of the files that are there."""

        def remove(file: StoredFile) -> None:
            with contextlib.suppress(FileNotFoundError):
                self._patiently(lambda: self.filesystem.delete_file(self.path(file.name)))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(remove, files))

    def delete(self) -> None:
        """Remove all that is here, if there is something."""

        def delete() -> None:
            if self.filesystem.get_file_info(self.path("")).type != FileType.NotFound:
                with contextlib.suppress(FileNotFoundError):  # Google's has no folder when its files are gone
                    self.filesystem.delete_dir(self.path(""))

        self._patiently(delete)

    @property
    def _here(self) -> bool:
        """Whether it is a folder of this machine, or one that is mounted here."""
        return isinstance(self.filesystem, LocalFileSystem)

    def path(self, name: str) -> str:
        """A file's path in :attr:`filesystem`."""
        root = _open(self.place)[1]
        return f"{root}/{name}" if name else root

    @property
    def filesystem(self) -> FileSystem:
        """What reads and writes."""
        return _open(self.place)[0]

    @property
    def patient_filesystem(self) -> FileSystem:
        """The same for others, who do not ask again themselves: it waits for a store that is away."""
        filesystem = self.filesystem
        if not isinstance(filesystem, S3FileSystem):
            return filesystem
        asked = dict(parse_qsl(urlsplit(self.place).query))
        options: dict[str, Any] = {name: FLAGS.get(value, value) for name, value in asked.items()}
        options = {"region": filesystem.region} | options
        return S3FileSystem(**options, retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS))

    def _read(self, name: str) -> bytes:
        with self.filesystem.open_input_file(self.path(name)) as file:
            return file.read()

    def _put(self, name: str, content: bytes) -> None:
        """Large files go up in parts, and none is seen before the last one has."""
        with self.filesystem.open_output_stream(self.path(name)) as file:
            file.write(content)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do it, and again when an object store fails, with longer and longer waits."""
        ends, wait = time.monotonic() + PATIENCE, FIRST_WAIT
        while True:
            try:
                return work()
            except FileNotFoundError:
                raise
            except (ArrowException, OSError) as error:
                if self._here:
                    raise
                if time.monotonic() > ends or any(reason in str(error) for reason in FINAL):
                    raise PipelineError(
                        f"{_refused(error)}, in {self.place}: see that it runs, and that its variables or "
                        "files let you in; nothing is lost, run the same command again"
                    ) from error
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


def read_uri(uri: str) -> bytes:
    """The content of a file anywhere, by the URI that :meth:`Storage.uri` gave.

    Raises:
        FileNotFoundError: when it is not there.
        PipelineError: when the store does not answer.
    """
    storage, name = _place_of(uri)
    return storage.read(name)


def has_uri(uri: str, size: int | None = None) -> bool:
    """Whether such a file is there, of this size in bytes if one is given.

    Raises:
        PipelineError: when the store does not answer.
    """
    storage, name = _place_of(uri)
    return storage.has(name, size)


def _place_of(uri: str) -> tuple[Storage, str]:
    """The folder of a file, and its name there."""
    folder, _, name = urlsplit(uri).path.rpartition("/")
    return Storage(urlunsplit(urlsplit(uri)._replace(path=folder or "/"))), name


def refuse_place(place: str) -> None:
    """Refuse a URI that no store is reached by, and one that holds a secret: it would be seen in logs.

    Raises:
        PipelineError: for such a place.
    """
    parts = urlsplit(place)
    if "://" in place and parts.scheme not in SCHEMES:
        raise PipelineError(f"expected a folder or a URI of {', '.join(SCHEMES)}, got {parts.scheme}://")
    bucket = parts.netloc.removeprefix("anonymous@") if parts.scheme == "gs" else parts.netloc
    if set(bucket) & set("@:"):  # a secret may hold a slash, which ends what is before its @
        raise PipelineError(
            "expected a storage URI without a user and a password, got one with them: give them in the "
            "store's own variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


@lru_cache(maxsize=64)
def _open(place: str) -> tuple[FileSystem, str]:
    """What reads and writes at a place, and the place's path there."""
    if "://" not in place:
        return LocalFileSystem(), place
    try:
        filesystem, root = FileSystem.from_uri(_impatient(place))
    except (ArrowException, OSError, ValueError) as error:
        raise PipelineError(f"{_refused(error)}, in {place}: correct cluster.storage") from None
    return filesystem, root.rstrip("/")


def _impatient(place: str) -> str:
    """The URI with our own patience, where the library would have another: Google's tries for 15 minutes."""
    parts = urlsplit(place)
    if parts.scheme != "gs" or "retry_limit_seconds=" in parts.query:
        return place
    query = "&".join(filter(None, [parts.query, f"retry_limit_seconds={PATIENCE:g}"]))
    return urlunsplit(parts._replace(query=query))


def _refused(error: Exception) -> str:
    return f"expected a store that answers, got {' '.join(str(error).split())[:200]!r}"
