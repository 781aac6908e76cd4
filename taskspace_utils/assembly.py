"""Assembly: the tables of many cells, put together as a run folder."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from taskspace_utils import store
from taskspace_utils.tables import Run, write_run


def assemble(
    out: Path, tables: dict[str, pd.DataFrame], pairs: pd.DataFrame, tunings: Iterable[dict],
    about: dict, began: float,
) -> Run:  # fmt: skip
    """Write a run folder: the cells' tables, what is known of the pairs alone, the manifest."""
    from taskspace_utils.checks import bag_accuracy
    from taskspace_utils.hypotheses import lexical_diff

    if "tasks" in tables:
        bags = {task: bag_accuracy(some) for task, some in pairs.groupby("task")}
        tables["tasks"]["bag_accuracy"] = tables["tasks"]["task"].map(bags)
    if "transfer" in tables:
        tables["configs"] = _configs(tunings, about)
    tables["lexical"] = lexical_diff(pairs)
    ladder = {"ladder": store.code_version("ladder")} if "ladder" in tables else {}
    tasks = sorted(pairs["task"].unique())
    manifest = {**about, **ladder, "tasks": tasks, **provenance(pairs, began)}
    return write_run(out, tables, manifest)


def provenance(pairs: pd.DataFrame, began: float) -> dict:
    """What a manifest says of any result: its pairs, the code, versions, machine and seconds.

    Args:
        began: `time.monotonic()` when the work was begun.
    """
    import torch

    return {
        "pairs": store.text_key(map(repr, pairs.itertuples(index=False))),
        "method": store.method_version(),
        "versions": store.versions(),
        **store.hardware(),
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),  # other ones add in another order
        "threads": 1,
        "seconds": round(time.monotonic() - began, 1),
    }


def write_manifest(folder: Path, about: dict, pairs: pd.DataFrame, began: float) -> Path:
    """`manifest.json` beside tables that are no run's: what they are of, and their provenance."""
    grammar = store.tree_hash(store.data_path("grammar").glob("*.yml"))
    whole = {**about, "grammar": grammar, **provenance(pairs, began)}
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False)
    return store.write_atomic(folder / "manifest.json", text + "\n")


def _configs(tunings: Iterable[dict], about: dict) -> pd.DataFrame:
    from taskspace_utils.ftgd import Config

    rows = []
    for config in (Config(**tuning) for tuning in tunings):
        rows.append(
            {
                "tuning": config.id,
                "loss": config.loss,
                "optimiser": "gradient descent, full batch",
                "step_rule": f"gain {config.delta:g} nats, at most {config.max_steps} steps",
                "mask": "none" if config.k >= 1 else "top k of |g|",
                "k": config.k,
                "target": config.target,
                "pair_seed": about["pair_seed"],
                "tune_seed": "",  # a full batch leaves nothing to chance
            }
        )
    return pd.DataFrame(rows)
