"""The comparison in tables and words."""

from __future__ import annotations

__all__ = ["COLUMNS", "Column", "markdown", "report_text", "write_csv"]

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config import Params

Row = Mapping[str, Any]

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


def _columns(prefix: str, *columns: tuple[str, str, int]) -> tuple[Column, ...]:
    return tuple(Column(prefix + name, heading, better) for name, heading, better in columns)


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

TABLES: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    (
        "Edits at matched strength",
        "Every attribute, every posed direction. An edit that does not reach its move counts as a failure; "
        "the distances are of those that do.",
        _columns("", ("success", "success", 1), ("unreached", "unreached", -1), *SINGLE),
    ),
    (
        "The edits that all have reached",
        "The same numbers on one set of edits: nobody is better for having left out the hard ones. An editor "
        "that reaches less than half of its moves has no say in what the set is, and no row.",
        _columns("common/", *SINGLE),
    ),
    (
        "Rare combinations",
        "Edits whose result, such as a beard on a woman, is like less than 1 % of the training rows.",
        _columns("rare/", ("success", "success", 1), ("unreached", "unreached", -1), *SINGLE[:4]),
    ),
    (
        "Latents from outside",
        "Styles drawn with a truncation above 1, which training has not seen.",
        _columns("outside/", ("success", "success", 1), ("unreached", "unreached", -1), *SINGLE[:4]),
    ),
    (
        "Inverted pictures",
        "Pictures that are not the generator's, as the styles whose images are nearest to them; edits are "
        "compared with those images. RMSE of inversion: how near the images are to the pictures.",
        _columns(
            "inverted/",
            ("success", "success", 1),
            ("unreached", "unreached", -1),
            *SINGLE[:4],
            ("inversion_rmse", "RMSE of inversion", 0),
        ),
    ),
    (
        "Five edits one after the other",
        "In three orders. Accuracy: the share of the five that the judge sees at the end. Consistency: how "
        "alike the ends of different orders are.",
        _columns(
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
    (
        "Sliders and realism",
        "Spearman of slider against judge, evenness of its steps, 1 - SSIM per σ along it; FID and KID of "
        "edited images against the originals in the features of the identity network.",
        _columns(
            "",
            ("sliders/spearman", "Spearman", 1),
            ("sliders/uniformity", "evenness", 1),
            ("sliders/path_length", "path length", -1),
            ("realism/fid", "FID", -1),
            ("realism/kid", "KID", -1),
        ),
    ),
    (
        "Attributes set to a value",
        "The paper's use: overwrite a coordinate, without calibration. Success under fixed thresholds of the "
        "judge; the distances on the edits in which all succeed.",
        _columns(
            "overwrite/",
            ("success", "success", 1),
            ("mse", "MSE", -1),
            ("psnr", "PSNR", 1),
            ("ssim", "SSIM", 1),
            ("lpips", "LPIPS", -1),
            ("identity", "identity", 1),
        ),
    ),
    (
        "The code",
        "Of code against judge. The attribute coordinates of a linear editor are a regression, the rest is w "
        "itself: high completeness is no merit there.",
        _columns(
            "code/",
            ("dci_disentanglement", "disentanglement", 1),
            ("dci_completeness", "completeness", 1),
            ("dci_informativeness", "informativeness", 1),
            ("mig", "MIG", 1),
            ("sap", "SAP", 1),
        ),
    ),
    (
        "Cost",
        "Seconds of training, to the best validation loss and to within 5 % of it; milliseconds of a call of "
        "`edit`.",
        _columns(
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


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Rows as they are; what a row does not have stays empty."""
    heading = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, heading, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def markdown(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """A table for people: ``0.953 [0.946, 0.960]``."""
    return _table(rows, [Column(name, name, 0) for name in columns])


def report_text(
    rows: Sequence[Row],
    apart: Mapping[str, Row],
    failures: Sequence[Row],
    params: Params,
    facts: Mapping[str, str],
) -> str:
    """The whole report, in Markdown; pictures are beside it.

    Arguments:
        rows: one for each editor.
        apart: the first editor minus each other one.
        failures: how often each failure is there, by editor, attribute and direction.
        params: all parameters.
        facts: date, commit, machine.
    """
    ours, count, delta = rows[0]["editor"], rows[0]["count"], params.evaluate.delta
    seeds = params.compare.seeds or (params.train.seed,)
    about = (
        f"{len(rows)} editors of `{params.generator.name}` on {count:g} test latents, moves of {delta:g} σ "
        f"unless said otherwise, training seeds {', '.join(map(str, seeds))}. `docs/protocol.md` says what "
        "each number means; brackets are 95 % bootstrap intervals, the best of a column is bold.\n"
    )
    parts = ["# Editors side by side\n", about, _facts(facts)]
    for title, text, columns in TABLES:
        known = [column for column in columns if any(column.name in row for row in rows)]
        if known:
            parts.append(f"## {title}\n\n{text}\n\n{_table(rows, known)}")
        if title == TABLES[0][0]:
            curves = ("curves",) if len(params.evaluate.deltas) > 1 else ()
            parts += [_apart(ours, apart), *map(_picture, ("bars", *curves, "success", "edits"))]
        if title == TABLES[-1][0]:
            parts.append(_picture("cost"))
    parts.append(_failures(rows, failures))
    return "\n".join(parts)


def _apart(ours: str, apart: Mapping[str, Row]) -> str:
    """How the first editor differs from each other one, on the same latents."""
    names = (("success", "success", 0), *SINGLE[:4])
    rows = [{"editor": f"{ours} − {other}", **numbers} for other, numbers in apart.items()]
    if not rows:
        return ""
    table = _table(rows, _columns("", *names), bold=False)
    return f"Differences on the same latents, which are sharper than two intervals:\n\n{table}"


def _failures(rows: Sequence[Row], failures: Sequence[Row]) -> str:
    """The share of edits with each failure, and the galleries."""
    kinds = list(dict.fromkeys(row["failure"] for row in failures))
    table = []
    for row in rows:
        shares: dict[str, Any] = {"editor": row["editor"]}
        for kind in kinds:
            mine = [f for f in failures if f["failure"] == kind and f["editor"] == row["editor"]]
            shares[kind] = sum(f["count"] for f in mine) / max(1, sum(f["edits"] for f in mine))
        table.append(shares)
    links = ", ".join(f"[{row['editor']}](figures/failures/{row['editor']}.png)" for row in rows)
    return (
        "## What went wrong\n\n"
        "Shares of the posed edits; `failures.csv` has them by attribute and direction.\n\n"
        f"{_table(table, [Column(kind, kind, -1) for kind in kinds])}\n"
        f"The worst of each kind in pictures: {links}.\n"
    )


def _facts(facts: Mapping[str, str]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in facts.items())


def _picture(name: str) -> str:
    return f"![{name}](figures/{name}.png)\n"


def _table(rows: Sequence[Row], columns: Sequence[Column], bold: bool = True) -> str:
    """Rows of editors; the best of a column is bold, if one is better."""
    best = {}
    for column in columns:
        values = [row[column.name] * column.better for row in rows if column.name in row]
        best[column.name] = max(values) if bold and column.better and len(values) > 1 else None
    lines = [["editor", *(column.heading for column in columns)], ["---", *["---:"] * len(columns)]]
    for row in rows:
        cells = []
        for name, _, better in columns:
            strong = best[name] is not None and name in row and row[name] * better == best[name]
            cells.append(f"**{_cell(row, name)}**" if strong else _cell(row, name))
        lines.append([row["editor"], *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(row: Row, name: str) -> str:
    if name not in row:
        return ""
    if f"{name}_low" not in row:
        return _short(row[name])
    return f"{_short(row[name])} [{_short(row[f'{name}_low'])}, {_short(row[f'{name}_high'])}]"


def _short(value: float) -> str:
    """Three significant digits, no exponent for the numbers that stand in these tables."""
    if 0 < abs(value) < 1e-4:
        return f"{value:.6f}"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
