"""The MLflow store: where it is, whether it answers, and its experiment.

MLflow takes seconds to import, so it is imported where it is used. A database in a local file keeps its
artifacts in a folder beside it; a server decides for itself where its artifacts go.
"""

from __future__ import annotations

__all__ = [
    "Store",
    "mlflow_errors",
    "open_experiment",
    "open_store",
    "quieten",
    "shown",
    "store_of",
    "tracking_uri",
]

import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Params
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

SQLITE = "sqlite:///"
TRIES, TRY_SECONDS = 2, 5.0


@dataclass(frozen=True, slots=True)
class Store:
    """An experiment in an MLflow store; plain text that travels to other processes and means the same there.

    Attributes:
        uri: the tracking URI; a SQLite path in it is absolute.
        experiment: the experiment's name.
        artifacts: absolute folder for the artifacts of a local database, or ``None`` where a server decides.
    """

    uri: str
    experiment: str
    artifacts: str | None


def tracking_uri(params: Params) -> str:
    """The tracking URI: ``MLFLOW_TRACKING_URI`` or ``tracking.uri``, a relative SQLite path made absolute."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or params.tracking.uri
    if uri.startswith(SQLITE):
        return SQLITE + str(Path(uri.removeprefix(SQLITE)).absolute())
    return uri


def shown(uri: str) -> str:
    """A URI for messages, without the password that it may hold."""
    return uri if uri.startswith(SQLITE) else re.sub(r"//.*@", "//", uri)  # it may hold a slash


def store_of(params: Params) -> Store:
    """The store that these parameters name; nothing is asked of it yet."""
    uri = tracking_uri(params)
    local = str(Path(params.tracking.artifacts).absolute()) if uri.startswith(SQLITE) else None
    return Store(uri, params.publish.experiment, local)


def open_store(params: Params) -> Store:
    """The store that these parameters name, found to answer.

    Raises:
        PipelineError: when a server does not answer.
    """
    store = store_of(params)
    check_server(store.uri)
    return store


def check_server(uri: str) -> None:
    """Refuse a server that gives no answer, within seconds: MLflow's own retries take minutes.

    A local database is not asked; the folder that it needs is made.
    """
    quieten()
    if uri.startswith(SQLITE):
        Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    if not uri.startswith(("http://", "https://")):
        return
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=TRY_SECONDS):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return  # it answers; whether it lets us in, the first real request tells
            reason = str(error)
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "reason", error))
        if attempt + 1 < TRIES:
            time.sleep(0.5)
    raise PipelineError(
        f"expected an MLflow server, got no answer ({reason}), at {shown(uri)}: start it or correct "
        "MLFLOW_TRACKING_URI; nothing is lost, run `dvc repro publish` again"
    )


def quieten() -> None:
    """Keep MLflow and its database migrations from talking, unless the libraries' messages are wanted."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if os.environ.get("PIPELINE_VERBOSE", "0") in ("", "0"):
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """What MLflow, its database or its connection raise, as one line that names the store."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise PipelineError(
            f"MLflow refused ({reason}), at {shown(uri)}: mend the store, nothing is lost, run the same again"
        ) from error


def open_experiment(client: MlflowClient, store: Store) -> str:
    """The id of the store's experiment, which is created when it is not there.

    Raises:
        PipelineError: when the experiment was deleted, or belongs to another folder.
    """
    experiment = client.get_experiment_by_name(store.experiment) or _create_experiment(client, store)
    if experiment.lifecycle_stage == "deleted":
        raise PipelineError(
            f"expected the experiment {store.experiment!r}, got a deleted one, at {shown(store.uri)}: "
            "restore it in MLflow or choose another publish.experiment"
        )
    location = experiment.artifact_location.removeprefix("file://")
    if store.artifacts is not None and location != store.artifacts:
        raise PipelineError(
            f"expected artifacts of experiment {store.experiment!r} in {store.artifacts}, got {location}, "
            f"at {shown(store.uri)}: the folder was moved; move it back, or choose another publish.experiment"
        )
    return str(experiment.experiment_id)


def _create_experiment(client: MlflowClient, store: Store) -> Experiment:
    """A new experiment; of two that train at once, the second takes what the first has made."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(store.experiment, store.artifacts))
    except MlflowException as error:
        if (experiment := client.get_experiment_by_name(store.experiment)) is None:
            raise error
        return experiment
