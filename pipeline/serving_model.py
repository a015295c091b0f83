"""A registered editor as MLflow serves it: seeds or styles and strengths in, edited styles and images out.

MLflow keeps this file as the model's code ("models from code"), the networks beside it as safetensors and
this package as it is now, so that the model loads where there is no checkout and nothing is unpickled.

Input, one row per face: ``seed`` (a whole number) or ``w`` (``w_dim`` numbers), and a column per attribute
with the strength of its edit in standard deviations; what is missing is 0. Output: the edited ``w``, for an
editor of single layers one list of ``w_dim`` numbers for each style input, and, with the parameter
``return_images``, ``image``: a PNG in base64.
"""

from __future__ import annotations

__all__ = ["EditorModel"]

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from PIL import Image
from torch import Tensor

from pipeline.editors import load_editor
from pipeline.generators import load_generator
from pipeline.generators.base import per_layer
from pipeline.pixels import to_pixels
from pipeline.sampling import draw_styles

BATCH = 16  # images synthesized at once


class EditorModel(PythonModel):
    """Generator and editor in one model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read both networks from the model's artifacts."""
        self.editor = load_editor(context.artifacts["editor"])
        self.generator = load_generator(context.artifacts["generator"])
        self.truncation_psi = float(context.model_config["truncation_psi"])
        self.class_label = context.model_config.get("class_label")

    @torch.no_grad()
    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Edited styles, and images when ``params`` has ``return_images``; see the module."""
        w, num_ws = self.styles(model_input), self.generator.num_ws
        if self.editor.restricted:
            w = per_layer(w, num_ws).clone()
        for column in self.editor.columns:
            if column in model_input:
                strengths = torch.tensor(_numbers(model_input, column).fillna(0.0).to_numpy(dtype=np.float32))
                moved = strengths != 0  # an editor may change what it is told to leave: it is not asked to
                w[moved] = self.editor.edit_styles(w[moved], column, strengths[moved], num_ws)
        output = pd.DataFrame({"w": w.double().tolist()})
        if (params or {}).get("return_images"):
            output["image"] = [
                png for batch in w.split(BATCH) for png in map(_png, self.generator.synthesize(batch))
            ]
        return output

    def styles(self, rows: pd.DataFrame) -> Tensor:
        """Style vectors ``[N, w_dim]`` of the rows: what stands under ``w``, or the style of ``seed``."""
        seeds = _numbers(rows, "seed") if "seed" in rows else pd.Series(np.nan, rows.index)
        given = rows["w"] if "w" in rows else pd.Series(None, rows.index, dtype=object)
        return torch.stack([self._style(i, *row) for i, row in enumerate(zip(seeds, given, strict=True))])

    def _style(self, row: int, seed: float, w: Any) -> Tensor:  # noqa: ANN401
        if isinstance(w, (list, tuple, np.ndarray)):
            style = torch.tensor(np.asarray(w, dtype=np.float32))
            if style.shape != (self.generator.w_dim,) or not style.isfinite().all():
                expected, got = self.generator.w_dim, list(style.shape)
                _refuse(f"expected w of {expected} finite numbers, got shape {got}, in row {row}")
            return style
        if not (seed >= 0 and float(seed).is_integer()):
            _refuse(f"expected a whole number of 0 or more under 'seed', or 'w', got {seed}, in row {row}")
        return draw_styles(self.generator, int(seed), [0], self.truncation_psi, self.class_label)[0]


def _numbers(rows: pd.DataFrame, column: str) -> pd.Series:
    """A column as numbers, missing ones as NaN."""
    try:
        return pd.to_numeric(rows[column])
    except (TypeError, ValueError):
        _refuse(f"expected numbers under {column!r}, got {rows[column].tolist()[:3]}")
        raise


def _refuse(problem: str) -> None:
    """An error that the scoring server answers with status 400."""
    raise MlflowException.invalid_parameter_value(f"{problem}: correct the request")


def _png(img: Tensor) -> str:
    """``[3, H, W]`` in [-1, 1] as a PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(to_pixels(img[None])[0]).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


set_model(EditorModel())
