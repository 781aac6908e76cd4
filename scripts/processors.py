"""How far rounding carries in training: one model trained with two processors' instructions.

    python scripts/processors.py [--scale S] [--steps 800]

Trains the same model (seed 0, corpus and pairs of profile laptop) twice on this machine, once with
the instructions that torch chooses and once with AVX2 alone, each in an empty store, and writes
data/reference/processors.csv: by step, how far the tasks' mean margins and accuracies came to lie
apart. Two to three minutes on one core. It needs a processor with AVX512.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from taskspace_utils import store
from taskspace_utils.store import data_path
from taskspace_utils.tables import Run, write_table

FEWER = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
CODE = """
import sys
from dataclasses import replace
from taskspace_utils import runs
folder, scale, steps = sys.argv[1:]
given = {"scales": (scale,), "seeds": (0,), "steps": int(steps), "probe_at": (), "transfer_at": ()}
given |= {"tunings": (), "ladder": {}, "chapters": {}}
runs.sweep(replace(runs.load_profile("laptop"), **given), folder, workers=1)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", default="S")
    parser.add_argument("--steps", type=int, default=800)
    options = parser.parse_args()
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for name, own in (("all", {}), ("avx2", FEWER)):
            out = Path(folder, name)
            own = own | {"TASKSPACES_STORE": f"{out}-store", "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-c", CODE, str(out), options.scale, str(options.steps)]
            subprocess.run(command, env=os.environ | own, check=True)
            run = Run(out)
            tables.append(run.table("accuracy").assign(processor=run.manifest["processor"]))
    both = tables[0].merge(tables[1], on=["scale", "seed", "step", "task"], suffixes=("", "'"))
    both["margin"] = (both["margin"] - both["margin'"]).abs()
    both["accuracy"] = (both["accuracy"] - both["accuracy'"]).abs()
    keys = ["scale", "step", "processor", "processor'"]
    found = both.groupby(keys, as_index=False).agg(
        tasks=("task", "size"), margin_median=("margin", "median"), margin_max=("margin", "max"),
        accuracy_max=("accuracy", "max"),
    )  # fmt: skip
    found = found.rename(columns={"processor'": "other"})
    store.say(found.to_string())
    write_table(data_path("reference", "processors.csv"), pd.DataFrame(found), ["scale", "step"])


if __name__ == "__main__":
    main()
