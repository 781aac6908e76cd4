"""One minimal pair, token by token: what each token adds to the log-probability of its sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.models import LanguageModel


def load(lm: LanguageModel, good: str, bad: str) -> pd.DataFrame:
    """Log-probability of each token of both sentences, given the tokens before it.

    Returns:
        columns side ("good" or "bad"), place (from 0), token, log_p (nats).
    """
    import torch

    parts = []
    for side, ids in zip(("good", "bad"), lm.encode([good, bad]), strict=True):
        with torch.no_grad():
            logits = lm.model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
        log_p = logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        tokens = [text.strip() for text in map(lm.tokenizer.decode, ids[1:])]
        part = pd.DataFrame({"place": range(len(tokens)), "token": tokens, "log_p": log_p.numpy()})
        parts.append(part.assign(side=side))
    return pd.concat(parts, ignore_index=True)[["side", "place", "token", "log_p"]]


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Bars side by side: good plain, bad hatched; both words where the sentences differ."""
    sides = {side: table[table["side"] == side].set_index("place") for side in ("good", "bad")}
    length = max(map(len, sides.values()))
    fig, ax = figures.new(max(5.0, 0.75 * length + 1), 3.2)
    for shift, (side, some) in zip((-0.2, 0.2), sides.items(), strict=True):
        label = f"{side}: log P = {some['log_p'].sum():.2f}"
        colour = figures.COLOURS[0 if side == "good" else 1]
        hatch = None if side == "good" else "////"
        ax.bar(some.index + shift, some["log_p"], 0.38, color=colour, hatch=hatch,
               edgecolor="white", label=label)  # fmt: skip
    names = []
    for place in range(length):
        here = [some["token"].get(place, "–").replace("$", r"\$") for some in sides.values()]
        names.append(here[0] if here[0] == here[1] else "\n".join(here))
    ax.set_xticks(np.arange(length), names)
    ax.tick_params(axis="x", length=0)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(ylabel="log-probability (nats)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2, frameon=False)
    return fig
