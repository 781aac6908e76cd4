"""Scores: log-probabilities of sentences, margins and accuracy of pairs, loss on text.

The score of a sentence is the *sum* of its tokens' log-probabilities (natural logarithm), the
first token included, after the declared BOS; see chapter 1, equation 1.1. Sentences are padded on
the right: in a causal model nothing to the right reaches a token's prediction.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from taskspace_utils import trees
from taskspace_utils.models import LanguageModel
from taskspace_utils.store import InputError

CHUNK_TOKENS = 512  # in one forward pass: the logits of more no longer fit in a cache
NEAR_TIE = 0.5  # nats; bf16 may turn the sign of a smaller margin, so that is scored in fp32


def chunks(ids: list[list[int]], tokens: int = CHUNK_TOKENS) -> Iterator[list[int]]:
    """Places of sequences of similar length that fit in one forward pass, longest first."""
    order = sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i))
    while order:
        n = max(1, tokens // len(ids[order[0]]))
        yield order[:n]
        order = order[n:]


def sequence_log_probabilities(model: torch.nn.Module, ids: list[list[int]]) -> torch.Tensor:
    """Log-probability of each sequence given its first token; differentiable.

    Args:
        ids: token ids; the first of each is not scored (it is BOS).

    Returns:
        shape (len(ids),), nats: the sum over tokens t ≥ 1 of log P(token t | tokens before t).
    """
    device = next(model.parameters()).device
    length = max(map(len, ids))
    padded = torch.zeros(len(ids), length, dtype=torch.long)
    targets = torch.full((len(ids), length), -100)
    for row, tokens in enumerate(ids):
        padded[row, : len(tokens)] = torch.tensor(tokens)
        targets[row, 1 : len(tokens)] = padded[row, 1 : len(tokens)]
    logits = model(input_ids=padded.to(device), use_cache=False).logits[:, :-1].float()
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1),
        targets[:, 1:].flatten().to(device),
        ignore_index=-100,
        reduction="none",
    )
    return -loss.view(len(ids), length - 1).sum(dim=1)


def padded(
    model: torch.nn.Module, ids: list[list[int]]
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Forward passes over many sequences: places in `ids`, and their log-probabilities, nats."""
    for places in chunks(ids):
        yield places, sequence_log_probabilities(model, [ids[i] for i in places])


def passes(
    model: torch.nn.Module, ids: list[list[int]]
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """The same as `padded`, over prefix trees where the model can read them: half the work."""
    return (trees.passes if trees.fits(model) else padded)(model, ids)


def log_probabilities(
    lm: LanguageModel, sentences: list[str], precision: str | None = None
) -> np.ndarray:
    """Log-probability of each sentence.

    Equal sentences are scored once, so that an identical pair has a margin of exactly 0.

    Args:
        precision: of the forward passes, "fp32" or "bf16"; the model's own by default.

    Returns:
        shape (len(sentences),), float64, nats.

    Raises:
        InputError: see `LanguageModel.encode`; or the model gives a value that isn't finite.
    """
    distinct = sorted(set(sentences))
    ids = lm.encode(distinct)
    scores = np.empty(len(distinct))
    with torch.no_grad(), lm.autocast(precision):
        for places, values in passes(lm.model, ids):
            scores[places] = values.double().cpu().numpy()
    if not np.isfinite(scores).all():
        sentence = distinct[int(np.flatnonzero(~np.isfinite(scores))[0])]
        raise InputError(f"{lm.name} gives no finite log-probability to {sentence[:80]!r}")
    place = {sentence: i for i, sentence in enumerate(distinct)}
    return scores[[place[s] for s in sentences]]


def margins(lm: LanguageModel, pairs: pd.DataFrame) -> np.ndarray:
    """Margin of each pair: log P(good) − log P(bad); shape (len(pairs),), nats."""
    good, bad = _both(lm, pairs)
    return good - bad


def _both(lm: LanguageModel, pairs: pd.DataFrame) -> np.ndarray:
    """log P(good) and log P(bad), shape (2, len(pairs)); in bf16, near-ties are scored again."""
    found = log_probabilities(lm, [*pairs["good"], *pairs["bad"]]).reshape(2, len(pairs))
    near = np.flatnonzero(np.abs(found[0] - found[1]) < NEAR_TIE)
    if lm.precision == "bf16" and len(near):
        some = pairs.iloc[near]
        again = log_probabilities(lm, [*some["good"], *some["bad"]], "fp32")
        found[:, near] = again.reshape(2, len(near))
    return found


def verdicts(margin: np.ndarray) -> np.ndarray:
    """1 where the good sentence is more probable, 0 where the bad one is, ½ at an exact tie."""
    return (np.sign(margin) + 1) / 2


def score(lm: LanguageModel, pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every pair.

    Returns:
        One row a task (the columns of `accuracy.csv` from `task` on; `bits_per_token` is that of
        the good sentences), and the table of pairs with log-probabilities and margins.
    """
    good, bad = _both(lm, pairs)
    each = pairs[["task", "pair_id", "good", "bad"]].assign(
        log_p_good=good, log_p_bad=bad, margin=good - bad
    )
    first = 0 if lm.bos_id is None else 1
    tokens = [len(t) - 1 if first == 0 else len(t) - first for t in lm.encode(list(pairs["good"]))]
    each["tokens_good"] = tokens
    rows = []
    for task, rows_of in each.groupby("task", sort=True):
        m = rows_of["margin"].to_numpy()
        rows.append(
            {
                "task": task,
                "n": len(m),
                "accuracy": verdicts(m).mean(),
                "margin": m.mean(),
                "margin_sd": m.std(ddof=1),
                "ties": int((m == 0).sum()),
                "bits_per_token": -rows_of["log_p_good"].sum()
                / rows_of["tokens_good"].sum()
                / np.log(2),
            }
        )
    return pd.DataFrame(rows), each


def text_loss(model: torch.nn.Module, ids: list[list[int]]) -> float:
    """Mean loss a token on sequences of token ids, nats; the first token of each is not scored."""
    total = 0.0
    with torch.no_grad():
        for _, values in padded(model, ids):
            total -= float(values.double().sum())
    return total / sum(len(tokens) - 1 for tokens in ids)
