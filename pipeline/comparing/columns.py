"""What the report of a comparison shows: its tables, their columns, and which way is better."""

from __future__ import annotations

__all__ = ["COLUMNS", "SINGLE", "TABLES", "TRIED", "Column", "Table", "group"]

from typing import NamedTuple

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
    """

    name: str
    heading: str
    better: int


def group(prefix: str, *each: tuple[str, str, int]) -> tuple[Column, ...]:
    """Columns of one group of numbers, ``prefix`` before their names."""
    return tuple(Column(prefix + name, heading, better) for name, heading, better in each)


SINGLE = (
    ("dependency", "dependency", -1),
    ("dependency_max", "largest", -1),
    ("identity", "identity", 1),
    ("rmse", "RMSE", -1),
    ("psnr", "PSNR", 1),
    ("ssim", "SSIM", 1),
    ("lpips", "LPIPS", -1),
    ("style_distance", "distance of w", -1),
)
TRIED = (("success", "success", 1), ("unreached", "unreached", -1))


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
            ("inversion_rmse", "RMSE of inversion", 0),
        ),
    ),
    Table(
        "Five edits one after the other",
        "In three orders. Accuracy: the share of the five that the judge sees at the end. Consistency: how "
        "alike the ends of different orders are.",
        group(
            "",
            ("sequence/step_1/accuracy", "accuracy of 1", 1),
            ("sequence/step_5/accuracy", "accuracy of 5", 1),
            ("sequence/step_5/dependency", "dependency", -1),
            ("sequence/step_1/identity", "identity after 1", 1),
            ("sequence/step_5/identity", "after 5", 1),
            ("sequence/step_1/fid", "FID after 1", -1),
            ("sequence/step_5/fid", "after 5", -1),
            ("consistency/identity", "consistency", 1),
            ("consistency/rmse", "RMSE of orders", -1),
        ),
    ),
    Table(
        "Sliders and realism",
        "Spearman of slider against judge, evenness of its steps, 1 - SSIM per σ along it; FID and KID of "
        "edited images against the originals in the features of the identity network.",
        group(
            "",
            ("sliders/spearman", "Spearman", 1),
            ("sliders/uniformity", "evenness", 1),
            ("sliders/path_length", "path length", -1),
            ("realism/fid", "FID", -1),
            ("realism/kid", "KID", -1),
        ),
    ),
    Table(
        "Attributes set to a value",
        "The paper's use: overwrite a coordinate, without calibration. Success under fixed thresholds of the "
        "judge, which what goes too far passes, too; error, the distance from the value in σ; the other "
        "distances on the edits in which all succeed.",
        group(
            "overwrite/",
            ("success", "success", 1),
            ("error", "error", -1),
            ("mse", "MSE", -1),
            ("psnr", "PSNR", 1),
            ("ssim", "SSIM", 1),
            ("lpips", "LPIPS", -1),
            ("identity", "identity", 1),
        ),
    ),
    Table(
        "The code",
        "Of code against judge. The attribute coordinates of a linear editor are a regression, the rest is w "
        "itself: high completeness is no merit there.",
        group(
            "code/",
            ("dci_disentanglement", "disentanglement", 1),
            ("dci_completeness", "completeness", 1),
            ("dci_informativeness", "informativeness", 1),
            ("mig", "MIG", 1),
            ("sap", "SAP", 1),
        ),
    ),
    Table(
        "Cost",
        "Seconds of training, to the best validation loss and to within 5 % of it; milliseconds of a call of "
        "`edit`.",
        group(
            "",
            ("reconstruction/psnr", "reconstruction PSNR", 1),
            ("parameters", "parameters", 0),
            ("train_seconds", "training s", -1),
            ("seconds_to_best", "to best", -1),
            ("seconds_to_near_best", "to near it", -1),
            ("peak_mib", "peak MiB", -1),
            ("edit_ms_1", "ms / edit", -1),
            ("edit_ms_1024", "ms / 1024", -1),
            ("evaluate_seconds", "evaluation s", 0),
        ),
    ),
)
