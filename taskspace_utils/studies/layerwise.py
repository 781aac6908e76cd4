"""What tasks share in one layer at a time: signals of both halves of the pairs, cut by layer.

A cosine over all weights is a mean over layers, weighted by the length of the gradients in each
(chapter 7).
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import torch

from taskspace_utils import families
from taskspace_utils.ftgd import embedding_names, parameters

SURE = 0.5  # reliability from which on a cosine is corrected
DRAWS = 199  # of families, for every interval
PERMUTATIONS = 99


def layer_of(name: str, embeddings: set[str]) -> str:
    """The layer that a parameter belongs to: "embeddings", "block 1" …, or "last norm"."""
    if name in embeddings:
        return "embeddings"
    number = re.search(r"\.(\d+)\.", name)
    return f"block {int(number[1]) + 1}" if number else "last norm"


def layers_of(lm) -> np.ndarray:
    """The layer of each parameter, in the order of `ftgd.flat_weights`."""
    embeddings = set(embedding_names(lm.model))
    return np.concatenate(
        [
            np.repeat(layer_of(name, embeddings), weights.numel())
            for name, weights in parameters(lm.model).items()
        ]
    )


def shared(one: torch.Tensor, two: torch.Tensor, top: float = 0.01) -> dict[str, np.ndarray]:
    """Corrected cosines, overlap of the top share, and energy inside it, tasks by tasks.

    Args:
        one: gradients from one half of each task's pairs, shape (tasks, weights of the layer).
        two: from the other half.

    Returns:
        "corrected cosine" (NaN where a reliability is below one half), "overlap", "energy", and
        "reliability", shape (tasks).
    """
    units = [half / half.norm(dim=1, keepdim=True) for half in (one, two)]
    cosine = ((units[0] @ units[1].T + units[1] @ units[0].T) / 2).numpy()
    own = np.diag(cosine)
    trusted = np.where(own >= SURE, own, np.nan)
    count = max(1, round(top * one.shape[1]))
    tops = [torch.zeros_like(u).scatter_(1, u.abs().topk(count).indices, 1) for u in (one, two)]
    overlap = ((tops[0] @ tops[1].T + tops[1] @ tops[0].T) / 2 / count).numpy()
    energy = (tops[0] @ (two**2).T / (two**2).sum(dim=1)).numpy()
    return {
        "corrected cosine": cosine / np.sqrt(np.outer(trusted, trusted)),
        "overlap": overlap,
        "energy": (energy + energy.T) / 2,
        "reliability": own,
    }


def by_layer(
    signals: list[torch.Tensor],
    layers: np.ndarray,
    tasks: list[str],
    phenomenon: pd.Series,
    family: pd.Series,
) -> dict[tuple[str, str], pd.DataFrame]:
    """Everything that `figures.layers` shows, by (layer, measure), with intervals over families.

    Args:
        signals: gradients of the two halves, each of shape (tasks, parameters).
        layers: see `layers_of`.
    """
    found, total = {}, sum((half**2).sum(dim=1) for half in signals)
    for layer in dict.fromkeys(layers):
        places = torch.from_numpy(layers == layer)
        here = [half[:, places] for half in signals]
        squares = (sum(here) / 2) ** 2
        measured = shared(*here)
        of_task = {
            "reliability": measured.pop("reliability"),
            "participation": squares.sum(dim=1) ** 2 / places.sum() / (squares**2).sum(dim=1),
            "share": sum((half**2).sum(dim=1) for half in here) / total,
        }
        for name, cells in measured.items():
            space = pd.DataFrame(cells, tasks, tasks)
            kin = families.within_between(space, phenomenon, family, PERMUTATIONS, DRAWS)
            found[layer, name] = kin.loc[["within", "between"]]
        for name, values in of_task.items():
            rows = pd.DataFrame({"a": tasks, "x": np.asarray(values)})
            middle = families.bootstrap(rows, lambda some: some["x"].median(), family, ("a",))
            found[layer, name] = middle.set_axis(["median"])
    return found
