"""Similarity probing: the transfer space and the gradient space (chapters 6 and 7).

Transfer: evaluate a model on all tasks, tune a copy on one task, evaluate again; the change is a
row of the space. Gradients: compare the tasks' gradient differentials directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch

from taskspace_utils.ftgd import (
    Config,
    Tuned,
    embedding_names,
    loss_gradient,
    parameters,
    top_k,
    tuned,
)
from taskspace_utils.models import LanguageModel
from taskspace_utils.scoring import chunks, margins, verdicts
from taskspace_utils.store import InputError

MIN_RELIABILITY = 0.5  # below it, a task has no gradient stable enough to correct a cosine by
CEILING, FLOOR = 0.99, 0.01  # accuracies beyond which a task leaves no room to move
NO_TRAIN = Tuned(np.nan, 0, False, 0.0, "no train pairs")  # what a tuning on nothing did
HARM_TOKENS = 3000  # of all neutral texts together, on which harm is measured


# ----------------------------------------------------------------------------------- transfer space


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


# ----------------------------------------------------------------------------------- gradient space


def gradient_space(
    lm: LanguageModel, pairs: pd.DataFrame, k: float = 0.01
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cosines, overlaps and energies of all tasks' gradient differentials (chapter 7).

    Each task has two gradients, from its train and from its eval pairs. What is compared between
    two tasks always comes from disjoint pairs: train of one with eval of the other, averaged over
    both ways where the measure is symmetric; so the diagonal is a task's split-half reliability.

    Args:
        pairs: all tasks' pairs with `split` filled.
        k: share of the parameters whose overlap is measured.

    Returns:
        One row an ordered pair of tasks (columns of `gradient.csv` from `a` on; `dot` is
        ⟨g_a train, g_b eval⟩ and `dot_masked` the same over the top k of g_a train), and one row a
        task (columns of `tasks.csv` from `task` on, but for `bag_accuracy`).
    """
    names = sorted(pairs["task"].unique())
    vectors, facts = [], []
    for half in ("train", "eval"):
        for task in names:
            some = pairs[(pairs["task"] == task) & (pairs["split"] == half)]
            vectors.append(loss_gradient(lm, some)[0].cpu())
    n = len(names)
    blocks = _block_mask(lm.model)
    gram = _gram(vectors)
    gram_blocks = gram - _gram(vectors, ~blocks)  # of which there are fewer
    size = np.sqrt(np.diag(gram))
    cosine = _cross_half(_unit(gram), n)
    reliability = np.diag(cosine).copy()
    tops = [top_k(v, k) for v in vectors]
    overlap, lift, overlap_blocks = _overlaps(vectors, tops, lm.model, k, n)
    masked = _masked_dots(vectors, tops, n)
    energy = _energies(vectors, tops, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        stable = np.where(reliability >= MIN_RELIABILITY, reliability, np.nan)
        corrected = cosine / np.sqrt(np.outer(stable, stable))
    columns = {
        "cosine": cosine,
        "cosine_corrected": corrected,
        "cosine_blocks": _cross_half(_unit(gram_blocks), n),
        "overlap": overlap,
        "overlap_lift": lift,
        "overlap_blocks": overlap_blocks,
        "energy": energy,
        "dot": gram[:n, n:],
        "dot_masked": masked,
    }
    a, b = np.divmod(np.arange(n * n), n)
    space = pd.DataFrame({"a": np.array(names)[a], "b": np.array(names)[b]})
    for name, values in columns.items():
        space[name] = values[a, b]
    space["k"] = k
    for i, task in enumerate(names):
        whole = (vectors[i] + vectors[i + n]) / 2
        some = pairs[pairs["task"] == task]
        facts.append(
            {
                "task": task,
                "phenomenon": some["phenomenon"].iloc[0],
                "norm": (size[i] + size[i + n]) / 2,
                "reliability": reliability[i],
                **_distribution(whole, blocks),
                "family": _only(some, "family"),
                "sham_of": _only(some, "sham_of"),
                "flag": _gradient_flag(size[i] * size[i + n], reliability[i])
                if set(some["split"]) >= {"train", "eval"}
                else "no train pairs or no eval pairs",
            }
        )
    return space, pd.DataFrame(facts)


def predicted_transfer(space: pd.DataFrame, gain: pd.Series, masked: bool) -> pd.DataFrame:
    """First-order prediction of transfer: G·⟨M g_A, g_B⟩ / ⟨M g_A, g_A⟩, train against eval halves.

    Chapter 7, equation 7.4.

    Args:
        space: rows of `gradient.csv` of one model.
        gain: the source's own gain G on its eval pairs, nats, by task.
        masked: whether the tuning was masked.

    Returns:
        columns source, target, predicted (nats).
    """
    dots = space.pivot(index="a", columns="b", values="dot_masked" if masked else "dot")
    ratio = dots.div(np.diag(dots.to_numpy()), axis=0).mul(gain.reindex(dots.index), axis=0)
    long = ratio.stack().rename("predicted").reset_index()
    return long.rename(columns={"a": "source", "b": "target"})


def _only(some: pd.DataFrame, column: str) -> str:
    return str(some[column].iloc[0]) if column in some else ""


def _gradient_flag(size: float, reliability: float) -> str:
    if not np.isfinite(size):
        return "gradient not finite"
    if size == 0:
        return "zero gradient"
    return "unreliable gradient" if reliability < MIN_RELIABILITY else ""


def _block_mask(model: torch.nn.Module) -> torch.Tensor:
    embeddings = embedding_names(model)
    return torch.cat(
        [torch.full((p.numel(),), name not in embeddings) for name, p in parameters(model).items()]
    )


def _gram(vectors: list[torch.Tensor], kept: torch.Tensor | None = None) -> np.ndarray:
    """All inner products, over all places or those `kept`, added up in float64 in chunks."""
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for start in range(0, len(vectors[0]), 2**18):
        part = torch.stack([v[start : start + 2**18] for v in vectors])
        if kept is not None:
            part = part[:, kept[start : start + 2**18]]
        part = part.double()
        gram += part @ part.T
    return gram.numpy()


def _unit(gram: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.diag(gram))
    with np.errstate(invalid="ignore", divide="ignore"):
        return gram / np.outer(size, size)


def _cross_half(square: np.ndarray, n: int) -> np.ndarray:
    """From (2n, 2n) over halves to (n, n) over tasks: first with second half, both ways."""
    return (square[:n, n:] + square[n:, :n]) / 2


def _masked_dots(vectors, tops, n: int) -> np.ndarray:
    found = np.empty((n, n))
    for i in range(n):
        own = vectors[i][tops[i]].double()
        found[i] = [float(own @ vectors[j + n][tops[i]].double()) for j in range(n)]
    return found


def _energies(vectors, tops, n: int) -> np.ndarray:
    """Share of b's squared gradient inside a's top k, over both ways of the halves."""
    found = np.zeros((n, n))
    whole = [float(v.double().square().sum()) for v in vectors]
    for shift_a, shift_b in ((0, n), (n, 0)):
        for i in range(n):
            for j in range(n):
                inside = vectors[j + shift_b][tops[i + shift_a]].double().square().sum()
                found[i, j] += (
                    float(inside) / whole[j + shift_b] / 2 if whole[j + shift_b] else np.nan
                )
    return found


def _overlaps(vectors, tops, model, k: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlap of top-k sets, its lift over chance within each tensor, and that of blocks alone."""
    sizes = [p.numel() for p in parameters(model).values()]
    edges = torch.tensor([0, *np.cumsum(sizes)])
    total = int(edges[-1])
    counts = np.array(
        [np.diff(torch.searchsorted(top, edges).numpy()) for top in tops], dtype=float
    )
    chance = (counts[:n] / np.array(sizes)) @ counts[n:].T
    shared = _shared(tops, n, total)
    chance = (chance + chance.T) / 2
    blocks = _block_mask(model)
    inner = [top_k(torch.where(blocks, v.abs(), torch.zeros(())), k * float(blocks.float().mean()))
             for v in vectors]  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = shared / chance
    return shared / len(tops[0]), lift, _shared(inner, n, total) / len(inner[0])


def _shared(tops: list[torch.Tensor], n: int, total: int) -> np.ndarray:
    found = np.empty((n, n))
    for i in range(n):
        inside = torch.zeros(total, dtype=torch.bool)
        inside[tops[i]] = True
        found[i] = [int(inside[tops[j + n]].sum()) for j in range(n)]
    return (found + found.T) / 2


def _distribution(gradient: torch.Tensor, blocks: torch.Tensor) -> dict:
    """How spread out a gradient is: participation, shares of its energy, embeddings' share."""
    square = gradient.double().square()
    energy = float(square.sum())
    if not energy > 0:
        names = ("participation", "top_001", "top_01", "top_10", "embedding_share")
        return dict.fromkeys(names, np.nan)
    tenth = max(1, round(0.1 * len(square)))  # no more than the largest are ever asked for
    ordered = torch.topk(square, tenth).values.cumsum(0) / energy
    share = {
        name: float(ordered[max(1, round(part * len(square))) - 1])
        for name, part in (("top_001", 0.001), ("top_01", 0.01), ("top_10", 0.1))
    }
    participation = energy**2 / (len(square) * float(square.square().sum()))
    return {
        "participation": participation,
        **share,
        "embedding_share": float(square[~blocks].sum()) / energy,
    }
