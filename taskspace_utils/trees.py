"""Prefix trees: sentences that begin alike share their beginning in one forward pass.

The sentences of a paradigm differ late: read as a tree of prefixes they have about half as many
tokens. A row of the batch holds a piece of that tree, and a mask lets each token see its own
beginning and nothing else, so that every log-probability is what `scoring.padded` computes, up to
rounding. This module is about speed and decides nothing: without it, all goes the padded way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

# Families whose attention takes a mask of (batch, 1, tokens, tokens) and given positions; tested.
FAMILIES = {"gpt2", "gpt_neox", "llama"}
ROW_TOKENS = 96  # a token may see its whole row, so long rows cost more than they share


@dataclass
class _Row:
    """A piece of the tree, its tokens in the order in which they were met."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)  # −1 for the first token of a sentence
    paths: dict[int, list[int]] = field(default_factory=dict)  # of a sentence: its tokens' places


def fits(model: torch.nn.Module) -> bool:
    """Whether the model's family can read trees."""
    return getattr(getattr(model, "config", None), "model_type", "") in FAMILIES


def passes(
    model: torch.nn.Module, ids: list[list[int]], tokens: int
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """The same as `scoring.padded`: places in `ids`, and their log-probabilities."""
    rows = sorted(_rows(ids), key=lambda row: -len(row.tokens))
    while rows:
        count = max(1, tokens // max(1, len(rows[0].tokens)))
        yield _forward(model, ids, rows[:count])
        rows = rows[count:]


def _rows(ids: list[list[int]]) -> list[_Row]:
    """Sentences in alphabetical order, each hung on the one before it as far as they agree."""
    rows, row, path = [], _Row(), []
    for place in sorted(range(len(ids)), key=lambda i: ids[i]):
        read = ids[place][:-1]  # nothing follows the last token
        shared = _agreeing([row.tokens[i] for i in path], read)
        if row.tokens and len(row.tokens) + len(read) - shared > ROW_TOKENS:
            rows.append(row)
            row, path, shared = _Row(), [], 0
        path = path[:shared]
        for token in read[shared:]:
            row.parents.append(path[-1] if path else -1)
            path.append(len(row.tokens))
            row.tokens.append(token)
        row.paths[place] = list(path)
    return [*rows, row] if row.paths else rows


def _agreeing(a: list[int], b: list[int]) -> int:
    count = 0
    while count < min(len(a), len(b)) and a[count] == b[count]:
        count += 1
    return count


def _forward(
    model: torch.nn.Module, ids: list[list[int]], rows: list[_Row]
) -> tuple[list[int], torch.Tensor]:
    width = max(1, *(len(row.tokens) for row in rows))
    tokens = np.zeros((len(rows), width), dtype=np.int64)
    sees = np.zeros((len(rows), width, width), dtype=bool)
    sees[:] = np.eye(width, dtype=bool)
    for number, row in enumerate(rows):
        tokens[number, : len(row.tokens)] = row.tokens
        for place, parent in enumerate(row.parents):
            if parent >= 0:
                sees[number, place] |= sees[number, parent]
    depth = np.maximum(sees.sum(axis=2) - 1, 0)
    weight = next(model.parameters())
    hidden = torch.zeros(sees.shape, dtype=weight.dtype)
    hidden.masked_fill_(~torch.from_numpy(sees), torch.finfo(weight.dtype).min)
    logits = model(
        input_ids=torch.from_numpy(tokens).to(weight.device),
        attention_mask=hidden[:, None].to(weight.device),
        position_ids=torch.from_numpy(depth).to(weight.device),
        use_cache=False,
    ).logits
    logs = logits.flatten(0, 1).float().log_softmax(dim=-1)
    places = [place for row in rows for place in row.paths]
    paths = [
        [n * width + i for i in path] for n, row in enumerate(rows) for path in row.paths.values()
    ]
    longest = max(1, *map(len, paths))
    at, following = np.zeros((2, len(paths), longest), dtype=np.int64)
    counts = np.zeros((len(paths), longest), dtype=np.float32)
    for line, (place, path) in enumerate(zip(places, paths, strict=True)):
        at[line, : len(path)], counts[line, : len(path)] = path, 1
        following[line, : len(path)] = ids[place][1:]
    at, following, counts = (torch.from_numpy(a).to(weight.device) for a in (at, following, counts))
    return places, (logs[at, following] * counts).sum(dim=1)
