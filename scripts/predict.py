"""Make data/reference/prediction/: when gradients predict transfer, and where they part from it.

    python scripts/predict.py            # what the store has is not computed again

Two runs are read, each swept first where the store lacks it: profile prediction (scale S all along
pre-training) and, for the other sizes at one step, profile reference. To them come walks
(`taskspace_utils/studies/walks.py`): lessons stopped on their way, from models of these runs. Takes
about an hour of one idle core beyond profile reference.
"""

from __future__ import annotations

import json
import time

import pandas as pd

from taskspace_utils import runs, store
from taskspace_utils.figures import prediction
from taskspace_utils.studies import walks
from taskspace_utils.tables import read_table, write_table

SEEDS, WIDTHS, GAINS = (1, 2, 3), (1.0, 0.01), (0.1, 0.3, 1.0, 3.0)
STEPS, SIZES, SIZED_AT = (100, 200, 400, 800, 1600), ("M", "L"), 800
LIVE = {"seed": 0, "steps": (100, 800), "sources": 3}  # what a reader's chapter walks, too
OUT = store.data_path("reference", "prediction")
KEYS = ["scale", "seed", "step", "k", "source"]


def real_tasks() -> pd.DataFrame:
    """Tasks that obey a rule, with phenomenon and family."""
    return read_table(store.data_path("hypotheses", "grammar.csv")).query("field != 'control'")


def chosen() -> list[str]:
    """The first task of every second family, in alphabetical order."""
    return list(real_tasks().sort_values("task").groupby("family")["task"].first().iloc[::2])


def walked(grid, sources: list[str]) -> pd.DataFrame:
    """Walks from the models (scale, step, seed) of a grid."""
    pairs = runs.task_pairs("reference")
    pairs = pairs[pairs["task"].isin(real_tasks()["task"])]
    found = []
    for scale, step, seed in grid:
        lm = runs.checkpoint("reference", scale, step, seed)
        found.append(walks.walks(lm, pairs, sources, WIDTHS, GAINS, ends=WIDTHS[:1]))
        store.say(f"walked {scale}, seed {seed}, step {step}")
    return pd.concat(found, ignore_index=True)


def grids() -> list[tuple[list[tuple[str, int, int]], list[str]]]:
    """What is walked: models, and the sources walked from each of them."""
    grown = [("S", step, seed) for seed in SEEDS for step in STEPS]
    sized = [("M", SIZED_AT, seed) for seed in SEEDS]
    live = [("S", step, LIVE["seed"]) for step in LIVE["steps"]]
    return [(live, chosen()[: LIVE["sources"]]), (grown, chosen()), (sized, chosen())]
