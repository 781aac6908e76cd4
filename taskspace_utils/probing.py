"""Similarity probing: the transfer space (chapter 6).

Evaluate a model on all tasks, tune a copy on one task, evaluate again; the change is a row of the
space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch

from taskspace_utils.ftgd import Config, Tuned, tuned
from taskspace_utils.models import LanguageModel
from taskspace_utils.scoring import chunks, margins, verdicts
from taskspace_utils.store import InputError

CEILING, FLOOR = 0.99, 0.01  # accuracies beyond which a task leaves no room to move
NO_TRAIN = Tuned(np.nan, 0, False, 0.0, "no train pairs")  # what a tuning on nothing did
HARM_TOKENS = 3000  # of all neutral texts together, on which harm is measured


def transfer_row(
    lm: LanguageModel,
    pairs: pd.DataFrame,
    source: str,
    config: Config,
    texts: dict[str, list[list[int]]] | None = None,
    before: np.ndarray | None = None,
) -> tuple[pd.DataFrame, dict, pd.DataFrame]:
    """Tune on one task and evaluate all: a row of the transfer space (chapter 6, equation 6.1).

    Args:
        pairs: all tasks' pairs with `split` filled: `source`'s train pairs are tuned on, every
            task's eval pairs are evaluated.
        texts: sequences of neutral texts on which harm is measured, by the texts' names.
        before: margins of the eval pairs before tuning, where the caller has them already.

    Returns:
        One row a target (columns of `transfer.csv` from `tuning` on), one row of `tuning.csv`, and
        one row a text: `harm_kl`, KL(before ‖ after), and `harm_loss`, the rise of the loss, both
        in nats a token. The model's weights are unchanged.
    """
    train = pairs[(pairs["task"] == source) & (pairs["split"] == "train")]
    held = pairs[pairs["split"] == "eval"]
    if source not in set(pairs["task"]):
        raise InputError(f"there is no task {source!r}; the tasks are {_names(pairs)}")
    before = margins(lm, held) if before is None else before
    texts = texts or {}
    base = {name: _text_log_probabilities(lm, text) for name, text in texts.items()}
    lesson = tuned(lm, train, config) if len(train) else nullcontext(NO_TRAIN)
    with lesson as result:
        after = _margins_or_nan(lm, held) if len(train) else np.full(len(held), np.nan)
        asked = texts if len(train) else ()
        harm = [(config.id, source, name, *_harm(lm, texts[name], base[name])) for name in asked]
    each = pd.DataFrame({"task": held["task"].to_numpy(), "before": before, "after": after})
    rows = []
    for target in sorted(pairs["task"].unique()):
        some = each[each["task"] == target]
        change = some["after"] - some["before"]
        accuracy = verdicts(some["before"].to_numpy()).mean() if len(some) else np.nan
        rows.append(
            {
                "tuning": config.id,
                "source": source,
                "target": target,
                "margin_before": some["before"].mean(),
                "margin_after": some["after"].mean(),
                "margin_se": change.std(ddof=1) / np.sqrt(len(some)) if len(some) else np.nan,
                "accuracy_before": accuracy,
                "accuracy_after": verdicts(some["after"].to_numpy()).mean()
                if len(some)
                else np.nan,
                "n_eval": len(some),
                "flag": _transfer_flag(change, accuracy) if len(train) else NO_TRAIN.reason,
            }
        )
    summary = {
        "tuning": config.id,
        "source": source,
        "own_gain": result.own_gain,
        "steps": result.steps,
        "reached": int(result.reached),
        "displacement": result.displacement,
        "flag": result.reason,
    }
    columns = ["tuning", "source", "text", "harm_kl", "harm_loss"]
    return pd.DataFrame(rows), summary, pd.DataFrame(harm, columns=columns)


def _names(pairs: pd.DataFrame) -> str:
    return ", ".join(sorted(pairs["task"].unique()))


def _margins_or_nan(lm: LanguageModel, held: pd.DataFrame) -> np.ndarray:
    try:
        return margins(lm, held)
    except InputError:  # tuning broke the model; the flag says so, and the other rows go on
        return np.full(len(held), np.nan)


def _transfer_flag(change: pd.Series, accuracy: float) -> str:
    if change.empty:
        return "no eval pairs"
    if not np.isfinite(change).all():
        return "not finite after tuning"
    if accuracy > CEILING:
        return "solved before tuning"
    return "failed before tuning" if accuracy < FLOOR else ""


def _text_log_probabilities(lm: LanguageModel, text: list[list[int]]) -> list[torch.Tensor]:
    """Log-probabilities of all next tokens, one tensor (batch, length − 1, vocabulary) a chunk."""
    found = []
    with torch.no_grad():
        for places in chunks(text):
            lengths = {len(text[i]) for i in places}
            for length in sorted(lengths):  # chunks of one length need no padding mask
                ids = torch.tensor([text[i] for i in places if len(text[i]) == length])
                logits = lm.model(input_ids=ids.to(lm.device), use_cache=False).logits
                found.append(logits[:, :-1].float().log_softmax(-1))
    return found


def _harm(
    lm: LanguageModel, text: list[list[int]], base: list[torch.Tensor]
) -> tuple[float, float]:
    """KL(base ‖ tuned) and the rise of the loss, both in nats a token of neutral text."""
    kl = loss = 0.0
    tokens = 0
    place = iter(base)
    with torch.no_grad():
        for places in chunks(text):
            for length in sorted({len(text[i]) for i in places}):
                ids = torch.tensor([text[i] for i in places if len(text[i]) == length]).to(
                    lm.device
                )
                logits = lm.model(input_ids=ids, use_cache=False).logits[:, :-1]
                now, then = logits.float().log_softmax(-1), next(place)
                kl += float((then.exp() * (then - now)).sum(dtype=torch.float64))
                picked = (then - now).gather(-1, ids[:, 1:, None])
                loss += float(picked.sum(dtype=torch.float64))
                tokens += picked.numel()
    return kl / tokens, loss / tokens


def neutral_texts(
    lm: LanguageModel, texts: Mapping[str, Iterable[str]], tokens: int = HARM_TOKENS
) -> dict[str, list[list[int]]]:
    """`neutral_text` of each text, about `tokens` in all."""
    return {name: neutral_text(lm, text, tokens // len(texts)) for name, text in texts.items()}


def neutral_text(
    lm: LanguageModel, lines: Iterable[str], tokens: int = HARM_TOKENS
) -> list[list[int]]:
    """The first lines of a text as sequences of ids, about `tokens` in all, cut to the context.

    Raises:
        InputError: no line has a token to score.
    """
    found: list[list[int]] = []
    for line in lines:
        coded = lm.tokenizer(line, add_special_tokens=False)["input_ids"]
        ids = ([] if lm.bos_id is None else [lm.bos_id]) + coded
        ids = ids[: min(lm.context or 256, 256)]
        if len(ids) > 1:
            found.append(ids)
        if sum(map(len, found)) >= tokens:
            break
    if not found:
        raise InputError("the neutral text has no line with a token to score")
    return found
