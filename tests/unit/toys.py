"""Small models with known answers, tables of pairs, and slow oracles that the tests share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from taskspace_utils import models, scales

TOLERANCE = 1e-4  # nats: what another order of adding in float32 may change

WORDS = "the a cat cats dog dogs sees see sleeps sleep old near and that himself themselves . ?"
BOS, PAD, UNKNOWN, FIRST = 0, 1, 2, 3  # ids of new_tokenizer: special tokens, then words sorted

WORD_SCALE = scales.Scale("toy", 1, 8, 1, 16, "word", 100, 4, 1e-2, 5, False)
BPE_SCALE = scales.Scale("toy-bpe", 1, 8, 1, 16, "bpe", 300, 4, 1e-2, 5, False)


class Table(torch.nn.Module):
    """A bigram model: the logits after token u are row u of a table."""

    def __init__(self, table: torch.Tensor):
        super().__init__()
        self.table = torch.nn.Parameter(table.clone())
        self.config = SimpleNamespace(is_encoder_decoder=False)

    def forward(self, input_ids, use_cache=False):
        return SimpleNamespace(logits=self.table[input_ids])

    def get_output_embeddings(self):
        return None


class Unigram(Table):
    """The same logits everywhere."""

    def forward(self, input_ids, use_cache=False):
        return SimpleNamespace(logits=self.table.expand(*input_ids.shape, -1))


def tokenizer(words: str = WORDS):
    return scales.new_tokenizer(WORD_SCALE, [words])


def bind(model: torch.nn.Module, words: str = WORDS, context: int | None = None, **changes):
    """A LanguageModel over a toy vocabulary, with BOS."""
    settings = {"bos_id": BOS, "bos": "bos", "name": "toy", "weights": "", "card": {}}
    return models.LanguageModel(
        model=model.eval(), tokenizer=tokenizer(words), context=context, **(settings | changes)
    )


def gpt2(
    words: str = WORDS, seed: int = 0, double: bool = False, layers: int = 2, width: int = 16
) -> models.LanguageModel:
    """An untrained GPT-2 with tied embeddings whose predictions are far from uniform."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer(words)), n_positions=24, n_embd=width, n_layer=layers, n_head=2,
        initializer_range=0.4, bos_token_id=BOS, eos_token_id=None, pad_token_id=PAD,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    return bind(model.double() if double else model, words, context=24)


def bigram(seed: int = 0, words: str = WORDS, **changes) -> models.LanguageModel:
    size = len(tokenizer(words))
    table = torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
    return bind(Table(table), words, **changes)


def pairs_of(tasks: dict[str, list[tuple[str, str]]], splits: bool = True) -> pd.DataFrame:
    """A table of pairs; the first half of each task is for training."""
    rows = []
    for task, sentences in tasks.items():
        for i, (good, bad) in enumerate(sentences):
            half = "train" if i < len(sentences) // 2 else "eval"
            rows.append(
                {"task": task, "phenomenon": task[0], "field": "", "pair_id": str(i), "item": "",
                 "split": half if splits else "", "good": good, "bad": bad}
            )  # fmt: skip
    return pd.DataFrame(rows)


def english(n: int = 8) -> pd.DataFrame:
    """Three tasks in the toy vocabulary, `n` pairs each, of unequal lengths."""
    frames = ["the {} {} .", "the old {} {} .", "a {} near the dog {} .", "the {} that {} ."]
    more = ["the cats and the {} {} ?", "a old {} {} .", "the {} near a cat {} ?", "old {} {} ."]
    frames = (frames + more) * (n // 8 + 1)
    agree = [(f.format("cat", "sleeps"), f.format("cat", "sleep")) for f in frames[:n]]
    plural = [(f.format("dogs", "see"), f.format("dogs", "sees")) for f in frames[:n]]
    bind_ = [(f.format("dog", "sees himself"), f.format("dog", "sees themselves")) for f in frames]
    return pairs_of({"agree": agree, "plural": plural, "reflexive": bind_[:n]})


def slow_log_probability(lm: models.LanguageModel, sentence: str) -> float:
    """The oracle: one sentence at a time, plain log-softmax in float64, a loop over tokens."""
    ids = lm.tokenizer(sentence, add_special_tokens=False)["input_ids"]
    ids = ids if lm.bos_id is None else [lm.bos_id, *ids]
    with torch.no_grad():
        logits = lm.model(input_ids=torch.tensor([ids])).logits[0].double().numpy()
    total = 0.0
    for t in range(1, len(ids)):
        row = logits[t - 1]
        total += row[ids[t]] - row.max() - np.log(np.exp(row - row.max()).sum())
    return total


def slow_margins(lm: models.LanguageModel, pairs: pd.DataFrame) -> np.ndarray:
    return np.array(
        [slow_log_probability(lm, row.good) - slow_log_probability(lm, row.bad)
         for row in pairs.itertuples()]
    )  # fmt: skip


def state(lm: models.LanguageModel) -> dict[str, bytes]:
    """All that a model is, to the last bit."""
    return {n: t.detach().numpy().tobytes() for n, t in lm.model.state_dict().items()}
