"""``python -m pipeline compose``: params.yaml from conf/."""

from __future__ import annotations

__all__ = ["compose"]

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline import console
from pipeline.config import parse_params
from pipeline.errors import PipelineError


def compose(
    overrides: Sequence[str] = (),
    out: str | Path = "params.yaml",
    conf: str | Path = "conf",
    config: str = "config",
) -> None:
    """Write what Hydra composes, in the form in which ``dvc exp run`` writes it; checked before it is kept.

    Arguments:
        overrides: Hydra overrides, such as ``"editor=[styleae]"``.
        out: the file to write.
        conf: the folder of the groups.
        config: the file in it to begin with, without its ending.

    Raises:
        PipelineError: when Hydra refuses, or the composed values are not valid parameters; ``out`` stays.
    """
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    out = Path(out)
    with tempfile.TemporaryDirectory(dir=out.resolve().parent, prefix=".compose.") as scratch:
        composed = Path(scratch) / "params.yaml"
        try:
            compose_and_dump(
                composed, str(Path(conf).resolve()), None, config, str(Path.cwd()), list(overrides)
            )
        except (HydraException, OmegaConfBaseException) as error:
            raise PipelineError(f"expected a configuration from {conf}/, got an error: {error}") from None
        parse_params(composed.read_text(), f"{conf}/")
        os.replace(composed, out)
    console.result(f"composed {out} from {conf}/")
