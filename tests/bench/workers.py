"""Two workers against one, in seconds on the wall: the only part that needs two idle cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pandas as pd

from taskspace_utils import jobs, probes
from taskspace_utils.cells import Source, cell_jobs, probing_cells
from taskspace_utils.pairs import read_pairs, write_pairs

from .material import Material
from .measure import measure, plain, scatter

WHY = (
    "measured: twice the time of some tunings in one process, over the time of the same in two "
    "processes at once, both ready before the clock starts; the cores share memory and heat"
)
BUSY = 0.10  # of the machine, by others, beyond which two workers prove nothing


def workers_part(m: Material, quick: bool = False, rounds: int = 2) -> dict:
    """The same probe with one worker, with two, and how far two cores disturb each other."""
    tasks = m.sample[:2] if quick else m.tasks[::4]
    pairs = m.of(tasks, 8 if quick else 100)
    tunings = [{"k": 0.01, "max_steps": 1}] if quick else [{"k": 0.01}]
    times: dict[str, list[float]] = {"one worker": [], "two workers": []}
    limits = []
    tables = {}
    others = busy()
    for _ in range(rounds):
        for number, name in enumerate(("one worker", "two workers"), start=1):
            with TemporaryDirectory() as folder, _store(Path(folder, "store")):
                began = time.perf_counter()
                done = probes.probe(
                    Source(str(m.folder)), pairs, Path(folder, "run"),
                    methods=["transfer"], tunings=tunings, workers=number,
                )  # fmt: skip
                times[name].append(time.perf_counter() - began)
                tables[name] = done.table("transfer")
        with TemporaryDirectory() as folder:
            limits.append(_both_cores(m, m.of(tasks[:4], 8 if quick else 100), tunings, folder))
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
        "measures": [
            measure(
                "a probe with two workers, against one",
                value,
                1.8,
                None,
                limit=median(limits),
                why=WHY,
            )
        ],
        "agreement": {"same_tables": bool(same)},
    }


@contextmanager
def _store(folder: Path) -> Iterator[None]:
    """An empty store for as long as a `with` block lasts."""
    kept = os.environ.get("TASKSPACES_STORE")
    os.environ["TASKSPACES_STORE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("TASKSPACES_STORE")
        if kept is not None:
            os.environ["TASKSPACES_STORE"] = kept


def _both_cores(m: Material, pairs: pd.DataFrame, tunings: list[dict], folder: str) -> float:
    """How much more two processes do than one: each the same rows, alone and both at once."""
    write_pairs(Path(folder, "pairs.jsonl"), pairs)

    def seconds(count: int) -> float:
        places = [Path(folder, f"store-{count}-{turn}") for turn in range(count)]
        asked = json.dumps([str(m.folder), str(Path(folder, "pairs.jsonl")), tunings])
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.bench.workers", asked],
                env=os.environ | {"TASKSPACES_STORE": str(place)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for place in places
        ]
        for process in running:
            process.stdout.readline()  # it is ready
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        return max(float(process.communicate()[0]) for process in running)

    return 2 * seconds(1) / seconds(2)


def child(model: str, file: str, tunings: list[dict]) -> None:
    """In a process of its own: load all there is, say so, and at a word tune on each task."""
    source, pairs = Source(model), read_pairs(file)
    rows = probing_cells(source, pairs["task"].unique(), tunings, ["transfer"])
    first, *rows = cell_jobs(rows, pairs, {})
    jobs.run([first], workers=1)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    jobs.run(rows, workers=1)
    print(time.perf_counter() - began)


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


if __name__ == "__main__":
    child(*json.loads(sys.argv[1]))
