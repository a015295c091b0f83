"""Tables and curves of ``docs/performance.md`` and ``docs/scale.md``, from the benchmarks' JSON files.

What stands between ``<!-- table: script/name -->`` (or ``<!-- facts: script -->``) and ``<!-- end -->`` is
written here, so that no figure is copied by hand; the words around it are people's. Run it as
``python -m benchmarks.page``.
"""

from __future__ import annotations

__all__ = ["CURVES", "Curve", "draw", "draw_goodput", "fill", "main"]

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, PercentFormatter, StrMethodFormatter

from benchmarks.goodput import DRAWN, MTBF_HOURS
from benchmarks.harness import RESULTS, Results, read_results, table_of
from pipeline import console
from pipeline.errors import PipelineError
from pipeline.figures import DPI, MUTED, SERIES, STYLE, blank, save

PAGES = (Path("docs/performance.md"), Path("docs/scale.md"))
CHARTS = Path("docs/performance")
GOODPUT = CHARTS / "goodput.png"
BLOCK = re.compile(r"(<!-- (table|facts): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
SPAN = 5.0  # least ratio of the ends of a chart's vertical axis
SHOWN_FACTS = ("date", "processor", "threads", "gflops", "gigabytes_per_second", "torch")


@dataclass(frozen=True, slots=True)
class Curve:
    """A chart of a table: rates against a label, a line for each name.

    Attributes:
        script: whose results.
        table: which of its tables.
        x: the label on the horizontal axis.
        title: the heading.
    """

    script: str
    table: str
    x: str
    title: str


CURVES: tuple[Curve, ...] = (
    Curve("synthesis", "resolution", "resolution", "Synthesis, config-f, one image at a time"),
    Curve("synthesis", "batch", "batch", "Synthesis, 64×64, against the batch"),
    Curve("labelling", "rows", "rows", "Stages with tiny networks, two actors"),
    Curve("training", "attributes", "attributes", "Training: a step against the number of attributes"),
    Curve("training", "width", "w_dim", "Training: a step against w_dim"),
    Curve("editing", "width", "w_dim", "Edits against w_dim, 16 at once"),
    Curve("editing", "attributes", "attributes", "Edits against the number of attributes, 16 at once"),
    Curve("evaluation", "attributes", "attributes", "Evaluation against the number of attributes"),
)


def main() -> None:
    """Fill the pages and draw the charts."""
    results = read_results(RESULTS)
    for page in PAGES:
        page.write_text(fill(page.read_text(), results))
    for curve in CURVES:
        draw(CHARTS / f"{curve.script}-{curve.table}.png", curve, results)
    draw_goodput(GOODPUT, results)
    console.result(f"{', '.join(map(str, PAGES))}, {len(CURVES) + 1} charts in {CHARTS}")


def fill(page: str, results: Results) -> str:
    """The page with every block as the results have it.

    Raises:
        PipelineError: when a block names a result that is not there.
    """

    def block(found: re.Match[str]) -> str:
        script, _, table = found[3].partition("/")
        try:
            content = results[script]
            text = _table(content["tables"][table]) if found[2] == "table" else _facts(content["facts"])
        except KeyError as error:
            raise PipelineError(
                f"expected results of {found[3]}, got none of {error}, in {RESULTS}: "
                f"run `python -m benchmarks.{script}`"
            ) from None
        return f"{found[1]}{text}\n{found[4]}"

    return BLOCK.sub(block, page)


def _table(table: Mapping[str, Any]) -> str:
    headings, rows = table_of(dict(table))
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _facts(facts: Mapping[str, Any]) -> str:
    named = [f"{key.replace('_', ' ')} {facts[key]}" for key in SHOWN_FACTS]
    return f"*{', '.join(named)}, commit {facts['mlflow.source.git.commit'][:9]}.*"


def draw(path: Path, curve: Curve, results: Results) -> None:
    """One chart, both axes logarithmic; the bands are the lowest and the highest round."""
    table = results[curve.script]["tables"][curve.table]
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in table["rows"]:
        if row["rate"] is not None:
            lines.setdefault(row["name"], []).append(row)
    with matplotlib.rc_context(STYLE):
        figure = blank(6.4 * DPI, 3.6 * DPI)
        axes = figure.add_axes((0.16, 0.16, 0.56, 0.7))
        for (name, rows), colour in zip(lines.items(), SERIES * 2, strict=False):
            at, rate, low, high = ([row[key] for row in rows] for key in (curve.x, "rate", "low", "high"))
            axes.plot(at, rate, "o-", color=colour, label=name, ms=4)
            axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
        axes.set(xscale="log", yscale="log", xlabel=curve.x, ylabel=f"{table['unit']}/s")
        places = sorted({row[curve.x] for rows in lines.values() for row in rows})
        axes.set_xticks(places, [f"{place:,}" for place in places])
        _show_at_least(axes, SPAN)
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0, labelcolor=MUTED)
        axes.set_title(curve.title)
        save(figure, path)


def _show_at_least(axes: Axes, span: float) -> None:
    """Widen the vertical axis to a ratio of ``span``: what is flat should look flat."""
    low, high = axes.get_ylim()
    missing = max(1.0, span * low / high) ** 0.5
    axes.set_ylim(low / missing, high * missing)


def draw_goodput(path: Path, results: Results) -> None:
    """Goodput against the time between failures, a line for each size of a shard."""
    rows = results["goodput"]["tables"]["mtbf"]["rows"]
    with matplotlib.rc_context(STYLE):
        figure = blank(6.4 * DPI, 3.6 * DPI)
        axes = figure.add_axes((0.12, 0.16, 0.62, 0.7))
        for shard, colour in zip(DRAWN, SERIES, strict=False):
            goodput = [row[f"{shard:,}"] for row in rows]
            axes.plot(MTBF_HOURS, goodput, "o-", color=colour, label=f"{shard:,} rows", ms=4)
        axes.set(xscale="log", ylim=(0, 1), xlabel="hours between failures of a machine", ylabel="goodput")
        axes.set_xticks(MTBF_HOURS)
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0, labelcolor=MUTED)
        axes.set_title("Goodput of 1,000 GPUs, 10⁸ latents")
        save(figure, path)


if __name__ == "__main__":
    main()
