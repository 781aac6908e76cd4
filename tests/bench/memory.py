"""Peak memory of the gradient space, each size in a process of its own.

What counts is the process's largest resident memory less what it was after all imports and before
there was a model: the model itself, its gradients, and all that is kept of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd

from taskspace_utils import models, scales
from taskspace_utils import pairs as tables

from .material import SHAPE, TINY, Material
from .measure import measure, plain

GIB = 2**30
SPARE = 2 * GIB  # of the machine's memory, left to others


def memory_part(m: Material, folder: Path, quick: bool = False) -> dict:
    """Peaks over numbers of tasks, of pairs, and of parameters."""
    name = "tiny" if quick else SHAPE.name
    runs = [{"scale": name, "tasks": t, "pairs": 8} for t in ((2, 4) if quick else (4, 16, 67))]
    if not quick:
        runs += [{"scale": name, "tasks": 4, "pairs": n} for n in (32, 128)]
        runs += [{"scale": size, "tasks": 4, "pairs": 8} for size in ("8M", "27M", "70M", "203M")]
        runs += [
            {"scale": "27M", "tasks": 67, "pairs": 4},
            {"scale": "27M", "tasks": 4, "pairs": 4},
        ]
    rows = [run | _peak(m, folder, **run) for run in runs]
    alone = [
        {"scale": size, "tasks": 1, "pairs": 4} for size in ([name] if quick else [name, "27M"])
    ]
    bare = [run | _peak(m, folder, **run, alone=True) for run in alone]
    measures = [] if quick else _measures(pd.DataFrame(rows), pd.DataFrame(bare))
    about = (
        "resident memory above that of the interpreter once all code has run on a tiny model; "
        "`pairs` a task, half in each half; float32 weights, made in the process; `alone` is plain "
        "PyTorch: the model, and one backward pass over one pair"
    )
    return {
        "about": about, "sizes": rows, "alone": bare, "measures": measures, "agreement": {},
    }  # fmt: skip


def _measures(table: pd.DataFrame, bare: pd.DataFrame) -> list[dict]:
    found = []
    limits = (bare["peak"] / bare["model_bytes"]).set_axis(bare["scale"])
    for scale, count in ((SHAPE.name, 8), ("27M", 4)):
        some = table[(table["scale"] == scale) & (table["pairs"] == count)].set_index("tasks")
        times = some["peak"] / some["model_bytes"]
        note = "" if pd.notna(times[67]) else some.loc[67, "failed"]
        value = plain(times[67]) if not note else _failed(note)
        name = f"memory of 67 tasks, model of {some['parameters'].max() / 1e6:.1f}M parameters"
        found.append(
            measure(
                name,
                value,
                3.0,
                None,
                "times the model",
                at_least=False,
                limit=None if pd.isna(limits[scale]) else float(limits[scale]),
                why="measured: the model, and one backward pass of plain PyTorch over a single "
                f"pair, with nothing kept of it; with 4 tasks instead of 67 {times[4]:.1f}",
            )
        )
    large = table[table["scale"] == "203M"].iloc[0]
    value = plain(large["peak"] / GIB) if pd.notna(large["peak"]) else _failed(large["failed"])
    found.append(measure("memory of 203M parameters", value, 6.0, None, "GiB", at_least=False))
    return found


def _failed(reason: str) -> dict:
    return {"ratio": None, "low": None, "high": None, "refused": reason}


def _peak(
    m: Material, folder: Path, scale: str, tasks: int, pairs: int, alone: bool = False
) -> dict:
    """Run one size in a fresh process."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pairs.jsonl"
    tables.write_pairs(file, m.of(m.tasks[:tasks], pairs))
    tokenizer = folder / "tokenizer"
    m.lm.tokenizer.save_pretrained(tokenizer)
    command = [sys.executable, "-m", "tests.bench.memory", scale, str(tokenizer), str(file)]
    command += ["alone"] * alone
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["killed"])[-1][:200]
        return {"peak": None, "model_bytes": None, "parameters": None, "seconds": None,
                "failed": reason}  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1]) | {"failed": ""}


def scale_of(name: str) -> scales.Scale:
    """A scale of `data/scales.yml`, or one of the benchmark's own."""
    own = {s.name: s for s in (SHAPE, TINY)}
    return own.get(name) or scales.load_scale(name)


def high_water(key: str = "VmHWM") -> int:
    """A line of Linux' account of this process's memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {key}")


def available() -> int:
    """Memory that the machine could still give, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/meminfo has no MemAvailable")


def child(scale: str, tokenizer: str, file: str, alone: str = "") -> dict:
    """In the fresh process: make the model, compute the space, say how much memory it took.

    `alone` asks for the least that any method needs instead: one backward pass, of plain PyTorch.
    """
    import resource

    import torch
    from transformers import PreTrainedTokenizerFast

    from taskspace_utils import gradient_space

    torch.set_num_threads(1)
    # beyond this an allocation fails here, instead of ending some other process
    limit = high_water("VmData") + max(GIB, available() - SPARE)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    table = tables.read_pairs(file)
    tokens = PreTrainedTokenizerFast.from_pretrained(tokenizer)

    def model_of(shape: scales.Scale) -> models.LanguageModel:
        model = scales.new_model(replace(shape), shape.vocabulary, seed=0)
        return models.LanguageModel(model, tokens, shape.name, 0, "bos", shape.context, "", {})

    def work(lm: models.LanguageModel, some: pd.DataFrame) -> None:
        if not alone:
            gradient_space(lm, some)
            return
        for sentence in some.iloc[0][["good", "bad"]]:
            ids = torch.tensor(lm.encode([sentence]))
            lm.model(input_ids=ids, labels=ids, use_cache=False).loss.backward()

    # code that is loaded at its first use is the interpreter's, not the model's
    smallest = replace(TINY, vocabulary=len(tokens))
    work(model_of(smallest), table[table["task"] == table["task"].iloc[0]])
    Path("/proc/self/clear_refs").write_text("5")  # the high water starts again from here
    start = high_water("VmRSS")
    lm = model_of(scale_of(scale))
    began = time.process_time()
    work(lm, table)
    parameters = sum(p.numel() for p in lm.model.parameters())
    return {
        "peak": high_water() - start,
        "model_bytes": 4 * parameters,
        "parameters": parameters,
        "seconds": time.process_time() - began,
    }


if __name__ == "__main__":
    print(json.dumps(child(*sys.argv[1:])))
