"""What a way of tuning gains, what it costs, and what else it moves, each kept in the store.

The table of a climb has the columns of `ladder.csv`, with the way's name for a rung, so that
`equal_gain` reads both alike.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from taskspace_utils import cells, ladder, probing, records, runs, store, trainings
from taskspace_utils.models import LanguageModel
from taskspace_utils.pretraining import checkpoint_name
from taskspace_utils.scoring import chunks, margins, verdicts
from taskspace_utils.store import InputError
from taskspace_utils.studies.ways import WAYS, opened, teach
from taskspace_utils.tables import model_columns

ROOMS = (
    "studies/lessons",
    "studies/ways",
    "studies/ways_measured",
)  # whose code is in a kept result's key
EVERY = 1.0  # nats of train margin between two readings
HARM_TOKENS = 1500  # of all neutral texts together
SPREAD_PAIRS = 6  # held-out pairs of each task of another phenomenon
SPACE_PAIRS = 16  # held-out pairs of each task by which a space is measured
KINDS = ("climb", "moved")
HALVES = ("train", "eval")


def climb(
    lm: LanguageModel, pairs: pd.DataFrame, source: str, way: str, texts: Mapping, target: float
) -> pd.DataFrame:
    """Teach a task in one way, and write down what it gained and cost on the way up.

    Args:
        pairs: all tasks' pairs with `split` filled.
        texts: lines of neutral text by name.
        target: train margin to gain, nats.

    Returns:
        A row a reading and text: columns of `ladder.csv` from `rung` on. `spread` is the mean size
        of a change of margin in tasks of other phenomena; harm is in nats a token.
    """
    held = pairs[pairs["split"] == "eval"]
    own = held[held["task"] == source]
    train = pairs[(pairs["task"] == source) & (pairs["split"] == "train")]
    related = [pairs.loc[pairs["task"] == source, "phenomenon"].iloc[0], ladder.SHAM]
    others = held[~held["phenomenon"].isin(related)].groupby("task").head(SPREAD_PAIRS)
    asked = pd.concat([own, others])
    with opened(lm, WAYS[way]) as free:
        reading = _Reading(free, asked, len(own), probing.neutral_texts(lm, texts, HARM_TOKENS))
        rows, steps = [(0, 0.0, *reading.now())], 0

        def watch(gain: float) -> None:
            nonlocal steps
            steps += 1
            if gain >= rows[-1][1] + EVERY:
                rows.append((steps, gain, *reading.now()))

        gain, done, reason = teach(free, train, WAYS[way], target, watch=watch)
        if done > rows[-1][0] and gain > rows[-1][1]:
            rows.append((done, gain, *reading.now()))
    found = [
        (way, source, step, text, gain, *own_task, *harm, reason)
        for step, gain, own_task, harms in rows
        for text, harm in harms.items()
    ]
    return pd.DataFrame(found, columns=["rung", "source", "tuning_step", "text", *ladder.COLUMNS])


class _Reading:
    """What a model says of pairs (the first `own` of them the task's) and texts, against before."""

    def __init__(self, lm: LanguageModel, pairs: pd.DataFrame, own: int, texts: dict) -> None:
        self.lm, self.pairs, self.own, self.texts = lm, pairs, own, texts
        self.before = margins(lm, pairs)
        self.base = {name: list(self._predictions(text)) for name, text in texts.items()}

    def now(self) -> tuple[tuple[float, float, float], dict[str, tuple[float, float]]]:
        """(gain, accuracy, spread), and (harm_kl, harm_loss) by text."""
        now = margins(self.lm, self.pairs)
        change = pd.Series(now - self.before)
        tasks = self.pairs["task"].to_numpy()[self.own :]
        spread = change[self.own :].groupby(tasks).mean().abs().mean()
        accuracy = verdicts(now[: self.own]).mean()
        own = float(change[: self.own].mean()), float(accuracy), float(spread)
        return own, {name: self._harm(name, text) for name, text in self.texts.items()}

    def _predictions(self, text: list[list[int]]):
        """Log-probabilities of all next tokens, and the tokens; sequences of one length a batch."""
        with torch.no_grad():
            for places in chunks(text):
                for length in sorted({len(text[i]) for i in places}):
                    ids = torch.tensor([text[i] for i in places if len(text[i]) == length])
                    logits = self.lm.model(input_ids=ids, use_cache=False).logits[:, :-1]
                    yield logits.float().log_softmax(-1), ids[:, 1:, None]

    def _harm(self, name: str, text: list[list[int]]) -> tuple[float, float]:
        kl, loss, tokens = 0.0, 0.0, 0
        for (then, ids), (now, _) in zip(self.base[name], self._predictions(text), strict=True):
            kl += float((then.exp() * (then - now)).sum(dtype=torch.float64))
            loss += float((then - now).gather(-1, ids).sum(dtype=torch.float64))
            tokens += ids.numel()
        return kl / tokens, loss / tokens


def moved(
    lm: LanguageModel, pairs: pd.DataFrame, source: str, way: str, half: str, target: float
) -> pd.DataFrame:
    """Teach a task by one half of its pairs: a row of the way's transfer space by the other half.

    Args:
        half: "train" or "eval": the pairs that are tuned on; also decides what chance there is in
            the way, so that the two halves share nothing but the model and the rule.

    Returns:
        A row a target: rung, source, half, target, change of the mean margin (nats), gain_train,
        flag.
    """
    held = pairs[pairs["split"] != half].groupby("task").head(SPACE_PAIRS)
    taught = pairs[(pairs["task"] == source) & (pairs["split"] == half)]
    seed = HALVES.index(half)
    before = _before(lm, held)
    with opened(lm, WAYS[way], seed) as free:
        gain, _, reason = teach(free, taught, WAYS[way], target, seed)
        change = pd.Series(margins(free, held) - before).groupby(held["task"].to_numpy()).mean()
    table = change.rename("change").rename_axis("target").reset_index()
    return table.assign(rung=way, source=source, half=half, gain_train=gain, flag=reason)


_LAST: dict = {}


def _before(lm: LanguageModel, held: pd.DataFrame) -> np.ndarray:
    """Margins before a lesson: the same for every row of a space, so they are read once."""
    key = id(lm), store.text_key([*held["good"], *held["bad"]])
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = lm, margins(lm, held)  # lm stays, so does its id
    return _LAST[key][1]


@functools.cache
def _inputs(profile, tasks: tuple[str, ...]) -> tuple[pd.DataFrame, dict, str]:
    """Pairs, neutral texts, and the key of both, which are kept."""
    pairs, texts = runs.task_pairs(profile), runs.corpus(profile).neutral()
    if tasks:
        pairs = pairs[pairs["task"].isin(tasks)]
    return pairs, texts, cells.keep_inputs(pairs, texts)


def kept(
    kind: str, profile, scale: str, step: int, seed: int, tasks: tuple[str, ...], source: str, **how
) -> pd.DataFrame:
    """A climb or a row of a space of one of the profile's models: from the store, or made and kept.

    Args:
        kind: "climb" or "moved".
        tasks: those whose pairs are evaluated; all of the profile's, if empty.
        how: the function's other arguments: way, target, and of a row the half.

    Returns:
        its table, keyed by the model.

    Raises:
        InputError: there is no such kind, way, task or model.
    """
    if kind not in KINDS:
        raise InputError(f"there is no kind {kind!r}, only {' and '.join(KINDS)}")
    folder = runs.training_folder(profile, scale, seed) / checkpoint_name(step)
    if not trainings.sound(folder):
        runs.checkpoint(profile, scale, step, seed)
    pairs, texts, inputs = _inputs(profile, tasks)
    if source not in set(pairs["task"]) or how.get("way") not in WAYS:
        raise InputError(f"there is no task {source!r}, or no way {how.get('way')!r} to teach it")
    place = cells.Source(str(folder))
    cell = cells.Cell(f"way-{kind}", place, source, tuple(sorted(how.items())))
    about = cells.about_cell(cell, inputs)
    about |= {"ways": store.code_version(*ROOMS)}
    key = store.key_of(about)
    path = store.store_path("ways", key[:2], f"{key}.json")
    found = records.read_record(path)
    if found is None:
        lm = cells.loaded(place)
        made = (
            climb(lm, pairs, source, texts=texts, **how)
            if kind == "climb"
            else moved(lm, pairs, source, **how)
        )
        found = model_columns(made, **lm.keys).astype(object).to_dict("records")
        records.write_record(path, about, found)
    return pd.DataFrame(found)
