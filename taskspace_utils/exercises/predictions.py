"""Predictions: written down before anything is run, with the time, and not changed afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from taskspace_utils import store
from taskspace_utils.store import InputError, say


def write_down(path: str | Path, **predictions: str) -> Path | None:
    """Keep predictions in a new JSON file: {written: time in UTC, predictions: {name: text}}.

    Args:
        path: a file that isn't there yet, or holds just these.
        predictions: each by its name; one without text is still to be written.

    Returns:
        The file; None if something is still empty, and then nothing is written.

    Raises:
        InputError: a prediction is no text; or the file holds other ones.
    """
    for name, text in predictions.items():
        if not isinstance(text, str):
            raise InputError(f"{name} is {text!r}: write a prediction as text, between quotes")
    path, said = Path(path), {name: text.strip() for name, text in predictions.items()}
    empty = [name for name, text in said.items() if not text]
    if empty or not said:
        say(f"not written down: {', '.join(empty) or 'all'} still empty. Predict before you run")
        return None
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["predictions"] != said:
            raise InputError(
                f"{path} was written on {kept['written']}: a prediction isn't changed after the "
                "fact. Say in your report what you think now"
            )
        return path
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept = {"written": now, "predictions": said}
    return store.write_atomic(path, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
