"""Pseudo-likelihoods: scores by models that see both sides of a word.

A masked model, or an encoder-decoder that was trained to fill gaps, gives no probability of a
sentence. It tells how probable each word is among all the others; the logarithms' sum is the
pseudo-log-likelihood (Salazar et al. 2020). Of a word of several tokens, each is asked for while
those after it are hidden too: shown, they would all but give it away (Kauf & Ivanova 2023).

Such a sum is another quantity than a causal model's log P, and is never compared with one. Within
its own kind all goes on as before: margins, gradient differentials and both spaces are those of
the other rooms, for here a model is wrapped so that it answers in their order. A sequence of ids
is a mark, then each word's tokens and an end, then an end once more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from taskspace_utils import models, scoring
from taskspace_utils.models import LanguageModel
from taskspace_utils.store import InputError, file_hash, key_of

PASS_TOKENS = 2048  # of questions in one forward pass
CERTAIN = 1e4  # nats by which an end that is not asked for is more probable than all else


class Special(NamedTuple):
    """The ids that are no words: around a sentence, over a gap, after a word."""

    front: tuple[int, ...]
    back: tuple[int, ...]
    gap: int
    end: int
    pad: int
    start: int  # of what a decoder writes; −1 without one


class Question(NamedTuple):
    """One reading of a sentence with a gap.

    Attributes:
        shown: ids that the model, or the encoder, reads.
        written: ids that the decoder has written; none without a decoder.
        answers: (place in the output, place in the sequence, the id that means "end" there).
    """

    shown: list[int]
    written: list[int]
    answers: list[tuple[int, int, int]]


class PseudoModel(LanguageModel):
    """A model that gives pseudo-likelihoods; `model` is a `Gaps`, and BOS is the model's own."""

    scoring = "pseudo"

    def encode(self, sentences: list[str]) -> list[list[int]]:
        """Ids of each sentence: a mark, each word's tokens and an end, an end.

        Raises:
            InputError: a sentence is empty or longer than the model's context, holds a word that
                the tokenizer does not know or one of the model's marks, or isn't cut into words.
        """
        if not sentences:
            return []
        coded, end = self.tokenizer(sentences, add_special_tokens=False), self.model.special.end
        marks, found = {*self.tokenizer.all_special_ids, end, self.model.special.gap}, []
        for i, sentence in enumerate(sentences):
            tokens, words = coded["input_ids"][i], coded.word_ids(i)
            self._check(sentence, tokens, words, marks)
            ids = [self.bos_id]
            for place, token in enumerate(tokens):
                ids.append(token)
                if place + 1 == len(tokens) or words[place + 1] != words[place]:
                    ids.append(end)
            found.append([*ids, end])
        return found

    def _check(self, sentence: str, tokens: list[int], words: list, marks: set[int]) -> None:
        said, unknown = repr(sentence[:60]), self.tokenizer.unk_token_id
        if not tokens:
            raise InputError(f"sentence {said} gives no token to score")
        if unknown is not None and unknown in tokens:
            odd = [w for w in sentence.split() if unknown in self._ids(w)] or ["a word"]
            raise InputError(
                f"the tokenizer of {self.name} does not know {', '.join(odd[:5])} in {said}: "
                "score pairs in the language the model was trained on"
            )
        if held := marks & set(tokens):
            mark = self.tokenizer.convert_ids_to_tokens(min(held))
            raise InputError(f"sentence {said} holds {mark}, a mark of {self.name}'s own")
        if None in words or (len(set(words)) == 1 and len(sentence.split()) > 1):
            raise InputError(
                f"the tokenizer of {self.name} does not say where words begin in {said}: there is "
                "no pseudo-likelihood by words"
            )
        longest = len(tokens) + len(self.model.special.front) + len(self.model.special.back)
        if self.context is not None and longest > self.context:
            raise InputError(
                f"sentence {said}… has {longest} tokens with marks, and {self.name} takes at most "
                f"{self.context}: leave it out or shorten it"
            )


# ------------------------------------------------------------------------------------ the questions


def _words(ids: list[int], end: int) -> list[list[tuple[int, int]]]:
    """The words of a sequence: (place in it, id) of each token."""
    words, word = [], []
    for place, token in enumerate(ids[1:], start=1):
        if token != end:
            word.append((place, token))
        elif word:
            words.append(word)
            word = []
        else:
            return words
    raise InputError(
        "a pseudo-likelihood is of whole sentences: losses of a part of one, and texts on which "
        "harm is measured, are for causal models"
    )


def _masked(words: list, at: Special) -> Iterator[Question]:
    """A masked model is asked for each token, it and the rest of its word being hidden."""
    tokens, begin = [token for word in words for _, token in word], 0
    for word in words:
        end = begin + len(word)
        for i, (place, _) in enumerate(word):
            gaps = [at.gap] * (len(word) - i)
            shown = [*at.front, *tokens[: begin + i], *gaps, *tokens[end:], *at.back]
            yield Question(shown, [], [(len(at.front) + begin + i, place, at.end)])
        begin = end


def _spans(words: list, at: Special) -> Iterator[Question]:
    """T5 writes what stands in a gap, then the mark of the next gap: so ends a word."""
    tokens, begin = [token for word in words for _, token in word], 0
    for word in words:
        end = begin + len(word)
        shown = [*at.front, *tokens[:begin], at.gap, *tokens[end:], *at.back]
        places = [place for place, _ in word] + [word[-1][0] + 1]
        answers = [(1 + i, place, at.end) for i, place in enumerate(places)]
        yield Question(shown, [at.start, at.gap, *tokens[begin:end]], answers)
        begin = end


def _infilled(words: list, at: Special) -> Iterator[Question]:
    """BART writes the sentence again with its gap filled: a word ends where the next one follows.

    What it has written before the gap is the sentence as it is.
    """
    tokens, begin = [token for word in words for _, token in word], 0
    for word in words:
        end = begin + len(word)
        shown = [*at.front, *tokens[:begin], at.gap, *tokens[end:], *at.back]
        follows = (tokens[end:] or list(at.back))[0]
        first = len(at.front) + begin
        answers = [(first + i, place, at.end) for i, (place, _) in enumerate(word)]
        answers.append((first + len(word), word[-1][0] + 1, follows))
        yield Question(shown, [at.start, *at.front, *tokens[:end]], answers)
        begin = end


class Gaps(torch.nn.Module):
    """A model that answers for gaps, as one whose logits at t − 1 are of token t.

    Args:
        model: a masked model, or an encoder-decoder.
        special: its marks.
        asking: `_masked`, `_spans` or `_infilled`.
    """

    def __init__(self, model: torch.nn.Module, special: Special, asking) -> None:
        super().__init__()
        self.model, self.special, self.asking = model, special, asking

    @property
    def config(self):
        """The wrapped model's."""
        return self.model.config

    def get_output_embeddings(self) -> torch.nn.Module | None:
        """The wrapped model's."""
        return self.model.get_output_embeddings()

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> SimpleNamespace:
        """Logits, shape (sequences, length, vocabulary), of sequences padded on the right.

        An end that the model is not asked for has probability 1. So one after a masked model's
        word: it is shown how many tokens the word has.
        """
        asked = [
            (row, question)
            for row, ids in enumerate(input_ids.tolist())
            for question in self.asking(_words(ids, self.special.end), self.special)
        ]
        rows, slots, found = [], [], []
        while asked:
            count = max(1, PASS_TOKENS // max(len(q.shown) + len(q.written) for _, q in asked))
            some, asked = asked[:count], asked[count:]
            logits = self._logits([question for _, question in some])
            picks = [(i, *a) for i, (_, q) in enumerate(some) for a in q.answers]
            number, place, slot, means_end = torch.tensor(picks, device=logits.device).T
            rows += [some[i][0] for i in number.tolist()]
            slots += (slot - 1).tolist()
            found.append(self._exchanged(logits[number, place], means_end))
        values = torch.cat(found)
        whole = values.new_full((*input_ids.shape, values.shape[1]), -CERTAIN)
        whole[..., self.special.end] = 0
        at = torch.tensor(rows, device=whole.device), torch.tensor(slots, device=whole.device)
        return SimpleNamespace(logits=whole.index_put(at, values))

    def _exchanged(self, logits: torch.Tensor, means_end: torch.Tensor) -> torch.Tensor:
        """Where another id means "end", both change places; what is added up is the same."""
        order = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits), 1)
        order[:, self.special.end] = means_end
        return logits.gather(1, order.scatter(1, means_end[:, None], self.special.end))

    def _logits(self, questions: list[Question]) -> torch.Tensor:
        device = next(self.parameters()).device
        shown, mask = self._padded([q.shown for q in questions])
        given = {"input_ids": shown.to(device), "attention_mask": mask.to(device)}
        if self.special.start >= 0:
            written, _ = self._padded([q.written for q in questions])  # nothing looks to the right
            given |= {"decoder_input_ids": written.to(device), "use_cache": False}
        return self.model(**given).logits

    def _padded(self, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        whole = torch.full((len(ids), max(map(len, ids))), self.special.pad)
        mask = torch.zeros_like(whole)
        for row, tokens in enumerate(ids):
            whole[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
        return whole, mask


def score(lm: PseudoModel, pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same as `scoring.score`; `bits_per_token` counts the sentences' tokens, not the marks."""
    table, each = scoring.score(lm, pairs)
    coded = lm.tokenizer(list(pairs["good"]), add_special_tokens=False)["input_ids"]
    each["tokens_good"] = list(map(len, coded))
    sums = each.groupby("task")[["log_p_good", "tokens_good"]].sum()
    bits = -sums["log_p_good"] / sums["tokens_good"] / np.log(2)
    return table.assign(bits_per_token=table["task"].map(bits)), each


# --------------------------------------------------------------------------------------- the models


def load(
    source: str | Path, revision: str | None = None, device: str = "cpu", precision: str = "fp32"
) -> PseudoModel:
    """Load a masked model or a gap-filling encoder-decoder; arguments as `models.load_model`.

    Raises:
        InputError: no such model, no weights, weights that lack a part, or a model of another kind.
    """
    source, local = str(source), Path(source).is_dir()
    if local:
        models._check_folder(Path(source))
    elif source.startswith((".", "/", "~")) or source.count("/") > 1 or os.sep + os.sep in source:
        raise InputError(f"{source}: there is no such folder")
    options = {"trust_remote_code": False} | ({} if local else {"revision": revision})
    try:
        config = AutoConfig.from_pretrained(source, **options)
        if not config.is_encoder_decoder and getattr(config, "is_decoder", False):
            raise InputError(f"{source}: a causal model, which is scored with --scoring causal")
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForMaskedLM
        model, info = kind.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:400]
        raise InputError(
            f"{source}: not a masked model or an encoder-decoder that can be loaded. {reason}"
        ) from error
    if absent := [*info["missing_keys"], *info["mismatched_keys"]]:
        raise InputError(
            f"{source}: its weights lack {absent[0]} or have it in another shape ({len(absent)} "
            "such), and the model would be run with random ones in their place: save it again whole"
        )
    special, asking = _kind(model, tokenizer, source)
    wrapped = Gaps(model, special, asking).to(device).eval()
    wrapped.requires_grad_(True)
    if local:
        name = Path(source).resolve().name
        weights = key_of({p.name: file_hash(p) for p in sorted(Path(source).glob("*.safetensors"))})
    else:
        commit = getattr(model.config, "_commit_hash", None)
        name = f"{source}@{revision or (commit or 'main')[:12]}"
        weights = key_of({"id": source, "commit": commit or revision or "main"})
    front = special.front[0] if special.front else special.pad
    context = _context(model)
    return PseudoModel(wrapped, tokenizer, name, front, "own", context, weights, {}, precision)


def _kind(model: torch.nn.Module, tokenizer, source: str) -> tuple[Special, object]:
    """The marks of a model, and how it is asked."""

    def first(*names: str) -> tuple[int, ...]:
        found = [getattr(tokenizer, f"{name}_token_id") for name in names]
        return tuple([token for token in found if token is not None][:1])

    front, back = first("cls", "bos"), first("sep", "eos")
    pad = (first("pad") or (0,))[0]
    if not model.config.is_encoder_decoder:
        gap = first("mask")
        if not gap or not back:
            raise InputError(
                f"{source}: a masked model is asked for one word at a time, by a mask token in a "
                "sentence with an end, and its tokenizer lacks one of the two"
            )
        return Special(front, back, gap[0], back[0], pad, -1), _masked
    start = model.config.decoder_start_token_id
    spans = tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_1>"])
    known = [token for token in spans if token not in (None, tokenizer.unk_token_id)]
    if len(known) == 2 and start is not None:  # T5 reads nothing before a sentence
        return Special((), first("eos"), *spans, pad, start), _spans
    if model.config.model_type == "bart" and first("mask") and start is not None:
        return Special(front, back, first("mask")[0], back[0], pad, start), _infilled
    raise InputError(
        f"{source}: an encoder-decoder that was not trained to fill gaps (there are no sentinels "
        "<extra_id_0>, and it is no BART), so it gives no pseudo-likelihood of a sentence"
    )


def _context(model: torch.nn.Module) -> int | None:
    """The longest sequence: RoBERTa's first positions belong to its padding."""
    for name, module in model.named_modules():
        if name.endswith(".position_embeddings") and isinstance(module, torch.nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - unused
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)
