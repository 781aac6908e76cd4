"""Make data/reference/laws/: models of seven sizes against the floor of their language.

    python scripts/laws.py                # what the store has is not trained again
    python scripts/laws.py --seeds 0 1 2

Models of `studies.laws.WIDTHS` are trained for 3,200 steps on one text, none of it twice, and at
each of `STEPS` their loss on 2,000 fresh sentences is taken and all tasks of profile `laptop` are
scored. The floor of those sentences is computed from the grammar, and so is that of more sentences,
which says how sure it is. Branches whose rate falls to zero say what a constant rate costs; they
are not kept, and take a few minutes each time. About 20 minutes of one idle core a seed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from taskspace_utils import assembly, runs, store
from taskspace_utils.studies import annealing, entropy, laws
from taskspace_utils.tables import write_table

OUT = store.data_path("reference", "laws")
MORE = 10_000  # sentences of the training text, whose floor is taken as well
DIGITS = {"accuracy": 4, "margin": 4, "margin_sd": 4}


def floors(language: entropy.Floor) -> pd.DataFrame:
    """Minus the mean log-probability of two texts, in nats a token and a sentence."""
    rows = []
    corpus = laws.text()
    for name, lines in (("fresh", corpus.held_out["held-out"]), ("text", corpus.train[:MORE])):
        bits, words = -language.log_probabilities(lines), [len(line.split()) for line in lines]
        loss = bits.sum() / sum(words)
        error = np.std(bits - loss * np.array(words), ddof=1) / np.sqrt(len(lines)) / np.mean(words)
        rows.append((name, len(lines), sum(words), loss, error, bits.mean()))
    columns = ["sample", "sentences", "tokens", "loss", "standard_error", "loss_sentence"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--widths", type=int, nargs="+", default=list(laws.WIDTHS))
    asked, began = parser.parse_args(), time.monotonic()
    steps, losses, tasks = max(laws.STEPS), [], []
    for seed in asked.seeds:
        for width in asked.widths:
            folder = laws.trained(width, seed, steps)
            losses.append(laws.losses(folder, width, steps))
            tasks.append(laws.scored(folder, width, steps).round(DIGITS))
    branches = [
        annealing.annealed(laws.trained(width, seed, steps), width, seed, laws.text())
        for seed in asked.seeds
        for width in annealing.WIDTHS
        if width in asked.widths
    ]
    language = entropy.Floor(exclude=laws.excluded())
    found = floors(language)
    keys = ["width", "seed", "step"]
    write_table(OUT / "losses.csv", pd.concat(losses), keys)
    write_table(OUT / "tasks.csv.xz", pd.concat(tasks), [*keys, "task"])
    write_table(OUT / "floor.csv", found, ["sample"])
    write_table(OUT / "annealed.csv", pd.concat(branches), keys)
    corpus, pairs = laws.text(), runs.task_pairs("laptop")
    about = {
        "made_by": "python scripts/laws.py",
        "seeds": asked.seeds,
        "widths": asked.widths,
        "steps": list(laws.STEPS),
        "rates": {width: laws.scale_of(width).lr for width in asked.widths},
        "corpus": {"sentences": len(corpus.train), "seed": 0, "key": corpus.key},
        "vocabulary": len(corpus.words),
        "floor": float(found.set_index("sample").loc["fresh", "loss"]),
        "excluded": language.excluded,
        "code": store.code_version("studies/laws", "studies/entropy", "studies/annealing"),
    }
    assembly.write_manifest(OUT, about, pairs, began)


if __name__ == "__main__":
    main()
