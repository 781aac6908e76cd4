"""BLiMP from the Hugging Face hub, at one revision, for those who ask for it (chapter 11)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from taskspace_utils.store import store_path, write_atomic

REVISION = "877fba0801ffb7cbd8c39c1ff314a46f053f6036"  # so that it is always the same pairs


def fetched_blimp(tasks: Iterable[str]) -> Path:
    """All paradigms as one file of pairs in the store; fetched once. Needs `pip install pyarrow`.

    Args:
        tasks: the names of BLiMP's paradigms.
    """
    path = store_path("fetched", f"blimp-{REVISION[:8]}.jsonl")
    if not path.exists():
        from huggingface_hub import hf_hub_download

        here = {"repo_type": "dataset", "revision": REVISION}
        names = [f"{task}/train-00000-of-00001.parquet" for task in tasks]
        files = [hf_hub_download("nyu-mll/blimp", name, **here) for name in names]
        table = pd.concat(map(pd.read_parquet, files))
        write_atomic(path, table.to_json(orient="records", lines=True))
    return path
