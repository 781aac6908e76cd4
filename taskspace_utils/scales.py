"""Scales: the shapes of our own models, and new models and tokenizers of a shape.

A scale is a row of `data/scales.yml`; all are GPT-2's kind of model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
import yaml
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models
from tokenizers import trainers as tokenizer_trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from taskspace_utils.store import InputError, data_path

BOS, PAD, UNKNOWN = "<bos>", "<pad>", "<unk>"


@dataclass(frozen=True)
class Scale:
    """One row of `data/scales.yml`."""

    name: str
    layers: int
    width: int
    heads: int
    context: int
    tokenizer: str
    vocabulary: int
    batch: int
    lr: float
    warmup: int
    bf16: bool


def load_scale(name: str) -> Scale:
    """The scale of this name.

    Raises:
        InputError: there is none, or its row is wrong; names the scales that exist.
    """
    path = data_path("scales.yml")
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    if name not in rows:
        raise InputError(f"no scale named {name!r}: {path.name} has {', '.join(rows)}")
    expected = {f.name for f in fields(Scale)} - {"name"}
    if set(rows[name]) != expected:
        raise InputError(f"{path}, scale {name!r}: its keys must be {', '.join(sorted(expected))}")
    return Scale(name=name, **rows[name])


def new_model(scale: Scale, vocabulary_size: int, seed: int) -> GPT2LMHeadModel:
    """An untrained GPT-2 of this scale, without dropout; the same weights for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary_size,
                n_positions=scale.context,
                n_embd=scale.width,
                n_layer=scale.layers,
                n_head=scale.heads,
                activation_function="gelu_pytorch_tanh",  # GPT-2's, in one kernel and not in seven
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=None,
                pad_token_id=1,
            )
        )
    return model.eval()


def new_tokenizer(scale: Scale, lines: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer for a scale, made from training lines: whole words, or byte-level BPE.

    Raises:
        InputError: word-level, and the lines have more different words than the scale allows.
    """
    special = [BOS, PAD, UNKNOWN]
    if scale.tokenizer == "word":
        words = sorted({word for line in lines for word in line.split()})
        if len(words) + len(special) > scale.vocabulary:
            raise InputError(
                f"this text has {len(words)} different words; scale {scale.name!r} is for at most "
                f"{scale.vocabulary - len(special)} (it gives each word a token of its own): "
                "for real text choose a scale whose tokenizer is bpe, such as 8M or 27M"
            )
        vocabulary = {token: i for i, token in enumerate([*special, *words])}
        core = Tokenizer(tokenizer_models.WordLevel(vocabulary, unk_token=UNKNOWN))
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        special_names = {"bos_token": BOS, "pad_token": PAD, "unk_token": UNKNOWN}
    else:
        core = Tokenizer(tokenizer_models.BPE())
        # A sentence's first word is the same token as inside a sentence: both have a space before.
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        core.decoder = decoders.ByteLevel()
        trainer = tokenizer_trainers.BpeTrainer(
            vocab_size=scale.vocabulary,
            special_tokens=special[:2],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        core.train_from_iterator(lines, trainer)
        special_names = {"bos_token": BOS, "pad_token": PAD}
    return PreTrainedTokenizerFast(
        tokenizer_object=core, clean_up_tokenization_spaces=False, **special_names
    )
