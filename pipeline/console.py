"""What people see while stages run: headings, progress, results; plain lines where there is no terminal."""

from __future__ import annotations

__all__ = [
    "Progress",
    "console",
    "make_console",
    "plain",
    "progress",
    "result",
    "run_command",
    "run_stage",
    "stage",
    "table",
    "verbose",
    "warning",
]

import errno
import functools
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, ParamSpec

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from pipeline.errors import PipelineError
from pipeline.turns import alone

P = ParamSpec("P")

PLAIN_SECONDS = 5.0  # between two progress lines where there is no terminal
WIDEST = 10_000  # characters of a table's row where there is no terminal
INTERRUPTED = 130  # the shell's exit status of a program that Ctrl-C stopped


def make_console(file: IO[str] | None = None) -> Console:
    """A console that wraps the cells of tables at the edge of a terminal alone."""
    made = Console(file=file, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = WIDEST
    return made


console = make_console()


def verbose() -> bool:
    """Whether the libraries' own messages are wanted: ``PIPELINE_VERBOSE=1``, which ``-v`` sets."""
    return os.environ.get("PIPELINE_VERBOSE", "0") not in ("", "0")


@contextmanager
def stage(title: str) -> Iterator[None]:
    """A heading, and when the block ends well, its wall time."""
    started = time.monotonic()
    console.print(f"\n[bold cyan]▸ {escape(title)}[/]")
    yield
    console.print(f"  [green]✓[/] {escape(title)} [dim]in {_seconds(time.monotonic() - started)}[/]")


def result(text: str) -> None:
    """The line that says what a stage has made."""
    console.print(f"  {escape(text)}")


def plain(text: str) -> None:
    """A line that another process has written."""
    console.print(escape(text))


def warning(text: str) -> None:
    """Something that is allowed and probably wrong."""
    console.print(f"  [bold yellow]! {escape(text)}[/]")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table: the first column is text, the others are numbers and stand right."""
    drawn = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        drawn.add_column(heading, justify="left" if i == 0 else "right")
    for row in rows:
        drawn.add_row(*(escape(str(cell)) for cell in row))
    console.print(drawn)


class Progress:
    """How far long work is; made by :func:`progress`.

    Arguments:
        total: units of work; ``None`` when nobody knows.
        unit: what is counted, in the plural: ``"rows"``.
        bar: the bar on a terminal, ``None`` prints plain lines.
    """

    def __init__(self, total: int | None, unit: str, bar: RichProgress | None) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self._bar = bar
        self._task = bar.add_task("", total=total, unit=unit, note="") if bar else None
        self._first = 0  # units that were there already: they say nothing about the rate
        self._started = self._printed = time.monotonic()

    def skip(self, count: int) -> None:
        """Units that an earlier run has done."""
        self._first += count
        self.advance(count)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Units that are done now, and a short remark such as a loss."""
        self.done += count
        now = time.monotonic()
        if self._bar and self._task is not None:
            rate = (self.done - self._first) / max(now - self._started, 1e-9)
            self._bar.update(self._task, completed=self.done, note=note, rate=rate)
        elif now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            console.print(escape(self._line(now, note)))

    def _line(self, now: float, note: str) -> str:
        rate = (self.done - self._first) / max(now - self._started, 1e-9)
        parts = [
            f"{self.done:,}" + (f"/{self.total:,}" if self.total else "") + f" {self.unit}",
            f"{_rate(rate)} {self.unit}/s",
        ]
        if self.total and rate > 0:
            parts.append(f"{_seconds((self.total - self.done) / rate)} left")
        return "  " + ", ".join([*parts, note] if note else parts)


class _RateColumn(ProgressColumn):
    """Units per second since this run began."""

    def render(self, task: Task) -> Text:
        return Text(f"{_rate(task.fields.get('rate', 0.0))} {task.fields['unit']}/s", style="cyan")


@contextmanager
def progress(total: int | None, unit: str = "rows") -> Iterator[Progress]:
    """A bar with rate and remaining time; without a terminal, a plain line every few seconds.

    Example:
        >>> with progress(2, "rows") as bar:
        ...     bar.advance(2)
    """
    if not console.is_terminal:
        yield Progress(total, unit, None)
        return
    columns = ("  ", BarColumn(30), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"), _RateColumn())
    with RichProgress(
        *columns,
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
        transient=True,
    ) as bar:
        yield Progress(total, unit, bar)


def run_command(main: Callable[P, None]) -> Callable[P, int]:
    """A command's function as one that returns an exit status; what users can mend is one line on stderr."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            main(*args, **kwargs)
        except PipelineError as error:
            return _fail(str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            where = error.filename or os.getcwd()
            return _fail(f"no space left on the device, in {where}: free some and run the same command again")
        except KeyboardInterrupt:
            return INTERRUPTED
        return 0

    return run


def run_stage(main: Callable[P, None]) -> Callable[P, int]:
    """A stage's function as :func:`run_command` does it; of two that make the same outputs the second waits.

    Example:
        ``if __name__ == "__main__": sys.exit(run_stage(main)())``
    """

    @run_command
    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            inspect.signature(main).bind(*args, **kwargs)
        except TypeError as error:
            expected = tuple(inspect.signature(main).parameters)
            raise PipelineError(f"expected the arguments {expected}, got {args}: {error}") from error
        turn = "-".join([Path(inspect.getfile(inspect.unwrap(main))).stem, *map(str, args)])
        with alone(turn, lambda: result(f"{turn} runs already: waiting for its end")):
            main(*args, **kwargs)

    return run


def _fail(message: str) -> int:
    """Print the one line; the traceback before it is for ``-v``."""
    if verbose():
        Console(stderr=True).print_exception()
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return 1


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"


def _seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
