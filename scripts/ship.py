"""Ship a run as a reference: the same folder, with a gradient table that is small.

    python scripts/ship.py RUN NAME

The gradient table of many models has 14 MB. Of its columns the chapters read four across seeds and
steps; these are kept, rounded, and the manifest says what was left out and to how many digits what
is left was rounded (`shipped`), beside the checksum of the table that the run wrote (`whole`). The
rows of several scales are several files, so that none is larger than 2 MB.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from taskspace_utils import store, tables
from taskspace_utils.tables import Run

KEPT = ["cosine", "cosine_corrected", "overlap_lift", "dot"]
DIGITS = 4  # significant ones


def ship(run: Run, folder: Path) -> None:
    """Copy a run folder to `folder`, which must be new, and thin its gradient table."""
    keys, columns = tables.TABLES["gradient"]
    [path] = run.folder.glob("gradient.csv*")
    thin = run.table("gradient")[[*keys, *KEPT]]
    thin[KEPT] = thin[KEPT].map(lambda number: float(f"{number:.{DIGITS}g}"))
    shutil.copytree(run.folder, folder)
    (folder / path.name).unlink()
    scales = dict(list(thin.groupby("scale")))
    if len(scales) > 1:
        parts = {f"gradient-{scale}.csv.xz": part for scale, part in scales.items()}
    else:
        parts = {path.name: thin}
    for name, part in parts.items():
        tables.write_table(folder / name, part, keys)
    manifest = dict(run.manifest)
    left_out = [name for name in columns if name not in KEPT]
    manifest["shipped"] = {
        "gradient": {"left_out": left_out, "digits": DIGITS, "whole": manifest["sha256"][path.name]}
    }
    sums = {name: known for name, known in manifest["sha256"].items() if name != path.name}
    manifest["sha256"] = sums | {name: store.file_hash(folder / name) for name in parts}
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
    store.write_atomic(folder / "manifest.json", text + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ship(Run(sys.argv[1]), store.data_path("reference", sys.argv[2]))
