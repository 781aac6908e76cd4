"""Make data/reference/couples/: the ledger's verdicts where a pair and its opposite stay together.

    python scripts/couples.py [--workers N]        # what the store has is not computed again

Sweeps profile couples, whose models are those of profile reference, and keeps of the run its table
of tasks and what the ledger makes of it. About 40 minutes of two cores, if the store has the models
of profile reference.
"""

from __future__ import annotations

import argparse
import time

from taskspace_utils import assembly, claims, runs, store
from taskspace_utils.profiles import sweep_key
from taskspace_utils.tables import TABLES, write_table

PROFILE = "couples"
OUT = store.data_path("reference", PROFILE)
DIGITS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=None)
    began = time.monotonic()
    run = runs.sweep(PROFILE, workers=parser.parse_args().workers)
    verdicts, tasks = claims.verdicts(run), run.table("tasks")
    for table in (verdicts, tasks):
        numbers = table.select_dtypes("float").columns
        table[numbers] = table[numbers].map(lambda number: float(f"{number:.{DIGITS}g}"))
    write_table(OUT / "verdicts.csv", verdicts, ["claim"])
    write_table(OUT / "tasks.csv.xz", tasks, TABLES["tasks"][0])
    about = {
        "made_by": "python scripts/couples.py",
        "run": sweep_key(runs.load_profile(PROFILE)),
        "ledger": store.file_hash(store.data_path("claims.yml")),
    }
    assembly.write_manifest(OUT, about, runs.task_pairs(PROFILE), began)


if __name__ == "__main__":
    main()
