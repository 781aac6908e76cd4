"""Part of the weights alone, for models whose gradients do not fit in memory (chapter 13).

A gradient has as many numbers as the weights that may move, and a task space keeps two of them a
task. Where that is too much, `restrict` leaves fewer free: the blocks without the embeddings, the
last few blocks, or low-rank additions to the blocks' matrices. What is measured then is the space
of *those* weights, so the model's name says which they are wherever it stands.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch.nn.utils import parametrize

from taskspace_utils.ftgd import embedding_names, norm, parameters
from taskspace_utils.models import LanguageModel
from taskspace_utils.store import InputError

RANK = 4  # of the additions of `lora`, where none is named
FORMS = "all, blocks, last-N (such as last-2), lora or lora-R (such as lora-8)"


def named(params: str) -> str:
    """A way of choosing weights by its name in tables; "" for all of them.

    Raises:
        InputError: there is no such way.
    """
    if not re.fullmatch(r"|all|blocks|last-[1-9]\d*|lora(-[1-9]\d*)?", params):
        raise InputError(f"--params {params}: there are {FORMS}")
    return {"all": "", "lora": f"lora-{RANK}"}.get(params, params)


def restrict(lm: LanguageModel, params: str) -> LanguageModel:
    """Leave only some weights of a model free to move; its predictions stay as they are.

    Args:
        lm: changed in place.
        params: "blocks" (all but what belongs to single tokens or positions), "last-N" (the last N
            blocks), "lora-R" (low-rank additions, see `_add`); "" or "all" for every weight.

    Returns:
        The model under a name that says it, such as `gpt2@main+last-2`.

    Raises:
        InputError: no such way, or more blocks than there are.
    """
    if not (params := named(params)):
        return lm
    blocks, kind = _blocks(lm), params.split("-")[0]
    if kind == "last":
        count = int(params.split("-")[1])
        if count > len(blocks):
            raise InputError(f"--params {params}: {lm.name} has {len(blocks)} blocks")
        blocks = blocks[-count:]
    outside = embedding_names(lm.model)
    free = {id(p) for block in blocks for p in block.parameters()}
    if kind == "blocks":  # what lies between blocks and embeddings, such as the last norm, too
        free = {id(p) for name, p in parameters(lm.model).items() if name not in outside}
    for p in list(lm.model.parameters()):
        p.requires_grad_(id(p) in free and kind != "lora")
    if kind == "lora":
        _add(blocks, int(params.split("-")[1]))
    return replace(lm, name=f"{lm.name}+{params}")


def _blocks(lm: LanguageModel) -> list[torch.nn.Module]:
    """A model's blocks, first to last: its list of as many modules as it has layers.

    An encoder-decoder has two such lists, and its decoder's blocks come after its encoder's.
    """
    model = lm.model
    if model.config.is_encoder_decoder:  # as many as they have: the two can differ
        sides = [model.model.get_encoder(), model.model.get_decoder()]
        lists = [m for side in sides for m in _lists(side)[:1]]
    else:
        layers = getattr(model.config.get_text_config(), "num_hidden_layers", None)
        lists = [m for m in _lists(model) if len(m) == layers][:1]
    if lists:
        return [block for some in lists for block in some]
    raise InputError(f"--params: {lm.name} has no list of blocks that could be chosen from")


def _lists(model: torch.nn.Module) -> list[torch.nn.ModuleList]:
    return [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]


class _Addition(torch.nn.Module):
    """W + scale · B A, with B = 0 at first; A's rows are orthonormal and stay as they are."""

    def __init__(self, weight: torch.Tensor, rank: int, scale: float, seed: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        chance = torch.Generator().manual_seed(seed)
        drawn = torch.randn(columns, min(rank, columns), generator=chance)
        self.register_buffer("a", torch.linalg.qr(drawn).Q.T.contiguous().to(weight), False)
        self.b = torch.nn.Parameter(weight.new_zeros(rows, len(self.a)))
        self.scale = scale

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.scale * (self.b @ self.a)


def _add(blocks: list[torch.nn.Module], rank: int) -> None:
    """Give every matrix of the blocks a low-rank addition of which one factor may move.

    At the start one factor of a LoRA is 0, so the other has no gradient: it is fixed at random
    (LoRA-FA, Zhang et al. 2023), the same for every run. The scale is the norm of all the matrices,
    so that the displacement of a tuning is a share of their length as in a model without additions.
    """
    places = [
        (module, name)
        for block in blocks
        for module in block.modules()
        for name, p in module.named_parameters(recurse=False)
        if p.dim() == 2 and min(p.shape) > 1
    ]
    matrices = [getattr(module, name).detach() for module, name in places]
    if rank > (most := max(min(matrix.shape) for matrix in matrices)):
        raise InputError(f"--params lora-{rank}: no matrix of the blocks has a rank above {most}")
    scale = sum(norm(m.flatten()) ** 2 for m in matrices) ** 0.5
    for seed, ((module, name), matrix) in enumerate(zip(places, matrices, strict=True)):
        addition = _Addition(matrix, rank, scale, seed)
        parametrize.register_parametrization(module, name, addition, unsafe=True)
