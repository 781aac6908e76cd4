"""The ladder: ways of teaching a task, from its good sentences to masked differentials (chapter 5).

Every rung teaches the same train pairs. On the way up it is written down, step by step, what the
task has gained and what that cost elsewhere, so that rungs can be compared at any equal gain. One
tuning a task and rung is enough: each of its steps is the end of a tuning with a smaller target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from taskspace_utils.store import MODEL_KEYS, InputError


@dataclass(frozen=True)
class Rung:
    """A way of teaching: settings of `ftgd.Config`, and the weight of a penalty, nats per nat.

    With a penalty λ, the loss also holds λ·KL(before ‖ now) a token of neutral text.
    """

    label: str
    settings: dict = field(default_factory=dict)
    penalty: float = 0.0


RUNGS = {
    "good": Rung("good sentence, all tokens", {"loss": "good", "k": 1.0}),
    "continuation": Rung("good, from the difference", {"loss": "continuation", "k": 1.0}),
    "critical": Rung("good, differing tokens", {"loss": "critical", "k": 1.0}),
    "differential": Rung("differential", {"k": 1.0, "delta": 0.5}),
    "differential-k0.1": Rung("differential, top 10 %", {"k": 0.1, "delta": 0.5}),
    "differential-k0.01": Rung("differential, top 1 %", {"k": 0.01, "delta": 0.5}),
    "differential-k0.001": Rung("differential, top 0.1 %", {"k": 0.001, "delta": 0.5}),
    "differential-kl": Rung("differential, KL penalty", {"k": 1.0, "delta": 0.5}, penalty=100.0),
}
SHAM = "preference_sham"  # phenomenon of tasks that are no grammar: never pooled with the others
MIN_MASK = 100  # parameters; a smaller mask is not tuned: the model is too small for its k
MAX_STEPS, REACH = 40, 0.5  # generous: a rung should end at its target, not at its limits
EVERY = 0.8  # nats of train margin between two steps that are written down
SPREAD_PAIRS = 8  # eval pairs of each other task
PENALTY_TOKENS = 600  # of neutral text that the penalty sees; harm is measured on other lines
COLUMNS = ["gain_train", "gain", "accuracy", "spread", "harm_kl", "harm_loss", "flag"]


# ----------------------------------------------------------------------------------- climbing a rung


def climb(
    lm, pairs: pd.DataFrame, source: str, rung: str, texts: Mapping[str, tuple[str, ...]],
    target: float,
) -> pd.DataFrame:  # fmt: skip
    """Teach one task on one rung; the model's weights come back bit for bit.

    Args:
        lm: a `LanguageModel`.
        pairs: all tasks' pairs with `split` filled.
        source: the task that is taught, by its train pairs.
        texts: lines of neutral text by name. The penalty sees the last lines of the first text;
            harm is measured on the first lines of every text.
        target: train margin to gain, nats.

    Returns:
        One row a step that was written down (0: before) and text, the columns of `ladder.csv` from
        `rung` on. `spread` is the mean size of a change of margin in tasks of other phenomena.

    Raises:
        InputError: the task has no train pairs, or a text too few lines for penalty and harm.
    """
    from taskspace_utils import ftgd

    train = pairs[(pairs["task"] == source) & (pairs["split"] == "train")]
    if train.empty:
        raise InputError(f"task {source!r} has no train pairs")
    config = ftgd.Config(
        **RUNGS[rung].settings, target=target, max_steps=MAX_STEPS, max_displacement=REACH
    )
    scales = _Scales(lm, pairs, source, texts)
    rows, steps = [(0, 0.0, scales.read())], 0
    before = ftgd.flat_weights(lm.model)
    size = round(config.k * len(before))

    def watch(gain: float) -> None:
        nonlocal steps
        steps += 1
        if gain >= rows[-1][1] + EVERY:
            rows.append((steps, gain, scales.read()))

    flags = scales.flags()
    if size < MIN_MASK:
        flags.append(f"a mask of {size} parameters is too small")
    else:
        try:
            done = ftgd.tune(lm, train, config, watch, _penalty(lm, texts, RUNGS[rung].penalty))
            if done.steps > rows[-1][0] and done.own_gain > rows[-1][1]:
                rows.append((done.steps, done.own_gain, scales.read()))
            flags += [done.reason] if done.reason else []
        finally:
            ftgd.set_weights(lm.model, before)
    flags += ["not finite"] if not np.isfinite([row[2][0][1] for row in rows]).all() else []
    table = [
        (rung, source, step, text, gain, *own, *harm, "; ".join(flags))
        for step, gain, (own, harms) in rows
        for text, harm in harms.items()
    ]
    return pd.DataFrame(table, columns=["rung", "source", "tuning_step", "text", *COLUMNS])


class _Scales:
    """What is weighed after a step: the task, the other tasks, the neutral texts."""

    def __init__(self, lm, pairs: pd.DataFrame, source: str, texts: Mapping) -> None:
        import torch

        from taskspace_utils import probing

        held = pairs[pairs["split"] == "eval"]
        phenomenon = pairs.loc[pairs["task"] == source, "phenomenon"].iloc[0]
        others = held[~held["phenomenon"].isin([phenomenon, SHAM])]
        own = held[held["task"] == source]
        self.lm, self.n = lm, len(own)
        self.held = pd.concat([own, others.groupby("task").head(SPREAD_PAIRS)])
        self.texts = probing.neutral_texts(lm, texts)
        with torch.no_grad():
            self.base = {n: [p for p, _ in _predictions(lm, t)] for n, t in self.texts.items()}
        self.before = self._margins()

    def flags(self) -> list[str]:
        """Why the own task can't be judged, from what it was before."""
        from taskspace_utils.probing import CEILING, FLOOR

        if not self.n:
            return ["no eval pairs"]
        accuracy = (self.before[: self.n] > 0).mean()
        solved = ["solved before tuning"] if accuracy > CEILING else []
        return solved + (["failed before tuning"] if accuracy < FLOOR else [])

    def read(self) -> tuple[tuple[float, float, float], dict[str, tuple[float, float]]]:
        """(gain, accuracy, spread), and (harm_kl, harm_loss) by text, of the model as it is."""
        from taskspace_utils.scoring import verdicts

        now = self._margins()
        change = pd.Series(now - self.before).groupby(self.held["task"].to_numpy(), sort=False)
        spread = change.mean().iloc[1 if self.n else 0 :].abs().mean()
        gain = accuracy = np.nan
        if self.n:
            own = now[: self.n]
            gain = (own - self.before[: self.n]).mean()
            accuracy = verdicts(own).mean() if np.isfinite(own).all() else np.nan
        harms = {n: _harm(self.lm, t, self.base[n]) for n, t in self.texts.items()}
        return (float(gain), float(accuracy), float(spread)), harms

    def _margins(self) -> np.ndarray:
        from taskspace_utils.scoring import margins

        try:
            return margins(self.lm, self.held)
        except InputError:  # the tuning broke the model; the flag says so
            return np.full(len(self.held), np.nan)


def _predictions(lm, text: list[list[int]]):
    """Log-probabilities of all next tokens, (tokens, vocabulary) a batch, and the tokens' ids."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from taskspace_utils.scoring import chunks

    for places in chunks(text):
        ids = pad_sequence([torch.tensor(text[i]) for i in places], batch_first=True)
        there = [torch.ones(len(text[i]) - 1, dtype=torch.bool) for i in places]
        there = pad_sequence(there, batch_first=True).to(lm.device)
        ids = ids.to(lm.device)
        logits = lm.model(input_ids=ids, use_cache=False).logits[:, :-1]
        yield logits[there].float().log_softmax(-1), ids[:, 1:][there]


def _harm(lm, text: list[list[int]], base: list) -> tuple[float, float]:
    """KL(base ‖ now) and the rise of the loss, nats a token."""
    import torch

    kl = loss = 0.0
    tokens = 0
    with torch.no_grad():
        for (now, ids), then in zip(_predictions(lm, text), base, strict=True):
            kl += float((then.exp() * (then - now)).sum(dtype=torch.float64))
            loss += float((then - now).gather(-1, ids[:, None]).sum(dtype=torch.float64))
            tokens += len(ids)
    return kl / tokens, loss / tokens


def _penalty(lm, texts: Mapping[str, tuple[str, ...]], weight: float):
    """The gradient of weight·KL(before ‖ now) a token, on lines that harm is not measured on."""
    if not weight:
        return None
    import torch

    from taskspace_utils import ftgd, probing

    name, lines = next(iter(texts.items()))
    text = probing.neutral_text(lm, lines[::-1], PENALTY_TOKENS)
    if len(text) + len(probing.neutral_texts(lm, texts)[name]) > len(lines):
        raise InputError(f"the text {name!r} has too few lines for a penalty and for harm")
    with torch.no_grad():
        base = [p for p, _ in _predictions(lm, text)]
    tokens = sum(map(len, base))

    def gradient(lm):
        named = list(ftgd.parameters(lm.model).values())
        total = [torch.zeros_like(p) for p in named]
        for (now, _), then in zip(_predictions(lm, text), base, strict=True):
            kl = (then.exp() * (then - now)).sum() * (weight / tokens)
            parts = torch.autograd.grad(kl, named, allow_unused=True)
            for whole, part in zip(total, parts, strict=True):
                if part is not None:
                    whole += part
        return torch.cat([part.flatten() for part in total])

    return gradient


# --------------------------------------------------------------------------- rungs at an equal gain

VALUES = ["gain_train", "gain", "accuracy", "spread", "harm_kl", "harm_loss"]


def at_gain(table: pd.DataFrame, target: float, by: str = "gain") -> pd.DataFrame:
    """What each tuning had cost when its gain first reached a target.

    Values are interpolated between the two steps around it: linearly, but the divergence by its
    square root, for it grows with the square of a small move.

    Args:
        table: rows of `ladder.csv`.
        by: what is held equal: "gain" (of the held-out margin, nats), "gain_train" (nats) or
            "accuracy" (its rise on held-out pairs, as a share).

    Returns:
        One row a model, rung, source and text, with `reached`; values are NaN where it is False.
    """
    keys = [*MODEL_KEYS, "rung", "source", "text"]
    rows = []
    for key, some in table.groupby(keys, sort=False, dropna=False):
        some = some.sort_values("tuning_step")
        rise = (some[by] - some[by].iloc[0]).to_numpy()
        values = some[VALUES].assign(harm_kl=some["harm_kl"].clip(lower=0) ** 0.5).to_numpy(float)
        after = np.flatnonzero(rise >= target - 1e-9)
        found = np.full(len(VALUES), np.nan)
        if len(after) and (end := after[0]) > 0:
            share = (target - rise[end - 1]) / (rise[end] - rise[end - 1])
            found = values[end - 1] + share * (values[end] - values[end - 1])
        found[VALUES.index("harm_kl")] **= 2
        rows.append((*key, *found, bool(np.isfinite(found).all()), some["flag"].iloc[0]))
    return pd.DataFrame(rows, columns=[*keys, *VALUES, "reached", "flag"])


def comparable(found: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The tasks that reached a target on every rung, so that rungs are compared over the same.

    A rung on which fewer than half of the tasks reached it would leave too few, and is left out.

    Args:
        found: rows of `at_gain`.

    Returns:
        The rows of those rungs and tasks, and for each rung the number of tasks that reached it.
    """
    task = [*MODEL_KEYS, "source"]
    ends = found.drop_duplicates([*task, "rung"])
    counts = ends.groupby("rung")["reached"].sum().astype(int)
    total = ends.drop_duplicates(task).shape[0]
    kept = found[found["rung"].map(counts) >= max(1, total / 2)]
    if kept.empty:
        return kept, counts.to_dict()
    return kept[kept.groupby(task)["reached"].transform("all")], counts.to_dict()


def intervals(
    rows: pd.DataFrame, value: str, to: str = "differential", draws: int = 2000
) -> pd.DataFrame:
    """Means over tasks with 95 % intervals, and each rung beside one of them, task by task.

    Intervals are percentiles of a bootstrap over tasks (seed 0); with few tasks they are too short,
    so look at the points as well.

    Args:
        rows: rows of `comparable`, of one text where `value` is a harm.
        to: the rung that others are compared with: by the geometric mean of ratios where all values
            are positive, else by the mean difference.

    Returns:
        One row a rung: n, mean, low, high, versus, versus_low, versus_high, kind of comparison.
    """
    task = [*MODEL_KEYS, "source"]
    wide = rows.groupby([*task, "rung"], dropna=False)[value].mean().unstack("rung")
    wide = wide[[rung for rung in RUNGS if rung in wide]]
    if wide.empty:
        return pd.DataFrame()
    values = wide.to_numpy()
    places = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    ratio = bool((values > 0).all())
    scale = np.log(values) if ratio else values
    base = scale[:, [list(wide).index(to)]] if to in wide else np.nan
    table = {"n": len(values)}
    for name, data, back in (("", values, None), ("versus", scale - base, np.exp)):
        back = back if ratio and back else np.asarray
        middle = data.mean(axis=0)
        low, high = np.percentile(data[places].mean(axis=1), [2.5, 97.5], axis=0)
        names = [name or "mean", *(f"{name}_{end}".strip("_") for end in ("low", "high"))]
        table |= dict(zip(names, map(back, (middle, low, high)), strict=True))
    return pd.DataFrame(table, index=wide.columns).assign(kind="ratio" if ratio else "difference")
