"""Make data/reference/withheld/: models that never saw one construction, beside models that did.

    python scripts/withhold.py            # what the store has is not trained again

For each of twelve constructions, one a phenomenon, and each of three seeds, a model of scale S is
trained for 800 steps on a corpus without it, the other constructions filling its place; then all
tasks are scored. Models of the whole corpus, of five seeds, are scored too, and their gradient
spaces taken. The constructions are chosen before any model is looked at: of each phenomenon the one
that the corpus shows most, the first where several are equal. Takes about 20 minutes of one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import pandas as pd

from taskspace_utils import assembly, cells, jobs, load_grammar, runs, store
from taskspace_utils.controls import Bigram
from taskspace_utils.hypotheses import lexical_diff
from taskspace_utils.pretraining import checkpoint_name
from taskspace_utils.tables import read_table, write_table

SCALE, SEEDS, WHOLE_SEEDS, STEPS = "S", (0, 1, 2), (0, 1, 2, 3, 4), (0, 200, 800)
OUT = store.data_path("reference", "withheld")


def chosen() -> list[str]:
    """Of each phenomenon, the paradigm with the largest weight in the corpus."""
    tasks = load_grammar().tasks().query("sham_of == '' and bag_exception == ''")
    most = tasks.groupby("phenomenon")["weight"].idxmax()
    return sorted(tasks.loc[most, "task"])


def model(whole: runs.Profile, without: str, seed: int) -> dict[str, pd.DataFrame]:
    """Train a model, score all tasks; of one that saw everything, take its gradient spaces too."""
    profile = replace(whole, seeds=(seed,), without=(without,) if without else ())
    runs.checkpoint(profile, SCALE, profile.steps, seed)
    folder = runs.training_folder(profile, SCALE, seed)
    pairs, texts = runs.task_pairs(whole), runs.corpus(whole).neutral()
    work = []
    for step in (profile.steps,) if without else STEPS:
        source = cells.Source(str(folder / checkpoint_name(step)))
        methods = [] if without else ["gradient"]
        work += cells.probing_cells(source, pairs["task"].unique(), (), methods)
    found = cells.tables_of(jobs.run(cells.cell_jobs(work, pairs, texts), workers=1))
    log = read_table(folder / "training.csv").query("text == 'held-out'")
    found["models"] = log.tail(1)[["loss"]].assign(seed=seed)
    return {name: table.assign(without=without) for name, table in found.items()}


def words(profile: runs.Profile) -> pd.DataFrame:
    """What single words and neighbouring words say of each two tasks: lexical_diff, bigram."""
    pairs, corpus = runs.task_pairs(profile), runs.corpus(profile)
    bigram = Bigram(corpus.train, corpus.words).space(pairs).stack().rename("bigram")
    bigram = bigram.rename_axis(["a", "b"]).reset_index()
    return lexical_diff(pairs).merge(bigram, on=["a", "b"]).query("a <= b").round(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    began, names, whole = time.monotonic(), chosen(), runs.load_profile("laptop")
    grid = [("", seed) for seed in WHOLE_SEEDS] + [(n, seed) for seed in SEEDS for n in names]
    work = [jobs.Job(model, (whole, *one)) for one in grid]
    results = jobs.run(work, parser.parse_args().workers)
    tables = {
        name: pd.concat([result[name] for result in results if name in result])
        for name in ("accuracy", "gradient", "models")
    }
    last = tables["accuracy"]["step"] == max(STEPS)
    keys = ["seed", "without", "task"]
    margins = tables["accuracy"].loc[last, [*keys, "n", "margin", "margin_sd", "accuracy"]]
    half = tables["gradient"]["a"] <= tables["gradient"]["b"]
    places = ["seed", "step", "a", "b"]
    spaces = tables["gradient"].loc[half, [*places, "cosine", "cosine_corrected"]].copy()
    for name in ("cosine", "cosine_corrected"):
        spaces[name] = spaces[name].round(5)
    write_table(OUT / "margins.csv", margins, keys)
    write_table(OUT / "spaces.csv.xz", spaces, places)
    write_table(OUT / "models.csv", tables["models"][["seed", "without", "loss"]],
                      ["seed", "without"])  # fmt: skip
    write_table(OUT / "words.csv.xz", words(whole), ["a", "b"])
    about = {
        "made_by": "python scripts/withhold.py",
        "scale": SCALE,
        "steps": max(STEPS),
        "constructions": names,
        "seeds": SEEDS,
        "whole_seeds": WHOLE_SEEDS,
        "corpus": {"sentences": whole.sentences, "seed": whole.corpus_seed},
    }
    assembly.write_manifest(OUT, about, runs.task_pairs(whole), began)


if __name__ == "__main__":
    main()
