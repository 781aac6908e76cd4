"""Annealing: what a constant learning rate costs, by branches whose rate falls to zero (ch. 18).

A branch goes on from a checkpoint with the sentences that come next in the training's own order,
while the rate falls in a straight line to zero. The optimiser starts anew: checkpoints don't keep
its moments.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from taskspace_utils import store
from taskspace_utils.models import load_model
from taskspace_utils.pretraining import Corpus, checkpoint_name, held_out_sequences, sequences
from taskspace_utils.scoring import sequence_log_probabilities, text_loss
from taskspace_utils.studies import laws

WIDTHS, START, STEPS = (12, 32, 64, 128), 1600, 400


def annealed(
    folder: Path, width: int, seed: int, corpus: Corpus, start: int = START, steps: int = STEPS
) -> pd.DataFrame:
    """The loss on the fresh sentences after a branch, and before it.

    Args:
        folder: of the training's checkpoints.
        start: the checkpoint that the branch goes on from.
        steps: of the branch.

    Returns:
        columns width, seed, step, loss (nats a token); a row the start, a row the end.

    Raises:
        InputError: the loss is no longer finite.
    """
    torch.set_num_threads(1)
    scale, lm = laws.scale_of(width), load_model(folder / checkpoint_name(start))
    model = lm.model.train()
    model.requires_grad_(True)
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
    order = sequences(scale, lm.tokenizer, corpus.train, seed)
    data = itertools.islice(order, start * scale.batch, None)
    fresh = held_out_sequences(scale, lm.tokenizer, corpus)["held-out"]
    losses = [text_loss(model, fresh)]
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = scale.lr * (1 - step / steps)
        batch = list(itertools.islice(data, scale.batch))
        optimiser.zero_grad(set_to_none=True)
        loss = -sequence_log_probabilities(model, batch).sum() / sum(len(s) - 1 for s in batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    losses.append(text_loss(model.eval(), fresh))
    if not np.isfinite(losses).all():
        raise store.InputError(f"annealing width {width}: the loss is {losses[-1]}: lower its rate")
    rows = [(width, seed, step, loss) for step, loss in zip((start, start + steps), losses)]
    return pd.DataFrame(rows, columns=["width", "seed", "step", "loss"])
