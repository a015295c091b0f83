"""What people see: plain lines without a terminal, one line for an error that users can mend."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import console
from pipeline.errors import PipelineError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage leaves the lock of its turn in its folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Everything that is printed; no terminal."""
    screen = io.StringIO()
    monkeypatch.setattr(console, "console", console.make_console(screen))
    return screen


def test_a_stage_says_its_name_and_its_wall_time(screen: io.StringIO) -> None:
    with console.stage("label"):
        console.result("10,000 rows in data/labels [50 %]")
    heading, outcome, time = screen.getvalue().strip().splitlines()
    assert "label" in heading
    assert outcome.strip() == "10,000 rows in data/labels [50 %]"
    assert "label in 0.0 s" in time


def test_a_warning_stands_out(screen: io.StringIO) -> None:
    console.warning("gender: nearly constant [0 … 0]")
    assert screen.getvalue() == "  ! gender: nearly constant [0 … 0]\n"


def test_a_stage_that_fails_prints_no_wall_time(screen: io.StringIO) -> None:
    with pytest.raises(PipelineError), console.stage("label"):
        raise PipelineError("no")
    assert "✓" not in screen.getvalue()


def test_short_work_prints_no_progress_line(screen: io.StringIO) -> None:
    with console.progress(100, "rows") as bar:
        for _ in range(100):
            bar.advance()
    assert screen.getvalue() == ""


def test_long_work_prints_a_plain_line_every_few_seconds(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    with console.progress(1000, "rows") as bar:
        bar.skip(100)  # an earlier run's rows say nothing about the rate
        for _ in range(11):
            bar.advance(50, "loss 0.5")
    lines = screen.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].strip() == "300/1,000 rows, 40 rows/s, 18 s left, loss 0.5"
    assert lines[1].strip() == "550/1,000 rows, 45 rows/s, 10 s left, loss 0.5"


def test_a_terminal_gets_a_bar_with_rate_and_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=screen, force_terminal=True, width=100))
    with console.progress(10, "rows") as bar:
        bar.advance(4, "loss 0.5")
        assert bar._bar is not None
        bar._bar.refresh()
    assert "4/10" in screen.getvalue()
    assert "rows/s" in screen.getvalue()


def test_a_table_keeps_text_left_and_numbers_right(screen: io.StringIO) -> None:
    console.table(["editor", "success"], [["styleae", 0.9], ["interfacegan", 0.75]])
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert lines[1].startswith("styleae ")
    assert lines[1].endswith(" 0.9")


def test_a_table_has_a_line_for_each_row_where_there_is_no_terminal(screen: io.StringIO) -> None:
    console.table(["trial", "score"], [["a, " * 100, 0.1], ["b", 0.2]])
    lines = screen.getvalue().splitlines()
    assert len(lines) == 3 and lines[1].startswith("a, a, a, ") and lines[1].endswith(" 0.1")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PipelineError("expected a,\n got b"), "error: expected a, got b"),
        (
            OSError(errno.ENOSPC, "No space left on device", "data/x"),
            "error: no space left on the device, in data/x",
        ),
    ],
)
def test_an_error_that_users_can_mend_is_one_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @console.run_stage
    def main() -> None:
        raise error

    assert main() == 1
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.count("\n") == 1


def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    @console.run_stage
    def main() -> None:
        raise KeyboardInterrupt

    assert main() == 130
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    @console.run_stage
    def main() -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        main()


def test_success_is_exit_status_0() -> None:
    assert console.run_stage(lambda: None)() == 0


@pytest.mark.parametrize(("value", "wanted"), [(None, False), ("0", False), ("", False), ("1", True)])
def test_verbose_is_asked_for_by_the_environment(
    value: str | None, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIPELINE_VERBOSE", raising=False)
    if value is not None:
        monkeypatch.setenv("PIPELINE_VERBOSE", value)
    assert console.verbose() is wanted
