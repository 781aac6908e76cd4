"""Peers, called through their own code, and two plain loops for what no peer offers.

minicons and lm-evaluation-harness score sentences, TRAK takes gradients a sample. Nothing here
changes them; what they are given is what their documentation asks for.
"""

from __future__ import annotations

import logging
from importlib import metadata

import numpy as np
import pandas as pd
import torch

from taskspace_utils import models

PEERS = {"minicons": "minicons", "lm_eval": "lm_eval", "traker": "trak"}
BATCH = 64


def versions() -> dict[str, str]:
    """Installed peers and their versions; "" for one that isn't there."""
    found = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


class Minicons:
    """`IncrementalLMScorer.sequence_score` in batches of 64, summed, after BOS."""

    def __init__(self, lm: models.LanguageModel) -> None:
        from minicons.scorer import IncrementalLMScorer

        self.scorer = IncrementalLMScorer(lm.model, "cpu", tokenizer=lm.tokenizer)

    def __call__(self, sentences: list[str]) -> np.ndarray:
        """Log-probabilities, nats; shape (len(sentences),)."""
        found: list[float] = []
        for start in range(0, len(sentences), BATCH):
            found += self.scorer.sequence_score(
                sentences[start : start + BATCH],
                reduction=lambda tokens: tokens.sum(0).item(),
                bos_token=True,
            )
        return np.array(found)


class Harness:
    """`HFLM._loglikelihood_tokens`: sorting, batching, padding and scoring of lm-eval."""

    def __init__(self, lm: models.LanguageModel) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        from lm_eval.models.huggingface import HFLM

        self.lm = lm
        self.core = HFLM(
            lm.model, tokenizer=lm.tokenizer, batch_size=BATCH, device="cpu", backend="causal"
        )

    def __call__(self, sentences: list[str]) -> np.ndarray:
        """Log-probabilities, nats; shape (len(sentences),)."""
        ids = self.lm.encode(sentences)
        requests = [(("", s), row[:1], row[1:]) for s, row in zip(sentences, ids, strict=True)]
        found = self.core._loglikelihood_tokens(requests, disable_tqdm=True)
        return np.array([value for value, _ in found])


class Trak:
    """`FunctionalGradientComputer`: the gradient of each pair's margin, by vmap over pairs."""

    pairs_at_once = 8  # 4, 8 and 16 differed by a fifth

    def __init__(self, lm: models.LanguageModel) -> None:
        from trak.gradient_computers import FunctionalGradientComputer
        from trak.modelout_functions import AbstractModelOutput

        class Margin(AbstractModelOutput):
            def __init__(self) -> None:
                pass

            def get_output(self, model, weights, buffers, ids, asked):
                size = ids.shape[-1]  # a ready mask: transformers' own asks for values under vmap
                mask = torch.full((1, 1, size, size), torch.finfo(torch.float32).min).triu(1)
                given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
                logits = torch.func.functional_call(model, (weights, buffers), (), given).logits
                each = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
                return (each * asked[:, 1:]).sum()

            def get_out_to_loss_grad(self, *_):
                raise NotImplementedError  # the margin is the loss

        self.lm = lm
        size = sum(p.numel() for p in lm.model.parameters())
        self.computer = FunctionalGradientComputer(
            lm.model, Margin(), size, torch.float32, torch.device("cpu")
        )

    def __call__(self, pairs: pd.DataFrame) -> torch.Tensor:
        """The task's gradient as the mean of its pairs' gradients; shape (P,)."""
        total = 0
        for start in range(0, len(pairs), self.pairs_at_once):
            some = pairs.iloc[start : start + self.pairs_at_once]
            ids, asked = padded(self.lm, [*some["good"], *some["bad"]])
            asked[len(some) :] *= -1
            both = [t.view(2, len(some), -1).transpose(0, 1).contiguous() for t in (ids, asked)]
            each = self.computer.compute_per_sample_grad(both)
            total = total - torch.cat([g.detach().sum(0).flatten() for g in each.values()]) / len(
                pairs
            )
        return total


# ------------------------------------------------------------------------------------- plain loops


def padded(lm: models.LanguageModel, sentences: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids padded on the right, and 1 where a token is real; both (sentences, longest)."""
    rows = lm.encode(sentences)
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    real = torch.zeros(ids.shape)
    for line, row in enumerate(rows):
        ids[line, : len(row)], real[line, : len(row)] = torch.tensor(row), 1
    return ids, real


def two_padded_passes(lm: models.LanguageModel, pairs: pd.DataFrame) -> torch.Tensor:
    """∇L(good) − ∇L(bad) the plain way: a pass over the good sentences, one over the bad.

    Padded batches of 64 with an attention mask, as a training loop has them; shape (P,).
    """
    named = list(lm.model.parameters())
    total = [torch.zeros_like(p) for p in named]
    for column, sign in (("good", -1.0), ("bad", 1.0)):
        for start in range(0, len(pairs), BATCH):
            ids, real = padded(lm, list(pairs[column].iloc[start : start + BATCH]))
            logits = lm.model(input_ids=ids, attention_mask=real, use_cache=False).logits
            targets = ids.masked_fill(real == 0, -100)[:, 1:]
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="sum"
            )
            parts = torch.autograd.grad(-sign * loss / len(pairs), named)
            for whole, part in zip(total, parts, strict=True):
                whole += part
    return torch.cat([part.flatten() for part in total])


def reload_tune_score(
    folder, pairs: pd.DataFrame, source: str, config, steps: int
) -> tuple[np.ndarray, models.LanguageModel]:
    """A transfer row the plain way: load the model, tune with padded passes, score with minicons.

    It takes as many steps of the same size as the row that it is compared with, and tries none of
    them twice.

    Returns:
        Margins of all eval pairs after tuning, and the tuned model.
    """
    lm = models.load_model(folder)
    train = pairs[(pairs["task"] == source) & (pairs["split"] == "train")]
    held = pairs[pairs["split"] == "eval"]
    gradient = two_padded_passes(lm, train)
    count = max(1, round(config.k * gradient.numel()))
    kept = torch.topk(gradient.abs(), count, sorted=False).indices
    for _ in range(steps):
        direction = gradient[kept].double()
        move = torch.zeros_like(gradient)
        move[kept] = (direction * (-config.delta / direction.square().sum())).float()
        start = 0
        with torch.no_grad():
            for p in lm.model.parameters():
                p += move[start : start + p.numel()].view_as(p)
                start += p.numel()
        gradient = two_padded_passes(lm, train)  # the next step's, and what tells the gain
    both = Minicons(lm)([*held["good"], *held["bad"]])
    return both[: len(held)] - both[len(held) :], lm
