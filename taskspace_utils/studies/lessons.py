"""Lessons: losses of a task's pairs, from its good sentences to preferences and self-play.

The last two compare the model with itself as it was. Their loss is divided by half of β, so that
their first step is that of the difference they are made of, and nats mean the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch

from taskspace_utils import ftgd
from taskspace_utils.models import LanguageModel
from taskspace_utils.pairs import differing
from taskspace_utils.scoring import passes
from taskspace_utils.store import InputError

SIGMOIDS = ("preference", "self-play")  # losses that compare with the model as it was
LOSSES = ("plain", "critical", "differential", *SIGMOIDS)
SAID = 2  # continuations that the opponent says to each beginning


class Lesson:
    """A loss on some pairs, of which value and gradient can be asked at any weights.

    Args:
        loss: "plain" (−log P of the good sentence from its first difference on), "critical" (of its
            differing tokens), "differential" (−m), "preference" (equation 16.1) or "self-play"
            (equation 16.3).
        beta: of the last two, 1/nats.
        seed: of what the opponent says.

    Raises:
        InputError: there is no such loss, or it needs a beta above 0.
    """

    def __init__(
        self, lm: LanguageModel, pairs: pd.DataFrame, loss: str, beta: float = 0.0, seed: int = 0
    ) -> None:
        if loss not in LOSSES:
            raise InputError(f"there is no loss {loss!r}, only {', '.join(LOSSES)}")
        if loss in SIGMOIDS and not beta > 0:
            raise InputError(f"the loss {loss!r} needs a beta above 0, not {beta}")
        self.lm, self.loss, self.beta, self.n = lm, loss, beta, len(pairs)
        ids = lm.encode([*pairs["good"], *pairs["bad"]])
        self.good, self.bad = ids[: self.n], ids[self.n :]
        ends = [differing(a, b) for a, b in zip(self.good, self.bad, strict=True)]
        self.begin = [a[:start] for a, (start, _) in zip(self.good, ends, strict=True)]
        self.upto = [a[:end] for a, (_, end) in zip(self.good, ends, strict=True)]
        self.chance = torch.Generator().manual_seed(seed)
        self.more = {"plain": self.begin, "critical": [*self.upto, *self.begin]}.get(loss, [])
        self.renew()

    def renew(self) -> None:
        """Take the model as it is for the one to compare with; in self-play it speaks anew."""
        if self.loss == "self-play":
            begin = [ids for ids in self.begin for _ in range(SAID)]
            lengths = [len(ids) for ids in self.good for _ in range(SAID)]
            self.more = say(self.lm, begin, lengths, self.chance)
        if self.loss in SIGMOIDS:
            with torch.no_grad():
                self.reference = self._rise(self._scores())

    def look(self) -> tuple[float, float, Callable[[], torch.Tensor]]:
        """The loss and the mean margin (nats), and what gives the loss's gradient.

        The gradient, shape (P,) of the free weights, can be asked for once; a trial that fails is
        not asked.
        """
        self.lm.model.eval()
        scores = self._scores()
        value = self._value(scores)
        margin = (scores[: self.n] - scores[self.n : 2 * self.n]).detach().double().mean()

        def gradient() -> torch.Tensor:
            free = list(ftgd.parameters(self.lm.model).values())
            parts = torch.autograd.grad(value, free, allow_unused=True)
            parts = [
                torch.zeros_like(p) if g is None else g for p, g in zip(free, parts, strict=True)
            ]
            return torch.cat([g.flatten() for g in parts])

        return float(value.detach()), float(margin), gradient

    def _scores(self) -> torch.Tensor:
        """Log-probabilities of good, bad, and what else the loss needs, in this order."""
        ids = [*self.good, *self.bad, *self.more]
        found = list(passes(self.lm.model, ids))
        order = torch.tensor([place for places, _ in found for place in places])
        values = torch.cat([values for _, values in found])
        return values[torch.argsort(order).to(values.device)]

    def _rise(self, scores: torch.Tensor) -> torch.Tensor:
        """What a sigmoid loss wants to rise above its reference, shape (n,) or (n · SAID,)."""
        good, bad, more = scores.split([self.n, self.n, len(self.more)])
        return good - bad if self.loss == "preference" else good.repeat_interleave(SAID) - more

    def _value(self, scores: torch.Tensor) -> torch.Tensor:
        good, bad, more = scores.split([self.n, self.n, len(self.more)])
        if self.loss == "differential":
            return (bad - good).mean()
        if self.loss == "plain":
            return (more - good).mean()
        if self.loss == "critical":
            return (more[self.n :] - more[: self.n]).mean()
        rise = self.beta * (self._rise(scores) - self.reference)
        return -2 / self.beta * torch.nn.functional.logsigmoid(rise).mean()


def say(
    lm: LanguageModel, begin: list[list[int]], lengths: list[int], chance: torch.Generator
) -> list[list[int]]:
    """What a model says after beginnings: sequences of token ids of these lengths."""
    found: list[list[int]] = [[]] * len(begin)
    kinds = [(len(ids), length) for ids, length in zip(begin, lengths, strict=True)]
    for kind in sorted(set(kinds)):  # those of one kind speak at once
        places = [i for i, other in enumerate(kinds) if other == kind]
        ids = torch.tensor([begin[i] for i in places])
        with torch.no_grad():
            while ids.shape[1] < kind[1]:
                logits = lm.model(input_ids=ids.to(lm.device), use_cache=False).logits[:, -1]
                drawn = torch.multinomial(logits.float().softmax(-1).cpu(), 1, generator=chance)
                ids = torch.cat([ids, drawn], dim=1)
        for i, said in zip(places, ids.tolist(), strict=True):
            found[i] = said
    return found
