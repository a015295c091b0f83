"""The comparison in tables and words."""

from __future__ import annotations

__all__ = ["markdown", "report_text", "write_csv"]

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.comparing.columns import SINGLE, TABLES, TRIED, Column, group
from pipeline.comparing.standings import ABLE
from pipeline.config import Params

Row = Mapping[str, Any]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Rows as they are; what a row does not have stays empty."""
    heading = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, heading, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def markdown(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """A table for people: ``0.953 [0.946, 0.960]``, the best of a column in bold."""
    known = {column.name: column for table in TABLES for column in table.columns}
    return _table(rows, [known.get(name, Column(name, name, 0))._replace(heading=name) for name in columns])


def report_text(
    rows: Sequence[Row],
    trainings: Sequence[Row],
    apart: Mapping[str, Row],
    failures: Sequence[Row],
    params: Params,
    facts: Mapping[str, str],
) -> str:
    """The whole report, in Markdown; pictures are beside it.

    Arguments:
        rows: one for each editor.
        trainings: one for each training of editors that have several.
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
        "each number means; brackets are 95 % bootstrap intervals, the best of a column is bold (of editors "
        "that reach at least half of their moves).\n"
    )
    parts = ["# Editors side by side\n", about, _facts(facts)]
    for table in TABLES:
        known = [column for column in table.columns if any(column.name in row for row in rows)]
        if known:
            parts.append(f"## {table.title}\n\n{table.text}{_count(rows, known)}\n\n{_table(rows, known)}")
        if table is TABLES[0]:
            curves = ("curves",) if len(params.evaluate.deltas) > 1 else ()
            parts += [
                _trainings(trainings),
                _apart(ours, apart),
                *map(_picture, ("bars", *curves, "success", "edits")),
            ]
        if table is TABLES[-1]:
            parts.append(_picture("cost"))
    parts += [_ahead(rows), _failures(rows, failures)]
    return "\n".join(filter(None, parts))


def _count(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """How many edits a table is of, where that is known and the same for all."""
    prefix, slash, _ = columns[0].name.rpartition("/")
    name = f"{prefix}{slash}edits"
    counts = {row[name] for row in rows if name in row}
    return f" {counts.pop():,.0f} edits." if len(counts) == 1 else ""


def _trainings(rows: Sequence[Row]) -> str:
    """The trainings that the rows above are pooled over, each by itself."""
    if not rows:
        return ""
    table = _table(rows, group("", *TRIED, *SINGLE[:4]), bold=False)
    return f"Each training by itself, intervals over latents alone:\n\n{table}"


def _apart(ours: str, apart: Mapping[str, Row]) -> str:
    """How the first editor differs from each other one, on the same latents."""
    names = (Column("success", "success", 0), *SINGLE[:4])
    rows = [{"editor": f"{ours} − {other}", **numbers} for other, numbers in apart.items()]
    if not rows:
        return ""
    table = _table(rows, group("", *names), bold=False)
    return f"Differences on the same latents, which are sharper than two intervals:\n\n{table}"


def _ahead(rows: Sequence[Row]) -> str:
    """Every number in which another editor is better than the first one; with intervals, these apart."""
    ours, others = rows[0], [row for row in rows[1:] if _able(row)]
    lines = []
    for table in TABLES:
        for column in table.columns:
            better = [row for row in others if _is_ahead(row, ours, column)]
            better.sort(key=lambda row: -column.merit(row[column.name]))
            if better:
                cells = "; ".join(f"{row['editor']} {_cell(row, column.name)}" for row in better)
                number = f"{table.title}: {column.heading}"
                lines.append(f"| {number} | {_cell(ours, column.name)} | {cells} |\n")
    title = f"## Where another editor is better than {ours['editor']}\n\n"
    if not lines:
        return f"{title}Nowhere.\n"
    text = "Every such number of the tables above; where both have an interval, only if they are apart.\n\n"
    return f"{title}{text}| number | {ours['editor']} | better |\n| --- | ---: | --- |\n{''.join(lines)}"


def _is_ahead(row: Row, ours: Row, column: Column) -> bool:
    """Whether a row has the better number; never where one has none, or neither more nor less is better."""
    if not column.better or column.name not in row or column.name not in ours:
        return False
    return column.merits(row)[0] > column.merits(ours)[1]


def _failures(rows: Sequence[Row], failures: Sequence[Row]) -> str:
    """The share of edits with each failure, and the galleries."""
    links = ", ".join(f"[{row['editor']}](figures/failures/{row['editor']}.png)" for row in rows)
    rare = any(row["rare_edits"] for row in failures)
    return (
        "## What went wrong\n\n"
        "Shares of the posed edits; `failures.csv` has them by attribute and direction.\n\n"
        f"{_shares(rows, failures, 'count', 'edits')}\n"
        + (
            f"Of rare combinations alone:\n\n{_shares(rows, failures, 'rare', 'rare_edits')}\n"
            if rare
            else ""
        )
        + f"The worst of each kind in pictures: {links}.\n"
    )


def _shares(rows: Sequence[Row], failures: Sequence[Row], count: str, edits: str) -> str:
    """A table of each kind of failure: ``count`` over ``edits``, two columns of ``failures``."""
    kinds = list(dict.fromkeys(row["failure"] for row in failures))
    table = []
    for row in rows:
        shares = {name: row[name] for name in ("editor", "unreached") if name in row}
        for kind in kinds:
            mine = [f for f in failures if f["failure"] == kind and f["editor"] == row["editor"]]
            shares[kind] = sum(f[count] for f in mine) / max(1, sum(f[edits] for f in mine))
        table.append(shares)
    return _table(table, [Column(kind, kind, -1) for kind in kinds])


def _facts(facts: Mapping[str, str]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in facts.items())


def _picture(name: str) -> str:
    return f"![{name}](figures/{name}.png)\n"


def _table(rows: Sequence[Row], columns: Sequence[Column], bold: bool = True) -> str:
    """Rows of editors; the best of a column is bold, if one is better, among those that are able."""
    best = {}
    for column in columns:
        values = [column.merit(row[column.name]) for row in rows if column.name in row and _able(row)]
        best[column.name] = max(values) if bold and column.better and len(values) > 1 else None
    lines = [["editor", *(column.heading for column in columns)], ["---", *["---:"] * len(columns)]]
    for row in rows:
        cells = []
        for column in columns:
            text, top = _cell(row, column.name), best[column.name]
            strong = top is not None and text and _able(row) and column.merit(row[column.name]) == top
            cells.append(f"**{text}**" if strong else text)
        lines.append([row["editor"], *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _able(row: Row) -> bool:
    """Whether an editor reaches its moves: of one that hardly moves anything no number is a merit."""
    return bool(row.get("unreached", 0.0) <= 1 - ABLE)


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
