"""What is benchmarked: a model, its tokenizer, and pairs.

The pairs are BLiMP's and the tokenizer is made from a corpus where `TASKSPACES_DATA` names both;
otherwise the grammar's pairs and words serve. The weights are drawn at random: speed doesn't depend
on what a model knows.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from taskspace_utils import data_folder, grammar, models, pretraining, scales, splits
from taskspace_utils import pairs as tables

# Shapes beside those of data/scales.yml. 5.3M: 3.1M parameters in blocks, 2.1M in embeddings.
SHAPE = scales.Scale("5.3M", 4, 256, 4, 128, "bpe", 8192, 32, 1e-3, 100, False)
TINY = scales.Scale("tiny", 2, 32, 2, 64, "word", 2000, 32, 1e-3, 20, False)
LINES = 5_000  # of each register of text, from which the tokenizer's pieces are learnt
LIVELY = 2.0  # GPT-2's first weights times this: predictions are then far from uniform


@dataclass
class Material:
    """A saved model and pairs, and where they come from."""

    lm: models.LanguageModel
    folder: Path
    pairs: pd.DataFrame
    source: str

    def of(self, tasks: list[str], n: int) -> pd.DataFrame:
        """`n` pairs of each of some tasks, half train, half eval."""
        return splits.split_pairs(self.pairs[self.pairs["task"].isin(tasks)], n)

    @property
    def tasks(self) -> list[str]:
        """Names of all tasks, sorted."""
        return sorted(self.pairs["task"].unique())

    @property
    def sample(self) -> list[str]:
        """One task of each phenomenon, the first by name."""
        return sorted(self.pairs.groupby("phenomenon")["task"].min())


def prepare(folder: Path, quick: bool = False, scale: scales.Scale | None = None) -> Material:
    """Make an untrained model in `folder`, and read the pairs."""
    scale = scale or (TINY if quick else SHAPE)
    blimp = None if quick else data_folder("blimp", "data")
    texts = None if quick else data_folder("corpus")
    if blimp and texts:
        pairs, source = tables.read_pairs(blimp), "BLiMP, cut into byte-level BPE of English text"
        files = sorted(texts.glob("train-*-00.txt.xz"))
        lines = [line for f in files for line in pretraining.read_corpus(f).train[:LINES]]
    else:
        rules = grammar.load_grammar()
        pairs, source = rules.pairs(24 if quick else 200, 0), "the grammar, a token a word"
        lines = [" ".join(rules.vocabulary())]
        scale = replace(scale, tokenizer="word")
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = scales.new_tokenizer(scale, lines)
    # As many rows as the scale has, whatever the tokenizer needs: the shape is what is measured.
    model = scales.new_model(scale, scale.vocabulary, seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "wpe" not in name:
                weight *= LIVELY
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Material(models.load_model(folder), folder, pairs, source)


def parameters(lm: models.LanguageModel) -> int:
    """Number of parameters, tied ones once."""
    return sum(p.numel() for p in lm.model.parameters())


# ------------------------------------------------------------------- the slow reference, in float64


def doubled(lm: models.LanguageModel) -> models.LanguageModel:
    """A copy of the model in float64."""
    return replace(lm, model=copy.deepcopy(lm.model).double())


def one_by_one(double: models.LanguageModel, sentences: list[str]) -> torch.Tensor:
    """Log-probabilities, one sentence at a time: no padding, no batch, nothing shared."""
    return torch.stack([_score(double, ids) for ids in double.encode(sentences)])


def _score(double: models.LanguageModel, ids: list[int]) -> torch.Tensor:
    row = torch.tensor(ids)
    logits = double.model(input_ids=row[None], use_cache=False).logits[0, :-1]
    return logits.log_softmax(-1)[torch.arange(len(ids) - 1), row[1:]].sum()


def gradient_one_by_one(double: models.LanguageModel, pairs: pd.DataFrame) -> torch.Tensor:
    """The gradient differential in float64, one sentence at a time; shape (P,)."""
    double.model.zero_grad()
    good, bad = double.encode(list(pairs["good"])), double.encode(list(pairs["bad"]))
    for sign, some in ((-1, good), (1, bad)):
        for ids in some:
            (_score(double, ids) * sign / len(pairs)).backward()
    found = torch.cat([p.grad.flatten() for p in double.model.parameters()])
    double.model.zero_grad()
    return found
