"""The command line: ``python -m pipeline COMMAND``. Commands import what they need: ``--help`` is quick."""

from __future__ import annotations

__all__ = ["main", "parser"]

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli import options
from pipeline.console import run_command

EXAMPLES = """\
examples:
  python -m pipeline repro
  python -m pipeline attributes
  python -m pipeline edit --model models/styleae --seed 7 --set smile=1.5 --set glasses=-1 --out edit.png
  python -m pipeline edit --model models:/styleae@champion --seed 7 --set age=2
  python -m pipeline seeds styleae --count 4
  python -m pipeline search styleae --trials 20
  python -m pipeline ablate --only layers_1,no_edit
  python -m pipeline study --editors styleae,interfacegan --pairs 24
  python -m pipeline study-report study answers-*.json
  python -m pipeline tune --memory 4GiB
  python -m pipeline compare
  python -m pipeline import-labeler --labeler clip_ffhq
  python -m pipeline import-generator downloads/stylegan2-ffhq-1024x1024.pkl --out models/ffhq1024
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each one's function is in ``arguments.command``."""
    root = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="Named sliders for a pre-trained StyleGAN: run the pipeline, edit faces with it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("-v", "--verbose", action="store_true", help="show the messages of Ray, MLflow and DVC")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_repro(commands)
    _add_edit(commands)
    _add_import_generator(commands)
    command = _add(commands, "seeds", _seeds, "train an editor with several seeds at once and compare them")
    options.seeds(command)
    command = _add(commands, "search", _search, "find better settings of an editor on the validation split")
    options.search(command)
    command = _add(commands, "ablate", _ablate, "train and evaluate the variants of conf/ablation.yaml")
    options.ablate(command)
    command = _add(commands, "study", _study, "write a page on which people compare editors blindly")
    options.study(command)
    command = _add(commands, "study-report", _study_report, "say which editors the participants preferred")
    options.study_report(command)
    command = _add(
        commands,
        "import-labeler",
        _import_labeler,
        "make network folders of the classifiers under labeler.sources, and look at what they say",
    )
    command.add_argument(
        "--labeler", metavar="NAME", help="take them from conf/labeler/NAME.yaml (default: from params.yaml)"
    )
    command = _add(
        commands, "attributes", _attributes, "list what can be edited: name, kind, usual range, second name"
    )
    command = _add(
        commands, "summary", _summary, "show the metrics of the last run and where its pictures are"
    )
    command = _add(commands, "tune", _tune, "find the fastest label.batch_size of this machine")
    command.add_argument(
        "--memory", default="2GiB", metavar="SIZE", help="what a labelling actor may use (default: 2GiB)"
    )
    command = _add(commands, "compare", _compare, "train and evaluate every peer on one protocol")
    command.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, such as evaluate.count=200"
    )
    command.add_argument(
        "--config", default="peers", metavar="NAME", help="take editors and seeds from conf/NAME.yaml (peers)"
    )
    command.add_argument(
        "--folder", default="peers", metavar="NAME", help="run in comparisons/NAME (default: peers)"
    )
    text = "show what interrupted runs have left here, in cluster.storage and on the cluster"
    options.clean(_add(commands, "clean", _clean, text))
    command = _add(commands, "compose", _compose, "write params.yaml from conf/")
    command.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, such as sample.count=2000"
    )
    command.add_argument(
        "--out", type=Path, default=Path("params.yaml"), metavar="FILE", help="default: params.yaml"
    )
    command.add_argument(
        "--config", default="config", metavar="NAME", help="begin with conf/NAME.yaml (default: config)"
    )
    return root


def _add_repro(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "repro", _repro, "run every stage that is not up to date, then show the summary")
    command.add_argument("targets", nargs="*", metavar="STAGE", help="only these stages and what they need")
    command.add_argument(
        "-f", "--force", action="store_true", help="run the stages even if they are up to date"
    )


def _add_edit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "edit", _edit, "edit one face and write a picture: before | after")
    command.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="an editor's folder (models/styleae), or a registered model (models:/styleae@champion)",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="which face, 0 or more (default: 0)"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="edits",
        metavar="ATTRIBUTE=STRENGTH",
        help="move an attribute, in standard deviations; repeat it to combine edits",
    )
    command.add_argument(
        "--out", type=Path, default=Path("edit.png"), metavar="FILE", help="default: edit.png"
    )


def _add_import_generator(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "convert a StyleGAN2 checkpoint (NVIDIA .pkl, rosinality .pt) into a network folder"
    command = _add(commands, "import-generator", _import_generator, text)
    command.add_argument("file", type=Path, metavar="FILE", help="the checkpoint; nothing in it is executed")
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the network folder, such as models/ffhq1024",
    )
    command.add_argument(
        "--network", default="G_ema", metavar="NAME", help="which of the file's generators (default: G_ema)"
    )
    command.add_argument(
        "--samples", type=int, default=16, metavar="N", help="pictures on the contact sheet (default: 16)"
    )


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: object, text: str
) -> argparse.ArgumentParser:
    added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    added.set_defaults(command=command)
    return added


def _repro(arguments: argparse.Namespace) -> None:
    from pipeline.cli.repro import repro

    repro(arguments.targets, force=arguments.force)


def _clean(arguments: argparse.Namespace) -> None:
    from pipeline.cli.clean import clean

    clean(remove=arguments.yes, hours=arguments.hours)


def _edit(arguments: argparse.Namespace) -> None:
    from pipeline.cli.edit import edit, parse_edits

    edit(arguments.model, arguments.seed, parse_edits(arguments.edits), arguments.out)


def _seeds(arguments: argparse.Namespace) -> None:
    from pipeline.cli.seeds import train_seeds

    train_seeds(arguments.editor, arguments.count, arguments.out)


def _search(arguments: argparse.Namespace) -> None:
    from pipeline.cli.search import Budget, search_settings

    asked = arguments
    budget = Budget(trials=asked.trials, rows=asked.rows, faces=asked.faces, seed=asked.seed)
    search_settings(asked.editor, budget, asked.out, asked.folder)


def _ablate(arguments: argparse.Namespace) -> None:
    from pipeline.cli.ablate import ablate

    ablate([name for name in arguments.only.split(",") if name], arguments.faces)


def _study(arguments: argparse.Namespace) -> None:
    from pipeline.cli.study import make_study

    editors = [name for name in arguments.editors.split(",") if name]
    faces, pairs, seed = arguments.faces, arguments.pairs, arguments.seed
    make_study(arguments.folder, editors, faces, pairs, seed, arguments.out)


def _study_report(arguments: argparse.Namespace) -> None:
    from pipeline.cli.study import report_study

    report_study(arguments.folder, arguments.answers)


def _import_generator(arguments: argparse.Namespace) -> None:
    from pipeline.cli.import_generator import import_generator

    import_generator(arguments.file, arguments.out, arguments.network, arguments.samples)


def _import_labeler(arguments: argparse.Namespace) -> None:
    from pipeline.cli.import_labeler import import_labeler

    import_labeler(arguments.labeler)


def _attributes(arguments: argparse.Namespace) -> None:
    from pipeline.cli.attributes import list_attributes

    list_attributes()


def _summary(arguments: argparse.Namespace) -> None:
    from pipeline.cli.summary import summarise

    summarise()


def _tune(arguments: argparse.Namespace) -> None:
    from pipeline.cli.tune import tune

    tune(arguments.memory)


def _compare(arguments: argparse.Namespace) -> None:
    from pipeline.cli.compare import compare_peers

    compare_peers(arguments.config, arguments.folder, arguments.overrides)


def _compose(arguments: argparse.Namespace) -> None:
    from pipeline.cli.compose import compose

    compose(arguments.overrides, arguments.out, config=arguments.config)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = parser().parse_args(argv)
    if arguments.verbose:
        os.environ["PIPELINE_VERBOSE"] = "1"
    return run_command(arguments.command)(arguments)


if __name__ == "__main__":
    sys.exit(main())
