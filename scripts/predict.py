"""Make data/reference/prediction/: when gradients predict transfer, and where they part from it.

    python scripts/predict.py            # what the store has is not computed again

Two runs are read, each swept first where the store lacks it: profile prediction (scale S, with one
seed also before mid-training) and, for the other sizes at one step, profile reference. To them come
walks (`taskspace_utils/studies/walks.py`): lessons stopped on their way, from models of these runs.
Takes about half an hour of one idle core beyond profile reference.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace

import pandas as pd

from taskspace_utils import assembly, records, runs, store
from taskspace_utils.figures import prediction
from taskspace_utils.ftgd import flat_weights, loss_gradient, norm, top_k
from taskspace_utils.profiles import sweep_key
from taskspace_utils.studies import walks
from taskspace_utils.tables import Run, only, read_table, write_table

SEEDS, GAINS = (1, 2, 3), (0.1, 0.3, 1.0, 3.0)
EARLY = {"seeds": (1,), "transfer_at": (0, 100, 200)}  # beside the steps of profile prediction
STEPS, MASKED_AT, SIZES = (100, 400, 1600), 400, ("M", "L")  # of walks; and other sizes of models
LIVE = {"seed": 0, "steps": (100, 800), "sources": 3}  # what a reader's chapter walks, too
OUT = store.data_path("reference", "prediction")
KEYS, DIGITS = ["scale", "seed", "step", "k", "source"], 4


def real_tasks() -> pd.DataFrame:
    """Tasks that obey a rule, with phenomenon and family."""
    return read_table(store.data_path("hypotheses", "grammar.csv")).query("field != 'control'")


def chosen() -> list[str]:
    """The first task of every second family, in alphabetical order."""
    return list(real_tasks().sort_values("task").groupby("family")["task"].first().iloc[::2])


def cells(run: Run, scales: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicted and measured cells of a run's confirmatory models, and what is known of sources."""
    table = run.table("transfer")
    models = table[table["scale"].isin(scales) & table["seed"].isin(SEEDS)]
    widths = run.table("configs").set_index("tuning")["k"]
    keys = ["scale", "seed", "step", "tuning"]
    real, found, sources = set(real_tasks()["task"]), [], []
    for where in models[keys].drop_duplicates().to_dict("records"):
        name = where.pop("tuning")
        about = where | {"k": widths[name]}
        points = prediction.load(run, name, **where)
        points = points[points["source"].isin(real) & points["target"].isin(real)]
        found.append(points[["source", "target", "predicted", "real"]].assign(**about))
        sources.append(sources_of(run, name, about, real))
    return pd.concat(found), pd.concat(sources)


@functools.cache
def train_norms(scale: str, step: int, seed: int) -> tuple[float, pd.DataFrame]:
    """Norm of a model's weights; and of each train gradient, whole (1.0) and its top 1 % (0.01)."""
    lm, pairs = runs.checkpoint("reference", scale, step, seed), runs.task_pairs("reference")
    about = {"kind": "train norms", "weights": lm.weights, "pairs": pairs_key()}
    about |= {"method": store.method_version(), "versions": store.versions()}
    path = store.store_path("walks", f"{store.key_of(about)}.json")
    rows = records.read_record(path)
    if rows is None:
        rows = {}
        for task in real_tasks()["task"]:
            train = pairs[(pairs["task"] == task) & (pairs["split"] == "train")]
            gradient = loss_gradient(lm, train)[0]
            rows[task] = [norm(gradient[top_k(gradient, k)]) for k in (1.0, 0.01)]
        records.write_record(path, about, rows)
    return norm(flat_weights(lm.model)), pd.DataFrame(rows, index=[1.0, 0.01]).T


@functools.cache
def pairs_key() -> str:
    """Stands for the pairs of both runs."""
    return store.text_key(map(repr, runs.task_pairs("reference").itertuples(index=False)))


def sources_of(run: Run, tuning: str, about: dict, real: set[str]) -> pd.DataFrame:
    """A row a source: its lesson, its gradient, and how far it was expected to move the weights."""
    where = {name: about[name] for name in ("scale", "seed", "step")}
    facts = only(run.table("tasks"), where).set_index("task")
    lesson = only(run.table("tuning"), {**where, "tuning": tuning}).set_index("source")
    moved = only(run.table("transfer"), {**where, "tuning": tuning})
    own = moved[moved["source"] == moved["target"]].set_index("source")
    config = only(run.table("configs"), {"tuning": tuning}).iloc[0]
    slopes = only(run.table("gradient"), where).query("a == b").set_index("a")
    slope = slopes["dot_masked" if about["k"] < 1 else "dot"]
    weights, norms = train_norms(where["scale"], where["step"], where["seed"])
    size, target = norms[about["k"]], float(config["target"])
    table = pd.DataFrame({
        "own": own["margin_after"] - own["margin_before"], "gain": lesson["own_gain"],
        "steps": lesson["steps"], "reached": lesson["reached"],
        "displacement": lesson["displacement"], "expected": target / size / weights,
        "norm": size, "held": slope / size**2, "asked": target,
        "reliability": facts["reliability"], "accuracy": own["accuracy_before"],
    })  # fmt: skip
    return table[table.index.isin(real)].rename_axis("source").reset_index().assign(**about)


def walked(models, sources: list[str], widths: tuple[float, ...]) -> pd.DataFrame:
    """Walks from models (scale, step, seed); the targets' last gradients only without a mask."""
    pairs = runs.task_pairs("reference")
    pairs = pairs[pairs["task"].isin(real_tasks()["task"])]
    found = []
    for scale, step, seed in models:
        lm = runs.checkpoint("reference", scale, step, seed)
        found.append(walks.walks(lm, pairs, sources, widths, GAINS, ends=(1.0,)))
        store.say(f"walked {scale}, seed {seed}, step {step}")
    return pd.concat(found, ignore_index=True)


def grids() -> list[tuple[list[tuple[str, int, int]], list[str], tuple[float, ...]]]:
    """What is walked: models, sources, and shares of the weights that may move."""
    live = [("S", step, LIVE["seed"]) for step in LIVE["steps"]]
    grown = [("S", step, seed) for step in STEPS for seed in SEEDS]
    middle = [model for model in grown if model[1] == MASKED_AT]
    return [
        (live, chosen()[: LIVE["sources"]], (1.0,)),
        (grown, chosen(), (1.0,)),
        (middle, chosen(), (0.01,)),
    ]


def main() -> None:
    began = time.monotonic()
    parts = [
        cells(runs.sweep("prediction", workers=1), ("S",)),
        cells(runs.sweep(replace(runs.load_profile("prediction"), **EARLY), workers=1), ("S",)),
        cells(runs.sweep("reference", workers=1), SIZES),
    ]
    tables = {name: pd.concat(some) for name, some in zip(("cells", "sources"), zip(*parts))}
    tables["walks"] = pd.concat([walked(*grid) for grid in grids()], ignore_index=True)
    for name, table in tables.items():
        numbers = table.select_dtypes("number").columns.difference(KEYS)
        table[numbers] = table[numbers].map(lambda number: float(f"{number:.{DIGITS}g}"))
        last = {"cells": ["target"], "sources": [], "walks": ["asked", "target"]}[name]
        keys = [*KEYS, *last]
        write_table(OUT / f"{name}.csv.xz", table[[*keys, *table.columns.difference(keys, False)]],
                    keys)  # fmt: skip
    about = {
        "made_by": "python scripts/predict.py",
        "runs": {name: sweep_key(runs.load_profile(name)) for name in ("prediction", "reference")},
        "seeds": SEEDS,
        "early": EARLY,
        "gains": GAINS,
        "walked": [dict(zip(("models", "sources", "k"), grid, strict=True)) for grid in grids()],
        "walks": store.code_version(walks.ROOM),
    }
    assembly.write_manifest(OUT, about, runs.task_pairs("reference"), began)


if __name__ == "__main__":
    main()
