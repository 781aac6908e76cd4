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

from taskspace_utils.store import InputError


@dataclass(frozen=True)
class Rung:
    """A way of teaching: settings of `ftgd.Config`, and the weight of a penalty, nats per nat.

    With a penalty λ, the loss also holds λ·KL(before ‖ now) a token of neutral text.
    """

    label: str
    settings: dict = field(default_factory=dict)
    penalty: float = 0.0


RUNGS = {
    "good": Rung(
        "good sentence, all tokens", {"loss": "good", "k": 1.0, "delta": 0.2, "max_steps": 100}
    ),  # far steeper in some directions than in others: longer steps would only be halved
    "continuation": Rung("good, from the difference", {"loss": "continuation", "k": 1.0}),
    "critical": Rung("good, differing tokens", {"loss": "critical", "k": 1.0}),
    "differential": Rung("differential", {"k": 1.0, "delta": 0.5}),
    "differential-k0.1": Rung("differential, top 10 %", {"k": 0.1, "delta": 0.5}),
    "differential-k0.01": Rung("differential, top 1 %", {"k": 0.01, "delta": 0.5}),
    "differential-k0.001": Rung("differential, top 0.1 %", {"k": 0.001, "delta": 0.5}),
    "differential-kl": Rung("differential, KL penalty", {"k": 1.0, "delta": 0.5}, penalty=30.0),
}
SHAM = "preference_sham"  # phenomenon of tasks that are no grammar: never pooled with the others
MIN_MASK = 100  # parameters; a smaller mask is not tuned: the model is too small for its k
REACH = 0.5  # of the weights' norm: a rung should end at its target, not at this limit
EVERY = 0.8  # nats of train margin between two steps that are written down
SPREAD_PAIRS = 8  # eval pairs of each other task
PENALTY_TOKENS = 600  # of neutral text that the penalty sees; harm is measured on other lines
COLUMNS = ["gain_train", "gain", "accuracy", "spread", "harm_kl", "harm_loss", "flag"]


# ---------------------------------------------------------------------------------- climbing a rung


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
    config = ftgd.Config(**RUNGS[rung].settings, target=target, max_displacement=REACH)
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
    if scales.n and not np.isfinite([own[0] for _, _, (own, _) in rows]).all():
        flags.append("not finite")
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
