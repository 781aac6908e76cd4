"""Make data/reference/ways/: a task taught in eleven ways, and the spaces that seven of them give.

    python scripts/tune_otherwise.py            # what the store has is not computed again

The models are those of data/reference/grammar/, scale S at step 800, seeds 2, 3 and 4; of seed 0,
which the chapter tunes live, only what it tunes is here, and no verdict reads it. (Seed 1 was seen
while the code was written.) The tasks of the climbs are those of the laptop profile's ladder; those
of the spaces are the first of each family in the grammar's order, and the last of families of four
or more. Takes about 15 minutes of one idle core.
"""

from __future__ import annotations

import argparse
import time

import pandas as pd

from taskspace_utils import assembly, load_grammar, runs, store
from taskspace_utils.studies import ways_measured
from taskspace_utils.studies.ways import WAYS
from taskspace_utils.tables import write_table

SCALE, STEP, SEEDS, LIVE_SEED = "S", 800, (2, 3, 4), 0
TARGET, SPACE_TARGET = 3.5, 2.0  # nats of train margin
LIVE_WAYS = ("differential", "preference-1", "self-play", "differential-lora-4")
LIVE_TASKS = ("agreement_pp", "gap_simple")
SPACE_WAYS = ("plain", "differential", "preference-1", "self-play", "differential-blocks",
              "differential-top", "differential-lora-4", "plain-lora-4")  # fmt: skip
OUT = store.data_path("reference", "ways")
ABOUT = ["seed", "rung", "source"]


def space_tasks() -> tuple[str, ...]:
    """The first task of each family, and the last of families of four; no shams or exceptions."""
    tasks = load_grammar().tasks().query("sham_of == '' and bag_exception == ''")
    chosen = tasks.drop_duplicates("family")["task"].tolist()
    large = tasks[tasks.groupby("family")["task"].transform("size") >= 4]
    chosen += large.drop_duplicates("family", keep="last")["task"].tolist()
    return tuple(sorted(chosen))


def of_seed(seed: int) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """All climbs and all rows of spaces of a model."""
    profile = runs.load_profile("reference")
    live = seed == LIVE_SEED
    climbed = [(w, t) for t in (LIVE_TASKS if live else profile.ladder["tasks"])
               for w in (LIVE_WAYS if live else WAYS)]  # fmt: skip
    climbs = [
        ways_measured.kept("climb", profile, SCALE, STEP, seed, (), task, way=way, target=TARGET)
        for way, task in climbed
    ]
    tasks, rows = space_tasks(), []
    for way in () if live else SPACE_WAYS:
        store.say(f"seed {seed}: the space of {way}")
        for half in ways_measured.HALVES:
            how = {"way": way, "half": half, "target": SPACE_TARGET}
            for task in tasks:
                rows.append(
                    ways_measured.kept("moved", profile, SCALE, STEP, seed, tasks, task, **how)
                )
    return climbs, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    seeds, began = parser.parse_args().seeds, time.monotonic()
    climbs, rows = [], []
    for seed in (*seeds, LIVE_SEED):
        found = of_seed(seed)
        climbs, rows = climbs + found[0], rows + found[1]
    keys = [*ABOUT, "tuning_step", "text"]
    table = pd.concat(climbs).drop(columns=["model"])
    write_table(OUT / "ways.csv.xz", table, keys)
    spaces = pd.concat(rows)[[*ABOUT, "half", "target", "change", "gain_train", "flag"]]
    write_table(OUT / "moved.csv.xz", spaces, [*ABOUT, "half", "target"])
    about = {
        "made_by": "python scripts/tune_otherwise.py",
        "scale": SCALE,
        "step": STEP,
        "seeds": list(seeds),
        "live_seed": LIVE_SEED,
        "ways": {name: vars(way) for name, way in WAYS.items()},
        "space_ways": SPACE_WAYS,
        "space_tasks": space_tasks(),
        "target": TARGET,
        "space_target": SPACE_TARGET,
        "code": store.code_version(*ways_measured.ROOMS),
    }
    assembly.write_manifest(OUT, about, runs.task_pairs("reference"), began)


if __name__ == "__main__":
    main()
