"""FTGD: fine-tuning via gradient differentials (chapter 5).

The loss of a pair is −m, minus its margin. Its gradient is the gradient differential
g = ∇L(good) − ∇L(bad): what both sentences ask of the weights cancels. A tuning moves only the
parameters where |g| is largest, in steps whose predicted gain is fixed, until the margin of the
training pairs has risen by a target. There is no learning rate and no randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from taskspace_utils.models import LanguageModel
from taskspace_utils.pairs import differing
from taskspace_utils.scoring import passes

# What is learnt from a pair: FTGD, and three ways of learning from the good sentence alone.
LOSSES = ("differential", "good", "continuation", "critical")
TOLERANCE = 0.1  # nats; a tuning lands this close to its target
HALVINGS = 8  # of one step, before a tuning gives up
SAMPLED = 61  # of so many values one is looked at first; a prime, so no column of a matrix is


@dataclass(frozen=True)
class Config:
    """How a task is tuned; a row of `configs.csv`.

    Attributes:
        loss: "differential" (−m, this is FTGD), "good" (−log P(good), plain tuning), "continuation"
            (−log P of the good sentence from its first difference on, given what comes before) or
            "critical" (the same of the differing tokens alone).
        k: share of the parameters that may move; 1 moves all.
        target: gain of the mean train margin to stop at, nats.
        delta: predicted gain of a step, nats of the loss.
        max_steps: give up after so many steps.
        max_displacement: give up when ‖θ − θ₀‖ / ‖θ₀‖ is larger.
    """

    loss: str = "differential"
    k: float = 0.01
    target: float = 3.0
    delta: float = 0.3
    max_steps: int = 40
    max_displacement: float = 0.01

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss is {self.loss!r}; it must be one of {', '.join(LOSSES)}")
        if not 0 < self.k <= 1:
            raise ValueError(f"k is {self.k}; it must be a share, above 0 and at most 1")
        if self.target <= TOLERANCE or self.delta <= 0:
            raise ValueError(f"target must be above {TOLERANCE} nats and delta above 0")

    @property
    def id(self) -> str:
        """The name of this configuration in tables, such as `differential-k0.01-g3`."""
        return f"{self.loss}-k{self.k:g}-g{self.target:g}"


@dataclass(frozen=True)
class Tuned:
    """What a tuning did.

    Attributes:
        own_gain: rise of the mean train margin, nats.
        steps: steps taken.
        reached: whether the target was reached.
        displacement: ‖θ − θ₀‖ / ‖θ₀‖.
        reason: why not, else "".
    """

    own_gain: float
    steps: int
    reached: bool
    displacement: float
    reason: str


# ------------------------------------------------------------------------ all weights as one vector


def parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trainable parameters by name, tied ones once, in the order of the long vector."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def embedding_names(model: torch.nn.Module) -> set[str]:
    """Names of the parameters that belong to single tokens or positions, not to blocks."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    if (output := model.get_output_embeddings()) is not None:
        tables.add(id(output.weight))
    return {name for name, p in parameters(model).items() if id(p) in tables}


def flat_weights(model: torch.nn.Module) -> torch.Tensor:
    """A copy of all trainable parameters as one vector, shape (P,)."""
    return torch.cat([p.detach().flatten() for p in parameters(model).values()])


def set_weights(model: torch.nn.Module, vector: torch.Tensor) -> None:
    """Write a vector of shape (P,) into the parameters, bit for bit."""
    _write(_places(model), vector)


def norm(vector: torch.Tensor) -> float:
    """Euclidean norm, added up in float64 in chunks: float32 loses digits on long vectors."""
    return sum(float(_wide(part).square().sum()) for part in vector.split(2**20)) ** 0.5


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    parts = zip(a.split(2**20), b.split(2**20), strict=True)
    return sum(float(_wide(x) @ _wide(y)) for x, y in parts)


def _wide(part: torch.Tensor) -> torch.Tensor:
    return (part.cpu() if part.device.type == "mps" else part).double()  # MPS has no float64


# Where a tuning may write: each parameter with the places in it, None for all of it.
Places = list[tuple[torch.nn.Parameter, torch.Tensor | None]]


def _places(model: torch.nn.Module, mask: torch.Tensor | None = None) -> Places:
    """The parameters that a mask, ascending indices of the long vector, leaves free to move."""
    found, start = [], 0
    for p in parameters(model).values():
        if mask is None:
            found.append((p, None))
        else:
            edges = torch.tensor([start, start + p.numel()], device=mask.device)
            first, last = torch.searchsorted(mask, edges).tolist()
            found.append((p, mask[first:last] - start))
        start += p.numel()
    return found


def _read(places: Places) -> torch.Tensor:
    """A copy of the weights at these places, one vector."""
    parts = [p.detach().flatten() if at is None else p.detach().flatten()[at] for p, at in places]
    return torch.cat(parts)


def _write(places: Places, values: torch.Tensor) -> None:
    """What `_read` gave, back where it was, bit for bit."""
    start = 0
    with torch.no_grad():
        for p, at in places:
            count = p.numel() if at is None else len(at)
            part = values[start : start + count]
            if at is None:
                p.copy_(part.view_as(p))
            else:
                p.view(-1).index_copy_(0, at, part)
            start += count


# ------------------------------------------------------------------------------------- the gradient


def loss_gradient(
    lm: LanguageModel, pairs: pd.DataFrame, loss: str = "differential"
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Gradient of the mean pair loss; for "differential" this is g = ∇L(good) − ∇L(bad).

    Dropout is off, and the model's weights and `.grad` fields come back as they were.

    Args:
        pairs: n pairs.
        loss: see `Config`.

    Returns:
        The gradient, shape (P,) in the order of `parameters`; log P(good) and log P(bad), each of
        shape (n,), float64, nats. Equation 5.3 of chapter 5.
    """
    gradient, _, good, bad = _loss(lm, pairs, loss)
    return gradient, good, bad


def _loss(
    lm: LanguageModel, pairs: pd.DataFrame, loss: str
) -> tuple[torch.Tensor, float, np.ndarray, np.ndarray]:
    """The gradient of the mean pair loss, the loss (nats), log P(good) and log P(bad)."""
    n = len(pairs)
    ids = lm.encode([*pairs["good"], *pairs["bad"]])
    ids, weight = _terms(ids[:n], ids[n:], loss)
    scores = np.empty(len(ids))
    lm.model.eval()
    with _gradient_of(lm.model) as gradient, lm.autocast():
        for places, values in passes(lm.model, ids):
            scores[places] = values.detach().double().cpu().numpy()
            (values * weight[places].to(values.device)).sum().backward()
    asked = weight.numpy() != 0
    value = float(weight.double().numpy()[asked] @ scores[asked])
    return gradient, value, scores[:n], scores[n : 2 * n]


@contextmanager
def _gradient_of(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """One vector, shape (P,), in which the backward passes of a `with` block add up.

    It is the only copy: each parameter's `.grad` is a view of it for that time, and what was there
    before comes back.
    """
    named = list(parameters(model).values())
    whole = torch.zeros(sum(p.numel() for p in named), dtype=named[0].dtype, device=named[0].device)
    before, start = [p.grad for p in named], 0
    for p in named:
        p.grad = whole[start : start + p.numel()].view_as(p)
        start += p.numel()
    try:
        yield whole
    finally:
        for p, grad in zip(named, before, strict=True):
            p.grad = grad


def _terms(
    good: list[list[int]], bad: list[list[int]], loss: str
) -> tuple[list[list[int]], torch.Tensor]:
    """A loss as a weighted sum of log-probabilities of sequences: first good, bad, then others.

    log P(b | a) = log P(ab) − log P(a), so the loss of a part of a sentence needs only beginnings.
    """
    n = len(good)
    ids, weight = [*good, *bad], [0.0] * (2 * n)
    for i, (a, b) in enumerate(zip(good, bad, strict=True)):
        start, end = differing(a, b)
        if a == b and loss != "good":
            continue  # an identical pair asks for nothing, not for rounding errors
        if loss != "critical":
            weight[i] = -1 / n
        if loss == "differential":
            weight[i + n] = 1 / n
        more = {"continuation": [(start, 1 / n)], "critical": [(end, -1 / n), (start, 1 / n)]}
        for length, of_part in more.get(loss, []):
            if length > 1:  # the first token has nothing before it, and is not scored
                ids.append(a[:length])
                weight.append(of_part)
    return ids, torch.tensor(weight)


def top_k(gradient: torch.Tensor, k: float) -> torch.Tensor:
    """Indices of the largest |g|: exactly max(1, round(k·P)) of them, ascending.

    Among equal values the lower index is taken.
    """
    count = max(1, round(k * gradient.numel()))
    if count >= gradient.numel():
        return torch.arange(gradient.numel(), device=gradient.device)
    places = candidates(gradient, count)
    size = gradient[places].abs()
    threshold = torch.topk(size, count, sorted=False).values.min()
    above = places[size > threshold]
    equal = places[size == threshold][: count - above.numel()]
    return torch.cat([above, equal]).sort().values


def candidates(values: torch.Tensor, count: int, least: float = torch.inf) -> torch.Tensor:
    """Ascending indices of a few more than the `count` largest |values|, those among them.

    A sample tells where to look, so that a selection among millions costs one reading of them.

    Args:
        least: values of this size are wanted too.
    """
    least = min(least, probable_least(values[::SAMPLED].abs(), count))
    parts = [
        (part.abs() >= least).nonzero().flatten() + start * 2**20
        for start, part in enumerate(values.split(2**20))
    ]
    found = torch.cat(parts)
    whole = found.numel() < count  # also of values that are no numbers
    return torch.arange(values.numel(), device=values.device) if whole else found


def probable_least(sample: torch.Tensor, count: int) -> float:
    """A size that most probably `count` values reach, but not many more, by every 61st of them."""
    wanted = count / SAMPLED + 4 * (count / SAMPLED) ** 0.5 + 8
    if wanted >= sample.numel():
        return 0.0
    return float(torch.topk(sample, int(wanted), sorted=False).values.min())


# --------------------------------------------------------------------------------------- the tuning


def tune(
    lm: LanguageModel,
    pairs: pd.DataFrame,
    config: Config,
    watch: Callable[[float], object] | None = None,
    penalty: Callable[[LanguageModel], torch.Tensor] | None = None,
) -> Tuned:
    """Tune the model in place on one task's train pairs (chapter 5, equations 5.4 to 5.6).

    A step moves θ by −η·M∘g with η = δ / ‖M∘g‖², so that its predicted gain is δ. It is halved
    while the real gain is under half the prediction, trimmed when it would pass the target, and
    taken back when a value is not finite.

    Args:
        watch: called with the gain after every step, while the model has that step's weights.
        penalty: gradient, shape (P,), of what else the loss should hold; it turns the direction,
            and the step's predicted gain is still δ.
    """
    return _tune(lm, pairs, config, watch, penalty)[0]


@contextmanager
def tuned(lm: LanguageModel, pairs: pd.DataFrame, config: Config) -> Iterator[Tuned]:
    """Tune for the length of a `with` block; afterwards the weights are back, bit for bit."""
    done, places, start = _tune(lm, pairs, config)
    try:
        yield done
    finally:
        _write(places, start)


def _tune(
    lm: LanguageModel, pairs: pd.DataFrame, config: Config, watch=None, penalty=None
) -> tuple[Tuned, Places, torch.Tensor]:
    """What `tune` does; and where it wrote, with what was there before."""
    gradient, loss, good, bad = _loss(lm, pairs, config.loss)
    mask = slice(None) if config.k >= 1 else top_k(gradient, config.k)
    places = _places(lm.model, None if config.k >= 1 else mask)
    gradient = gradient[mask]
    whole_size = sum(norm(p.detach().flatten()) ** 2 for p in parameters(lm.model).values()) ** 0.5
    size = whole_size or 1.0  # weights that are all 0 have no length to take a share of
    first_margin = (good - bad).mean()
    start = weights = _read(places)
    gain, steps, displacement = 0.0, 0, 0.0

    def done(reason: str) -> tuple[Tuned, Places, torch.Tensor]:
        _write(places, weights)
        return Tuned(gain, steps, not reason, displacement, reason), places, start

    try:
        while gain < config.target - TOLERANCE:
            if steps >= config.max_steps:
                return done(f"not reached in {config.max_steps} steps")
            if displacement > config.max_displacement:
                return done(
                    f"moved by more than {config.max_displacement:.1%} of the weights' norm"
                )
            direction = gradient if penalty is None else gradient + penalty(lm)[mask]
            slope = _dot(direction, gradient)
            if not slope > 0:
                return done(
                    "zero gradient" if penalty is None else "the penalty outweighs the task"
                )
            predicted = config.delta
            if config.loss == "differential":
                predicted = min(predicted, config.target - gain)
            for _ in range(HALVINGS):
                trial = weights + direction * (-predicted / slope)
                _write(places, trial)
                new_gradient, new_loss, new_good, new_bad = _loss(lm, pairs, config.loss)
                new_gain = float((new_good - new_bad).mean() - first_margin)
                real = loss - new_loss
                if not np.isfinite(real) or real < predicted / 2:
                    predicted /= 2
                elif new_gain > config.target + TOLERANCE:
                    predicted *= (config.target - gain) / (new_gain - gain)
                else:
                    break
            else:
                return done("no step gained half of what the gradient promised")
            weights, gradient, loss, gain = trial, new_gradient[mask], new_loss, new_gain
            steps += 1
            displacement = norm(weights - start) / size
            if watch is not None:
                watch(gain)
        return done("")
    except BaseException:
        _write(places, start)
        raise
