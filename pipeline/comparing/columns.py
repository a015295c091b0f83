"""What the report of a comparison shows: its tables, their columns, and which way is better."""

from __future__ import annotations

__all__ = ["COLUMNS", "SINGLE", "TABLES", "TRIED", "Column", "Table", "group"]

from collections.abc import Mapping
from typing import Any, NamedTuple

COLUMNS = (
    "success",
    "dependency",
    "identity",
    "rmse",
    "psnr",
    "ssim",
    "unreached",
    "reconstruction/psnr",
    "train_seconds",
)
"""The usual columns of the short table."""


class Column(NamedTuple):
    """A column of a table of the report.

    Attributes:
        name: the key in a row.
        heading: what the table calls it.
        better: +1 when more is better, -1 when less is, 0 for neither: the best is set in bold.
        ideal: what less is counted from, to either side; ``None`` for the number itself.
    """

    name: str
    heading: str
    better: int
    ideal: float | None = None

    def merit(self, value: float) -> float:
        """What is greater for better values."""
        return self.better * (value if self.ideal is None else abs(value - self.ideal))

    def merits(self, row: Mapping[str, Any]) -> tuple[float, float]:
        """The least and the greatest merit that a row's interval allows; without one, its own twice."""
        ends = [row[end] for end in (f"{self.name}_low", f"{self.name}_high") if end in row]
        low, high = ends if len(ends) == 2 else [row[self.name]] * 2
        found = [self.merit(low), self.merit(high)]
        if self.ideal is not None and low <= self.ideal <= high:
            found.append(0.0)
        return min(found), max(found)


def group(prefix: str, *each: Column) -> tuple[Column, ...]:
    """Columns of one group of numbers, ``prefix`` before their names."""
    return tuple(column._replace(name=prefix + column.name) for column in each)


SINGLE = (
    Column("dependency", "dependency", -1),
    Column("dependency_max", "largest", -1),
    Column("identity", "identity", 1),
    Column("rmse", "RMSE", -1),
    Column("psnr", "PSNR", 1),
    Column("ssim", "SSIM", 1),
    Column("lpips", "LPIPS", -1),
    Column("style_distance", "distance of w", -1, ideal=1.0),
)
TRIED = (Column("success", "success", 1), Column("unreached", "unreached", -1))


class Table(NamedTuple):
    """A table of the report: its title, what is to be known of it, and its columns."""

    title: str
    text: str
    columns: tuple[Column, ...]


TABLES = (
    Table(
        "Edits at matched strength",
        "Every attribute, every posed direction. An edit that does not reach its move counts as a failure; "
        "the distances are of those that do.",
        group("", *TRIED, *SINGLE),
    ),
    Table(
        "The edits that all have reached",
        "The same numbers on one set of edits: nobody is better for having left out the hard ones. An editor "
        "that reaches less than half of its moves has no say in what the set is, and no row.",
        group("common/", *SINGLE),
    ),
    Table(
        "Rare combinations",
        "Edits whose result, such as a beard on a woman, is like less than 1 % of the training rows.",
        group("rare/", *TRIED, *SINGLE[:4]),
    ),
    Table(
        "Latents from outside",
        "Styles drawn with a truncation above 1, which training has not seen.",
        group("outside/", *TRIED, *SINGLE[:4]),
    ),
    Table(
        "Inverted pictures",
        "Pictures that are not the generator's, as the styles whose images are nearest to them; edits are "
        "compared with those images. RMSE of inversion: how near the images are to the pictures.",
        group(
            "inverted/",
            *TRIED,
            *SINGLE[:4],
            Column("inversion_rmse", "RMSE of inversion", 0),
        ),
    ),
    Table(
        "Five edits one after the other",
        "In three orders. Accuracy: the share of the five that the judge sees at the end. Consistency: how "
        "alike the ends of different orders are.",
        group(
            "",
            Column("sequence/step_1/accuracy", "accuracy of 1", 1),
            Column("sequence/step_5/accuracy", "accuracy of 5", 1),
            Column("sequence/step_5/dependency", "dependency", -1),
            Column("sequence/step_1/identity", "identity after 1", 1),
            Column("sequence/step_5/identity", "after 5", 1),
            Column("sequence/step_1/fid", "FID after 1", -1),
            Column("sequence/step_5/fid", "after 5", -1),
            Column("consistency/identity", "consistency", 1),
            Column("consistency/rmse", "RMSE of orders", -1),
        ),
    ),
    Table(
        "Sliders and realism",
        "Spearman of slider against judge, evenness of its steps, 1 - SSIM per σ along it; FID and KID of "
        "edited images against the originals in the features of the identity network (KID is an estimate, "
        "0 on average where there is no difference: such small ones do not say who is better).",
        group(
            "",
            Column("sliders/spearman", "Spearman", 1),
            Column("sliders/uniformity", "evenness", 1),
            Column("sliders/path_length", "path length", -1),
            Column("realism/fid", "FID", -1),
            Column("realism/kid", "KID", 0),
        ),
    ),
    Table(
        "Attributes set to a value",
        "The paper's use: overwrite a coordinate, without calibration. Success under fixed thresholds of the "
        "judge, which what goes too far passes, too; error, the distance from the value in σ; the other "
        "distances on the edits in which all succeed.",
        group(
            "overwrite/",
            Column("success", "success", 1),
            Column("error", "error", -1),
            Column("mse", "MSE", -1),
            Column("psnr", "PSNR", 1),
            Column("ssim", "SSIM", 1),
            Column("lpips", "LPIPS", -1),
            Column("identity", "identity", 1),
        ),
    ),
    Table(
        "The code",
        "Of code against judge. The attribute coordinates of a linear editor are a regression, the rest is w "
        "itself: high completeness is no merit there.",
        group(
            "code/",
            Column("dci_disentanglement", "disentanglement", 1),
            Column("dci_completeness", "completeness", 1),
            Column("dci_informativeness", "informativeness", 1),
            Column("mig", "MIG", 1),
            Column("sap", "SAP", 1),
        ),
    ),
    Table(
        "Cost",
        "Seconds of training, to the best validation loss and to within 5 % of it: where the best is at the "
        "end, the limit of epochs has ended the training. Milliseconds of a call of `edit`, by one unit.",
        group(
            "",
            Column("reconstruction/psnr", "reconstruction PSNR", 1),
            Column("parameters", "parameters", 0),
            Column("train_seconds", "training s", -1),
            Column("seconds_to_best", "to best", -1),
            Column("seconds_to_near_best", "to near it", -1),
            Column("peak_mib", "peak MiB", -1),
            Column("edit_ms_1", "ms / edit", -1),
            Column("edit_ms_1024", "ms / 1024", -1),
            Column("evaluate_seconds", "evaluation s", 0),
        ),
    ),
)
