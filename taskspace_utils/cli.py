"""The command line: `taskspaces …`, its options, and how it ends.

What a person must mend ends with one message and status 2; a chapter or a page that fails, or
worker processes that are lost, with status 1. No torch is imported before a command needs it.
"""

from __future__ import annotations

import argparse
import os
import sys

from taskspace_utils import __version__, commands, store
from taskspace_utils.publishing import commands as publish
from taskspace_utils.store import InputError, say


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status."""
    options = _parser().parse_args(arguments)
    for name in store.hardware():  # by the environment: processes that work for this one see it
        if chosen := getattr(options, name, None):
            os.environ[f"TASKSPACES_{name.upper()}"] = chosen
    try:
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        say(f"taskspaces {options.command}: {error}")
        return 2
    except BrokenPipeError:  # who reads has seen enough: `taskspaces … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or leaving would complain
        return 141
    except OSError as error:  # no space, no permission, a file where a folder should be
        what = f"{error.filename or ''}: {error.strerror or error}"
        say(f"taskspaces {options.command}: {what}. Mend that; what was finished is kept")
        return 2
    except KeyboardInterrupt:
        say("stopped; the same command goes on where this one was")
        return 130
    except Exception as error:
        from taskspace_utils.cluster import WorkLost
        from taskspace_utils.publishing.chapters import BuildError

        if not isinstance(error, BuildError | WorkLost):
            raise
        say(f"taskspaces {options.command}: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskspaces",
        description="Task spaces of language models: minimal pairs, models, probing, and the book.",
        epilog="`taskspaces COMMAND --help` explains a command. Results are small tables.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(run=run)
        return sub

    sub = command(
        "generate", commands.generate, "write minimal pairs and a corpus of our own language"
    )
    sub.add_argument(
        "--out", required=True, metavar="PAIRS", help="file of pairs (.jsonl, .csv, .tsv)"
    )
    sub.add_argument(
        "--corpus", metavar="TEXT", help="file for a corpus that holds none of the pairs"
    )
    sub.add_argument("--seed", type=_whole, default=0, help="which choice (default 0)")
    sub.add_argument("--pairs-per-task", type=_whole, default=200, metavar="N", help="default 200")
    sub.add_argument("--sentences", type=_whole, default=60_000, metavar="N", help="default 60000")
    sub.add_argument("--tasks", type=_names, metavar="A,B", help="only these tasks")
    sub.add_argument(
        "--grammar", metavar="DIR", help="a language of your own: a copy of data/grammar"
    )

    sub = command(
        "check-pairs", commands.check_pairs, "list tasks, counts and faults of minimal pairs"
    )
    sub.add_argument("path", help="a file of pairs, or a folder of such files")
    sub.add_argument("--strict", action="store_true", help="warnings are errors")

    sub = command(
        "pretrain", commands.pretrain, "train a model of a scale and keep its checkpoints"
    )
    sub.add_argument(
        "--scale", required=True, help="a row of data/scales.yml, such as S, M, L or 8M"
    )
    sub.add_argument(
        "--corpus", required=True, metavar="PATH", help=".txt, .txt.xz, or a folder of them"
    )
    sub.add_argument("--steps", type=_whole, required=True, help="optimiser steps")
    sub.add_argument("--seed", type=_whole, default=0, help="of weights and data order (default 0)")
    sub.add_argument(
        "--out", required=True, metavar="DIR", help="folder for step-000000/ and so on"
    )
    sub.add_argument("--threads", type=_whole, help="processor threads (default: all)")
    sub.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"],
                     help="default cpu, or TASKSPACES_DEVICE")  # fmt: skip

    sub = command("score", commands.score, "score minimal pairs with a model")
    _model_options(sub)
    _hardware_options(sub)
    _pair_options(sub)
    sub.add_argument("--out", required=True, metavar="DIR", help="folder for the tables")

    sub = command("probe", commands.probe, "probe a model: transfer space and gradient space")
    _model_options(sub)
    _pair_options(sub)
    sub.add_argument("--out", required=True, metavar="DIR", help="run folder for the tables")
    sub.add_argument("--preset", choices=["quick", "standard", "full"], default="standard",
                     help="quick: gradients of 60 pairs a task; standard (default): both methods, "
                     "100 pairs, with a context only one's own tasks tuned; full: 200 pairs, all "
                     "tasks tuned. Options below win")  # fmt: skip
    sub.add_argument("--methods", type=_names, metavar="M,M",
                     help="transfer, gradient or both")  # fmt: skip
    sub.add_argument("--seed", type=_whole, default=0, help="which pairs are chosen (default 0)")
    sub.add_argument("--pairs-per-task", type=_whole, metavar="N",
                     help="half to tune on, half to evaluate")  # fmt: skip
    sub.add_argument("--tasks", type=_names, metavar="A,B", help="only these tasks")
    sub.add_argument("--context", default="", metavar="blimp|grammar|PATH",
                     help="tasks around one's own, among which they are placed")  # fmt: skip
    sub.add_argument("--sources", type=_names, metavar="A,B", help="only these tasks are tuned")
    sub.add_argument("--targets", type=_names, metavar="A,B",
                     help="tunings are evaluated on these tasks only")  # fmt: skip
    sub.add_argument("--params", default="", metavar="all|blocks|last-N|lora",
                     help="part of the weights, for models too large for whole gradients",
                     )  # fmt: skip
    sub.add_argument("--no-report", action="store_true", help="tables only")
    sub.add_argument("--text", metavar="PATH", help="neutral text on which harm is measured")
    sub.add_argument("--k", type=_shares, metavar="K,K",
                     help="shares of the parameters tuned (default 0.01,1)")  # fmt: skip
    sub.add_argument("--target", type=float, default=3.0, metavar="NATS",
                     help="gain of the train margin to stop at (default 3)")  # fmt: skip
    sub.add_argument("--plan", action="store_true", help="say what it would take, and stop")
    _worker_options(sub)

    sub = command("sweep", commands.sweep, "train and probe a profile's whole grid")
    _profile_option(sub)
    sub.add_argument("--out", metavar="DIR", help="run folder (default: in the store)")
    _worker_options(sub)

    sub = command("compare", commands.compare, "compare two runs: cell by cell, and claim by claim")
    sub.add_argument("run_a", metavar="RUN_A", help="a run folder, or a shipped reference's name")
    sub.add_argument("run_b", metavar="RUN_B", help="another one")
    sub.add_argument("--tolerance", type=_size, default=1e-3, metavar="NATS",
                     help="how far two cells may lie apart (default 0.001)")  # fmt: skip
    sub.add_argument("--all", action="store_true", help="every column of every table")
    sub.epilog = (
        "Status: 0 if all shared cells are within the tolerance; 1 if some are not, or the runs "
        "share no seed; 2 if nothing can be compared."
    )

    sub = command("chapter", publish.chapter, "execute one chapter")
    sub.add_argument("chapter", metavar="NN", help="its number or name")
    _profile_option(sub)
    sub.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    sub.add_argument("--out", metavar="DIR", help="folder for the executed notebook")

    sub = command("book", publish.book, "run what is missing and build the book")
    _profile_option(sub)
    sub.add_argument("--out", metavar="DIR", help="folder for html/ (default _build)")
    _worker_options(sub)

    sub = command("epub", publish.epub, "make an EPUB of the book that was last built")
    sub.add_argument("--book", metavar="DIR", help="where it was built (default _build)")
    sub.add_argument("--out", metavar="FILE", help="default task-spaces.epub in that folder")

    sub = command("course", publish.course, "pack a course: editions, labs, slides, handouts")
    _profile_option(sub)
    sub.add_argument("--out", metavar="DIR", help="folder for course/ and the archives (_build)")
    _worker_options(sub)

    sub = command("collect", publish.collect, "a table of the score files that students handed in")
    sub.add_argument("folder", metavar="DIR", help="where they lie; a folder for each student")
    sub.add_argument("--out", metavar="FILE", help="write it as CSV")

    sub = command("report", commands.report, "write the report of a run folder again")
    sub.add_argument("run_folder", metavar="RUN", help="a folder that `probe` wrote")

    sub = command("redraw", publish.redraw, "draw a figure of the book again, from its table alone")
    sub.add_argument("name", nargs="?", help="a figure's label or module; without one, all listed")
    sub.add_argument("--tables", metavar="DIR", help="where tables lie (default _build/figures)")
    sub.add_argument(
        "--run", dest="of", metavar="DIR", help="make its table of this run folder instead"
    )
    sub.add_argument("-p", action="append", default=[], metavar="NAME=VALUE",
                     help="with --run: which model, such as scale=M")  # fmt: skip
    sub.add_argument("--out", metavar="FILE", help=".png, .svg or .pdf (default NAME.png)")

    sub = command("store", commands.look_after, "list, verify or prune what was computed")
    sub.add_argument("action", choices=["list", "verify", "prune"],
                     help="what is there; is it sound; remove what nothing can use")  # fmt: skip
    sub.add_argument("path", nargs="?", help="verify this run folder, checkpoint, … alone")
    sub.add_argument("--dry-run", action="store_true", help="prune: only say what would go")
    return parser


def _model_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", required=True, metavar="DIR_OR_ID", help="a folder or a hub id")
    sub.add_argument("--revision", help="branch, tag or commit on the hub; of a folder of "
                     "checkpoints, one of them. `probe` takes several: A,B")  # fmt: skip
    sub.add_argument("--bos", default="auto", choices=["auto", "bos", "eos", "none"],
                     help="token before each sentence; auto: BOS, or EOS in its place")  # fmt: skip
    sub.add_argument("--scoring", default="causal", choices=["causal", "pseudo"],
                     help="pseudo: pseudo-likelihoods, for masked models and encoder-decoders",
                     )  # fmt: skip


def _pair_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--pairs", required=True, metavar="PATH", help="file or folder of pairs")
    sub.add_argument("--strict", action="store_true", help="warnings about pairs are errors")
    sub.add_argument("--skip-faulty", action="store_true", help="leave out faulty pairs, say which")


def _profile_option(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--profile", default="laptop", help="smoke, laptop (default) or paper")


def _hardware_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"],
                     help="where models compute (default cpu, or TASKSPACES_DEVICE)")  # fmt: skip
    sub.add_argument("--bf16", action="store_const", const="bf16", dest="precision",
                     help="forward passes in bfloat16; margins near 0 are scored again in fp32",
                     )  # fmt: skip


def _worker_options(sub: argparse.ArgumentParser) -> None:
    _hardware_options(sub)
    where = sub.add_mutually_exclusive_group()
    where.add_argument("--workers", type=_count, metavar="N",
                       help="processes on this machine (default: one a core)")  # fmt: skip
    where.add_argument("--scheduler", metavar="ADDRESS",
                       help="a dask scheduler whose workers do it: tcp://host:port, or its file",
                       )  # fmt: skip


# --------------------------------------------------------------------------------- kinds of values


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return int(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


def _size(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0")
    return value


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _shares(text: str) -> list[float]:
    try:
        values = [float(part) for part in _names(text)]
    except ValueError:
        values = []
    if not values or not all(0 < v <= 1 for v in values):
        raise argparse.ArgumentTypeError(f"{text}: shares are numbers above 0 and at most 1")
    return list(dict.fromkeys(values))


if __name__ == "__main__":
    sys.exit(main())
