"""Two workers against one, in seconds on the wall: the only part that needs two idle cores."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from taskspace_utils import cells, runs

from .material import Material
from .measure import measure, plain, scatter

WHY = (
    "starting the workers counts: each loads torch and transformers before its first cell, some "
    "5 s, and the last cells leave one core idle; both weigh less the longer a sweep is"
)
BUSY = 0.10  # of the machine, by others, beyond which two workers prove nothing


def workers_part(m: Material, quick: bool = False, rounds: int = 2) -> dict:
    """The same probe with one worker and with two, in turns, each with an empty store."""
    pairs = m.of(m.sample[:2] if quick else m.sample, 8 if quick else 100)
    tunings = [{"k": 0.01, "max_steps": 1}] if quick else [{"k": 0.01}]
    times: dict[str, list[float]] = {"one worker": [], "two workers": []}
    tables = {}
    others = busy()
    for _ in range(rounds):
        for number, name in enumerate(times, start=1):
            with TemporaryDirectory() as folder:
                kept = os.environ.get("TASKSPACES_STORE")
                os.environ["TASKSPACES_STORE"] = str(Path(folder, "store"))
                try:
                    began = time.perf_counter()
                    done = runs.probe(
                        cells.Source(str(m.folder)), pairs, Path(folder, "run"),
                        methods=["transfer"], tunings=tunings, workers=number,
                    )  # fmt: skip
                    times[name].append(time.perf_counter() - began)
                    tables[name] = done.table("transfer")
                finally:
                    os.environ.pop("TASKSPACES_STORE")
                    if kept is not None:
                        os.environ["TASKSPACES_STORE"] = kept
    each = [a / b for a, b in zip(*times.values(), strict=True)]
    reason = ""
    if (os.cpu_count() or 1) < 2:
        reason = "this machine has one core"
    elif others > BUSY:
        reason = f"others used {others:.0%} of the machine before it began"
    elif scatter(times["one worker"]) > 0.1:
        reason = "the rounds of one worker scatter"
    value = plain(median(each), min(each), max(each))
    if reason:
        value = {"ratio": None, "low": None, "high": None, "refused": reason}
    same = tables["one worker"].equals(tables["two workers"])
    return {
        "about": f"transfer rows of {pairs['task'].nunique()} tasks, {len(pairs)} pairs in all; "
        "seconds on the wall, starting the workers included",
        "rounds": times,
        "measures": [measure("a probe with two workers, against one", value, 1.8, None, why=WHY)],
        "agreement": {"same_tables": bool(same)},
    }


def busy(seconds: float = 1.0) -> float:
    """Share of the machine's time in use while this process sleeps; 0 where it can't be told."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0.0

    def now() -> tuple[int, int]:
        values = [int(v) for v in stat.read_text().splitlines()[0].split()[1:9]]
        return sum(values), values[3] + values[4]

    all_before, idle_before = now()
    time.sleep(seconds)
    all_after, idle_after = now()
    total = all_after - all_before
    return 1 - (idle_after - idle_before) / total if total else 0.0
