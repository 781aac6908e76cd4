"""Make data/reference/architectures/: six architectures on one language, at one held-out loss.

    python scripts/architectures.py            # what the store has is not made again

Each architecture first gets the learning rate, of four, that brings it furthest in 200 steps (seed
0, which is used for nothing else). Then, for each of three seeds, a model of it of scale S's size
is trained on the laptop's corpus until its held-out loss is down at 2.35 nats a token, which GPT-2
reaches at about step 600: a loss that was chosen before any other architecture was trained. At step
0 and there, all tasks are scored and their gradient space is taken. Takes about 15 minutes of one
core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch

from taskspace_utils import assembly, cells, ftgd, jobs, runs, scoring, store
from taskspace_utils.models import load_model
from taskspace_utils.scales import load_scale
from taskspace_utils.studies.architectures import ARCHITECTURES, kept, searched
from taskspace_utils.tables import read_table, write_table

SCALE, SEEDS, TARGET, AT_MOST = "S", (1, 2, 3), 2.35, 1600
RATES, SEARCH_STEPS, SEARCH_SEED = (1e-3, 2e-3, 4e-3, 8e-3), 200, 0
OUT = store.data_path("reference", "architectures")
KEYS = ["architecture", "seed", "trained"]


def search(corpus) -> pd.DataFrame:
    """Held-out loss of each architecture after a short training at each rate."""
    scale = load_scale(SCALE)
    rows = [
        (name, rate, searched(name, scale, corpus, SEARCH_SEED, rate, SEARCH_STEPS))
        for name in ARCHITECTURES
        for rate in RATES
    ]
    return pd.DataFrame(rows, columns=["architecture", "rate", "loss"])


def probed(name: str, seed: int, rate: float) -> dict[str, pd.DataFrame]:
    """Train a model to the target; score all tasks and take its space there and at step 0."""
    profile = runs.load_profile("laptop")
    corpus, pairs = runs.corpus(profile), runs.task_pairs(profile)
    places = kept(name, load_scale(SCALE), corpus, seed, rate, TARGET, AT_MOST)
    found: dict[str, list] = {}
    for trained, place in enumerate(places):
        some = cells.probing_cells(cells.Source(str(place)), pairs["task"].unique(), (),
                                   ["gradient"])  # fmt: skip
        results = jobs.run(cells.cell_jobs(some, pairs, corpus.neutral()), workers=1)
        for table, rows in cells.tables_of(results).items():
            found.setdefault(table, []).append(rows.assign(trained=trained))
    log = read_table(places[1].parent / "training.csv")
    model = load_model(places[1]).model
    words = model.get_input_embeddings().weight.numel()
    size = sum(p.numel() for p in model.parameters())
    last = log[log["kept"]].assign(rate=rate, parameters=size, blocks=size - words)
    tables = {table: pd.concat(rows) for table, rows in found.items()} | {"models": last}
    store.say(f"{name}, seed {seed}: loss {last['loss'].iloc[0]:.3f} at {last['step'].iloc[0]}")
    return {n: t.assign(architecture=name, seed=seed) for n, t in tables.items()}


def attention(name: str, rate: float, tasks: int = 8) -> dict | None:
    """How far two ways to compute attention differ: largest margin, nats, and relative gradient."""
    profile = runs.load_profile("laptop")
    pairs, found = runs.task_pairs(profile), {}
    place = kept(name, load_scale(SCALE), runs.corpus(profile), SEEDS[0], rate, TARGET, AT_MOST)[1]
    for way in ("eager", "sdpa"):
        lm = load_model(place)
        try:
            lm.model.set_attn_implementation(way)
        except ValueError:
            return None
        if lm.model.config._attn_implementation != way:
            return None
        first = sorted(pairs["task"].unique())[:: len(pairs["task"].unique()) // tasks]
        found[way] = (
            scoring.margins(lm, pairs),
            [ftgd.loss_gradient(lm, pairs[pairs["task"] == task])[0] for task in first],
        )
    (one, gradients), (other, others) = found["eager"], found["sdpa"]
    apart = [float((g - h).norm() / g.norm()) for g, h in zip(gradients, others, strict=True)]
    return {"architecture": name, "margin": np.abs(one - other).max(), "gradient": max(apart),
            "largest": np.abs(one).max()}  # fmt: skip


def halves(gradient: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """Each two tasks once: the cosine, and that of either half with the other's other half."""
    back = gradient[[*KEYS, "a", "b", "dot"]].rename(columns={"a": "b", "b": "a", "dot": "back"})
    table = gradient[gradient["a"] <= gradient["b"]].merge(back, on=[*KEYS, "a", "b"])
    norms = facts[[*KEYS, "task", "norm"]]
    for end in "ab":
        named = norms.rename(columns={"task": end, "norm": f"norm_{end}"})
        table = table.merge(named, on=[*KEYS, end])
    size = table["norm_a"] * table["norm_b"]
    table["up"], table["down"] = table["dot"] / size, table["back"] / size
    return table[[*KEYS, "a", "b", "cosine", "up", "down"]].round(4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the models")
    seeds, began = parser.parse_args().seeds, time.monotonic()
    torch.set_num_threads(1)
    profile = runs.load_profile("laptop")
    looked = search(runs.corpus(profile))
    best = looked.loc[looked.groupby("architecture")["loss"].idxmin()]
    rates = best.set_index("architecture")["rate"].to_dict()
    results = [probed(name, s, rates[name]) for s in seeds for name in ARCHITECTURES]
    tables = {n: pd.concat([result[n] for result in results]) for n in results[0]}
    ways = [row for name in ARCHITECTURES if (row := attention(name, rates[name]))]
    columns = [*KEYS, "task", "n", "margin", "margin_sd", "accuracy"]
    models = ["architecture", "seed", "parameters", "blocks", "rate", "step", "tokens", "loss"]
    write_table(OUT / "search.csv", looked, ["architecture", "rate"])
    write_table(OUT / "models.csv", tables["models"][models], models[:2])
    write_table(OUT / "margins.csv.xz", tables["accuracy"][columns], columns[:4])
    spaces = halves(tables["gradient"], tables["tasks"])
    write_table(OUT / "spaces.csv.xz", spaces, [*KEYS, "a", "b"])
    write_table(OUT / "attention.csv", pd.DataFrame(ways), ["architecture"])
    about = {
        "made_by": "python scripts/architectures.py",
        "scale": SCALE,
        "seeds": list(seeds),
        "target": TARGET,
        "at_most": AT_MOST,
        "search": {"rates": RATES, "steps": SEARCH_STEPS, "seed": SEARCH_SEED},
        "corpus": {"sentences": profile.sentences, "seed": profile.corpus_seed},
        "code": store.code_version("studies/architectures"),
    }
    assembly.write_manifest(OUT, about, runs.task_pairs(profile), began)


if __name__ == "__main__":
    main()
