"""Scaling laws of small models on our own language, with its entropy as the known floor (ch. 18).

Models of `WIDTHS` read one text, none of it twice, and are kept at `STEPS`. Their loss on fresh
sentences less the floor (`entropy.Floor`) is their *regret*. Here is how they are trained and
scored, and the laws that are fitted to their losses (equation 18.3). How single tasks are learnt is
`emergence`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from taskspace_utils import cells, jobs, runs, store, trainings
from taskspace_utils.grammar import load_grammar
from taskspace_utils.models import CARD
from taskspace_utils.pretraining import Corpus, checkpoint_name
from taskspace_utils.scales import Scale, load_scale
from taskspace_utils.tables import read_table

WIDTHS = (12, 16, 32, 48, 64, 96, 128)
STEPS = (0, 25, 35, 50, 71, 100, 141, 200, 283, 400, 566, 800, 1131, 1600, 2263, 3200)
SENTENCES = 205_000  # a little more than 3,200 steps of 64 sentences: nothing is read twice
FRESH = 2000  # held-out sentences, all of which a training's losses are taken on


def scale_of(width: int) -> Scale:
    """A scale of this width: depth, heads and rate follow from it, all else is scale S's.

    Heads are about 32 wide, as in S, M and L, and there are two layers, a third from width 96 and a
    fourth from 192. The rate falls as one over the width from S's, and is 0.01 at most.
    """
    s = load_scale("S")
    return Scale(
        **vars(s)
        | {
            "name": f"W{width}",
            "layers": s.layers + width // 96,
            "width": width,
            "heads": -(-width // 32),
            "lr": min(0.01, s.lr * s.width / width),
        }
    )


def parameters(width: int) -> int:
    """Parameters without embeddings: 12 w² + 13 w a layer, and 2 w of the last norm."""
    return scale_of(width).layers * (12 * width**2 + 13 * width) + 2 * width


@functools.cache
def text(profile: str = "laptop", sentences: int = SENTENCES, fresh: int = FRESH) -> Corpus:
    """What all models read, and fresh sentences drawn alike; the profile's pairs are in neither.

    Unlike in `runs.corpus`, a fresh sentence may stand in the text as well: a draw is a draw. Left
    out, common sentences would be missing among the fresh ones, and the floor would not be theirs.
    """
    grammar, shown = load_grammar(), excluded(profile)
    train = grammar.corpus(sentences, 0, exclude=shown)
    held_out = grammar.corpus(fresh, 1, exclude=shown)
    return Corpus(train, {"held-out": held_out}, tuple(grammar.vocabulary()))


def excluded(profile: str = "laptop") -> frozenset[str]:
    """Sentences of the pairs that models are asked about; no text has them."""
    pairs = runs.task_pairs(profile)
    return frozenset([*pairs["good"], *pairs["bad"]])


def trained(width: int, seed: int, steps: int, corpus: Corpus | None = None) -> Path:
    """The folder of a training's checkpoints in the store, at `STEPS`; trained if it is missing."""
    import torch

    torch.set_num_threads(1)  # with more, sums are added up in another order
    corpus, scale = corpus or text(), scale_of(width)
    about = {"scale": vars(scale), "seed": seed, "corpus": corpus.key} | store.hardware()
    about |= cells.present_code("training")
    folder = store.store_path("models", f"laws-{scale.name}-seed{seed}-{store.key_of(about)}")
    also = tuple(step for step in STEPS if step <= steps)
    about |= {"study": "laws"}  # the scale is no row of scales.yml, and needn't be
    return trainings.train(folder, scale, corpus, steps, seed, also, about)


def losses(folder: Path, width: int, steps: int) -> pd.DataFrame:
    """A training's losses on the fresh sentences, up to a step.

    Returns:
        columns width, parameters (without embeddings), seed, step, tokens (read), loss (nats a
        token); a row a checkpoint.
    """
    rows = []
    for step in (step for step in STEPS if step <= steps):
        card = json.loads((folder / checkpoint_name(step) / CARD).read_text())
        rows.append((width, parameters(width), card["seed"], step, card["tokens"],
                     card["held_out_loss"]["held-out"]))  # fmt: skip
    return pd.DataFrame(rows, columns=["width", "parameters", "seed", "step", "tokens", "loss"])


def scored(folder: Path, width: int, steps: int, profile: str = "laptop") -> pd.DataFrame:
    """All tasks of a profile at a training's checkpoints, through the store.

    Returns:
        columns width, seed, step, task, n, accuracy, margin, margin_sd (nats).
    """
    pairs, at = runs.task_pairs(profile), [step for step in STEPS if step <= steps]
    asked = [cells.Cell("accuracy", cells.Source(str(folder / checkpoint_name(s)))) for s in at]
    found = cells.tables_of(jobs.run(cells.cell_jobs(asked, pairs, {}), workers=1))["accuracy"]
    names = ["width", "seed", "step", "task", "n", "accuracy", "margin", "margin_sd"]
    return found.assign(width=width)[names].sort_values(names[:4]).reset_index(drop=True)


class Shipped(NamedTuple):
    """What `python scripts/laws.py` made; its columns are in `data/reference/README.md`."""

    losses: pd.DataFrame
    tasks: pd.DataFrame
    annealed: pd.DataFrame
    manifest: dict


def shipped() -> Shipped:
    """The shipped tables, and how they came about."""
    at = store.data_path("reference", "laws")
    about = json.loads((at / "manifest.json").read_text(encoding="utf-8"))
    names = ("losses.csv", "tasks.csv.xz", "annealed.csv")
    return Shipped(*(read_table(at / name) for name in names), about)


# ----------------------------------------------------------------------------------------- the laws


@dataclass(frozen=True)
class Law:
    """loss = floor + a·N^−alpha + b·D^−beta (equation 18.3), N parameters and D tokens read."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float

    def loss(self, parameters, tokens) -> np.ndarray:
        """Nats a token; arrays, or numbers."""
        n, d = (np.asarray(x, float) for x in (parameters, tokens))
        return self.floor + self.a * n**-self.alpha + self.b * d**-self.beta


def fitted(table: pd.DataFrame, floor: float | None = None, start: Law | None = None) -> Law:
    """The law of least squared residuals of logs.

    Args:
        table: columns parameters, tokens, loss.
        floor: known, in nats: residuals are those of log(loss − floor). None: it is fitted, too,
            and residuals are those of log loss, as in Hoffmann et al. (2022).
        start: where to begin; otherwise from several places, and the best is kept.

    Raises:
        InputError: a loss is not above the floor, so that its regret has no log.
    """
    n, d, loss = (table[name].to_numpy(float) for name in ("parameters", "tokens", "loss"))
    if floor is not None and not (loss > floor).all():
        raise store.InputError(f"laws: a loss is not above the floor {floor:.3f}: leave it out")
    middle = np.exp([np.log(n).mean(), np.log(d).mean()])  # so that a and b are of one size

    def law(x: np.ndarray) -> Law:
        a, alpha, b, beta = np.exp(x[:4])
        low = np.exp(x[4]) if floor is None else floor
        return Law(low, a * middle[0] ** alpha, alpha, b * middle[1] ** beta, beta)

    def residuals(x: np.ndarray) -> np.ndarray:
        known = floor or 0.0
        return np.log(law(x).loss(n, d) - known) - np.log(loss - known)

    rise, low = float(np.median(loss - (floor or 0.0))) / 2, loss.min() / 2
    starts = [np.log([rise, alpha, rise, beta, low]) for alpha in (0.2, 0.8) for beta in (0.2, 0.8)]
    if start is not None:
        _, a, alpha, b, beta = astuple(start)
        scaled = [a * middle[0] ** -alpha, alpha, b * middle[1] ** -beta, beta]
        starts = [np.log([*scaled, max(start.floor, 1e-3)])]
    free = 5 if floor is None else 4
    bounds = np.log([1e-9, 1e-3, 1e-9, 1e-3, 1e-9][:free]), np.log([1e9, 9, 1e9, 9, 1e9][:free])
    found = [least_squares(residuals, np.clip(x[:free], *bounds), bounds=bounds) for x in starts]
    return law(min(found, key=lambda one: one.cost).x)


def redrawn(table: pd.DataFrame, floor: float | None, draws: int = 199) -> pd.DataFrame:
    """Laws of tables in which whole trainings (a width and a seed) are drawn with replacement.

    Checkpoints of a training are no independent witnesses, so none is drawn by itself. Draws with
    fewer than four widths are drawn again: a law of size needs sizes.

    Returns:
        columns floor, a, alpha, b, beta; a row a draw.
    """
    rng, whole = np.random.default_rng(0), fitted(table, floor)
    units = [some for _, some in table.groupby(["width", "seed"])]
    found = []
    while len(found) < draws:
        picked = [units[i] for i in rng.integers(len(units), size=len(units))]
        if len({some["width"].iloc[0] for some in picked}) >= min(4, table["width"].nunique()):
            found.append(fitted(pd.concat(picked), floor, whole))
    return pd.DataFrame([astuple(law) for law in found], columns=list(Law.__dataclass_fields__))


def frontier(law: Law, parameters, compute) -> np.ndarray:
    """The lowest loss for each amount of computing C = 6·N·D, and the size that reaches it.

    Returns:
        shape (2, len(compute)): parameters (of those given) and loss.
    """
    sizes = np.asarray(parameters, float)[:, None]
    reached = law.loss(sizes, np.asarray(compute, float) / (6 * sizes))
    best = reached.argmin(axis=0)
    return np.array([sizes[best, 0], reached.min(axis=0)])
