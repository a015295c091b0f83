"""A cluster seen through its Jobs API: submit, watch, stop. What the network loses is asked for again."""

from __future__ import annotations

__all__ = ["Cluster", "RunningJob"]

import logging
import os
import re
import shlex
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import console
from pipeline.errors import PipelineError
from pipeline.scratch import fingerprint

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

T = TypeVar("T")
POLL_SECONDS = (0.5, 5.0)  # between two looks at a job: at first, and when it has run for a while
REQUEST_SECONDS = 60.0
STOP_SECONDS = 30.0
OWN_LINES = re.compile(r"^(\d{4}-\d\d-\d\d \S+\s+INFO job_manager\.py|Running entrypoint for job )")
ERROR = "error: "
SENDER = "sent-from"  # in a job's metadata: the folder that has submitted it


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that a cluster has not brought to its end.

    Attributes:
        name: its id.
        command: what it runs.
        ours: whether this folder has submitted it.
    """

    name: str
    command: str
    ours: bool


class Cluster:
    """The cluster behind a dashboard.

    Arguments:
        address: ``http://host:port``.
        patience: seconds until a dashboard that does not answer is given up.

    Raises:
        PipelineError: when it does not answer, or does not let us in.
    """

    def __init__(self, address: str, patience: float) -> None:
        self.address, self.patience = address, patience
        self.client = self._ask(lambda: _client(address))

    def run(self, job: str, command: Sequence[str], runtime_env: Mapping[str, Any]) -> None:
        """Bring a job to its end: the one that runs already, or a new one.

        Arguments:
            job: its id, to which the number of the attempt is added.
            command: what it runs.
            runtime_env: what it needs.

        Raises:
            PipelineError: when it fails or is stopped, or the cluster is gone.
        """
        attempts = {
            int(name.rpartition(".")[2]): status
            for name, status in self._statuses().items()
            if name.rpartition(".")[0] == job
        }
        last = max(attempts, default=0)
        runs = last in attempts and not attempts[last].is_terminal()
        attempt = f"{job}.{last if runs else last + 1}"
        try:
            if runs:
                console.result(f"{attempt} runs already: watching it")
            else:
                self._submit(attempt, command, runtime_env)
            self._watch(attempt)
        except KeyboardInterrupt:
            self.stop(attempt)
            raise

    def running(self) -> list[RunningJob]:
        """All jobs that have not ended, of this project or not."""
        return [
            RunningJob(name, job.entrypoint, (job.metadata or {}).get(SENDER) == _this_folder())
            for name, job in self._jobs().items()
            if not job.status.is_terminal()
        ]

    def _submit(self, job: str, command: Sequence[str], runtime_env: Mapping[str, Any]) -> None:
        def submit() -> None:
            if job not in self._statuses():  # the answer to an earlier try may have been lost
                self.client.submit_job(
                    entrypoint=shlex.join(command),
                    submission_id=job,
                    runtime_env=dict(runtime_env),
                    metadata={SENDER: _this_folder()},
                )

        self._ask(submit)
        console.result(f"submitted {job}")

    def _watch(self, job: str) -> None:
        """Print what a job says until it has ended; an error that nothing follows is raised instead."""
        started, printed, error = time.monotonic(), 0, ""
        while True:
            status = self._statuses().get(job)  # before the log, which is whole then if it has ended
            if status is None:
                raise PipelineError(
                    f"expected the job {job}, got a cluster that does not know it, at {self.address}: it was "
                    "started anew; run the same command again, what was finished is kept in the storage"
                )
            log = self._ask(lambda: self.client.get_job_logs(job)) or ""
            ended = status.is_terminal()
            whole = len(log) if ended else log.rfind("\n") + 1
            for line in log[printed:whole].splitlines():
                if OWN_LINES.match(line):
                    continue
                if error:
                    console.plain(error)
                error = line if line.startswith(ERROR) else ""
                if not error:
                    console.plain(line)
            printed = whole
            if ended:
                break
            time.sleep(min(POLL_SECONDS[1], POLL_SECONDS[0] + (time.monotonic() - started) / 60))
        if status.value != "SUCCEEDED":
            info = self._ask(lambda: self.client.get_job_info(job))
            said = (info.message or status.value).partition(", last available logs")[0]  # they were shown
            reason = " ".join(said.split())[:300]
            ending = f"expected a job that ends, got {reason!r}, of {job}: run the same command again"
            raise PipelineError(error.removeprefix(ERROR) or ending)

    def stop(self, job: str) -> None:
        """Stop a job, if it has been submitted, and wait until it has."""
        if job not in self._statuses():
            return
        console.result(f"stopping {job}")
        self._ask(lambda: self.client.stop_job(job))
        ends = time.monotonic() + STOP_SECONDS
        while time.monotonic() < ends:
            status = self._statuses().get(job)
            if status is None or status.is_terminal():
                return
            time.sleep(POLL_SECONDS[0])

    def _statuses(self) -> dict[str, JobStatus]:
        """Of the jobs that the cluster knows, by their ids."""
        return {name: job.status for name, job in self._jobs().items()}

    def _jobs(self) -> dict[str, JobDetails]:
        """What has been submitted; drivers that somebody has started otherwise have no id."""
        jobs = self._ask(lambda: self.client.list_jobs())
        return {job.submission_id: job for job in jobs if job.submission_id}

    def _ask(self, question: Callable[[], T]) -> T:
        """An answer, asked for again while there is none."""
        import requests
        from ray.exceptions import AuthenticationError

        ends = time.monotonic() + self.patience
        while True:
            try:
                return question()
            except AuthenticationError as error:
                raise PipelineError(
                    f"expected to be let in, got {str(error).splitlines()[0]!r}, at cluster.address "
                    f"{self.address}: put the cluster's token into RAY_AUTH_TOKEN, or name its file in "
                    "RAY_AUTH_TOKEN_PATH"
                ) from None
            except (ConnectionError, RuntimeError, requests.RequestException) as error:
                if time.monotonic() > ends:
                    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                    raise PipelineError(
                        f"expected a Ray cluster, got {reason[:200]!r} for {self.patience:g} s, at "
                        f"cluster.address {self.address}: see that it runs and that the tunnel to it is "
                        "open, and run the same command again; a job that runs goes on"
                    ) from error
            time.sleep(POLL_SECONDS[0])


def _this_folder() -> str:
    """What tells this folder of this machine from others, and says nothing else of it."""
    return fingerprint({"machine": socket.gethostname(), "user": os.getuid(), "folder": str(Path.cwd())})


def _client(address: str) -> JobSubmissionClient:
    """Ray's client, but it does not wait for ever."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.job_submission import JobSubmissionClient

    if not console.verbose():
        for name in ("ray", "ray.dashboard.modules.dashboard_sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what is an error is raised, too

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:  # noqa: ANN401
            return super()._do_request(method, endpoint, **{"timeout": REQUEST_SECONDS, **options})

    return Client(address)
