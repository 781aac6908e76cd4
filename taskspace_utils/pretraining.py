"""Pre-training: from a corpus to a folder of checkpoints and a log of losses.

Plain next-token training with AdamW, a warm-up and then a constant rate, so that a run of N steps
is the beginning of any longer one with the same seed. The order of the data depends on the seed
alone, not on the scale.
"""

from __future__ import annotations

import itertools
import json
import lzma
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from taskspace_utils.models import CARD
from taskspace_utils.scales import BOS, Scale, new_model, new_tokenizer
from taskspace_utils.scoring import chunks, sequence_log_probabilities, text_loss
from taskspace_utils.store import (
    InputError,
    leftovers,
    new_folder,
    say,
    text_key,
    versions,
    write_atomic,
)
from taskspace_utils.tables import write_table

HELD_OUT_LINES = 400  # of a single file, kept from training
HELD_OUT_TOKENS = 20_000  # a text's held-out loss is taken on at most so many
CHUNK_TOKENS = 1024  # in one pass: the logits of more no longer fit in a processor's cache
TOKENIZER_LINES = 100_000  # lines that a BPE tokenizer is trained on


@dataclass(frozen=True)
class Corpus:
    """Lines to train on, and held-out lines by the name of the text they are from."""

    train: list[str]
    held_out: dict[str, list[str]]
    words: tuple[str, ...] = ()  # get a token (word-level) even where no training line has them

    @property
    def key(self) -> str:
        """16 hex digits that stand for the training lines, the held-out texts and the words."""
        held_out = [text for name, lines in self.held_out.items() for text in (name, *lines)]
        return text_key([*self.train, "", *held_out, "", *self.words])

    def neutral(self, lines: int = 300) -> dict[str, tuple[str, ...]]:
        """The first held-out lines of each text, to measure harm on."""
        return {name: tuple(text[:lines]) for name, text in self.held_out.items()}


def read_corpus(path: str | Path) -> Corpus:
    """Read plain text, one paragraph or sentence a line: a `.txt`, a `.txt.xz`, or a folder.

    Of a folder, `train-*` files are trained on if there are any, else all; `valid-*` files are
    held-out texts, one for each register (the name's second part); `test-*` files are never read.
    Of a single file, or a folder without `valid-*`, lines spread evenly over it are held out.

    Raises:
        InputError: no such file, no text in it, or not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.name.endswith((".txt", ".txt.xz")))
        valid = [p for p in files if p.name.startswith("valid-")]
        others = [p for p in files if not p.name.startswith(("valid-", "test-"))]
        train = [p for p in others if p.name.startswith("train-")] or others
    elif path.is_file():
        train, valid = [path], []
    else:
        raise InputError(f"{path}: there is no such file or folder of text")
    lines = [line for p in train for line in _read_lines(p)]
    if len(lines) < 10:
        raise InputError(f"{path}: {len(lines)} lines of text to train on; at least 10 are needed")
    held_out: dict[str, list[str]] = {}
    for p in valid:
        register = p.name.split(".")[0].split("-")[1]
        held_out.setdefault(register, []).extend(_read_lines(p))
    if not held_out:
        n = min(HELD_OUT_LINES, len(lines) // 10)
        places = set(np.linspace(0, len(lines) - 1, n, dtype=int).tolist())
        held_out = {"held-out": [lines[i] for i in sorted(places)]}
        same = set(held_out["held-out"])  # a held-out sentence must occur nowhere in training
        lines = [line for line in lines if line not in same]
    return Corpus(lines, held_out)


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        text = (lzma.decompress(data) if path.suffix == ".xz" else data).decode("utf-8")
    except (UnicodeDecodeError, lzma.LZMAError) as error:
        raise InputError(f"{path}: not text in UTF-8 ({error}): save it as UTF-8") from error
    return [line.strip() for line in text.split("\n") if line.strip()]


# -------------------------------------------------------------------------------- data in one order


def sequences(scale: Scale, tokenizer, lines: list[str], seed: int | None) -> Iterator[list[int]]:
    """Training sequences of token ids: lines, or blocks of `context` tokens, BOS first.

    Args:
        seed: shuffles the lines, anew at each of endless passes over them; None keeps their order
            and makes one pass.
    """
    bos = tokenizer.convert_tokens_to_ids(BOS)
    stream: list[int] = []
    for tokens in _encoded_lines(tokenizer, lines, seed):
        if scale.tokenizer == "word":
            yield [bos, *tokens]
        else:
            stream.extend([bos, *tokens])
            while len(stream) >= scale.context:
                # Each block starts with BOS, as every scored sentence does.
                first = 1 if stream[0] == bos else 0
                size = scale.context - 1
                yield [bos, *stream[first : first + size]]
                stream = stream[first + size :]


def _encoded_lines(tokenizer, lines: list[str], seed: int | None):
    for number in itertools.count():
        if seed is None and number:
            return
        order = np.arange(len(lines))
        if seed is not None:
            np.random.default_rng([seed, number]).shuffle(order)
        for start in range(0, len(order), 1000):
            batch = [lines[i] for i in order[start : start + 1000]]
            yield from tokenizer(batch, add_special_tokens=False)["input_ids"]


def held_out_sequences(scale: Scale, tokenizer, corpus: Corpus) -> dict[str, list[list[int]]]:
    """Held-out sequences by text, at most `HELD_OUT_TOKENS` of each."""
    found = {}
    for text, lines in corpus.held_out.items():
        found[text], tokens = [], 0
        for sequence in sequences(scale, tokenizer, lines, None):
            found[text].append(sequence)
            tokens += len(sequence)
            if tokens >= HELD_OUT_TOKENS:
                break
        if not found[text]:
            raise InputError(f"held-out text {text!r} is too short: give it more lines")
    return found


# ------------------------------------------------------------------------------------- the training


def checkpoint_steps(steps: int) -> list[int]:
    """0, 100·2ⁿ below `steps`, and `steps`."""
    found, step = [0], 100
    while step < steps:
        found.append(step)
        step *= 2
    return [*found, steps]


def checkpoint_name(step: int) -> str:
    """The name of a checkpoint's folder."""
    return f"step-{step:06d}"


def pretrain(
    scale: Scale,
    corpus: Corpus,
    steps: int,
    seed: int,
    out: str | Path,
    also_at: tuple[int, ...] = (),
    progress: Callable[[str], None] = say,
    device: str = "cpu",
) -> Path:
    """Train a new model; keep checkpoints and a log. A broken-off run goes on where it was.

    Args:
        steps: optimiser steps, each on `scale.batch` sequences.
        seed: of the weights and the order of the data.
        out: a folder for `step-000000/` …, each with config, safetensors, tokenizer and card, and
            `training.csv` (step, text, tokens, loss in nats a token).
        also_at: further steps to keep.

    Raises:
        InputError: `out` belongs to another training, steps is not positive, a line is too long or
            has too many different words for the scale; or the loss is no longer finite.
    """
    out = Path(out)
    if steps < 1:
        raise InputError(f"steps is {steps}; it must be at least 1")
    card = {
        "scale": scale.name,
        "seed": seed,
        "corpus": corpus.key,
        "recipe": {k: v for k, v in vars(scale).items() if k != "name"},
    }
    previous = out / "training.json"
    if previous.is_file():
        if json.loads(previous.read_text()) != card:
            raise InputError(
                f"{out} holds another training (see {previous.name}): name a new folder"
            )
    elif out.exists() and set(out.iterdir()) - set(leftovers(out)):
        raise InputError(f"{out} holds files that are not ours: name a new folder")
    keep = sorted({*checkpoint_steps(steps), *(s for s in also_at if s <= steps)})
    if all((out / checkpoint_name(s) / CARD).is_file() for s in keep):
        if not (out / "training.csv").is_file():  # the last thing that is written
            _write_log(out)
        return out
    rng = np.random.default_rng(0)
    if scale.tokenizer == "word":
        sample = [*corpus.train, *corpus.words, *itertools.chain(*corpus.held_out.values())]
        if (longest := max(len(line.split()) for line in sample)) >= scale.context:
            raise InputError(f"a line has {longest} words; {scale.name} takes {scale.context - 1}")
    else:
        sample = [corpus.train[i] for i in rng.permutation(len(corpus.train))[:TOKENIZER_LINES]]
    tokenizer = new_tokenizer(scale, sample)
    model = new_model(scale, len(tokenizer), seed).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=scale.lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )
    data = sequences(scale, tokenizer, corpus.train, seed)
    held_out = held_out_sequences(scale, tokenizer, corpus)
    write_atomic(previous, json.dumps(card, indent=1) + "\n")
    start = _resume(out, model, optimiser)
    tokens = sum(len(s) - 1 for s in itertools.islice(data, start * scale.batch))
    began = time.monotonic()
    for step in range(start, steps + 1):
        if step in keep and not (out / checkpoint_name(step) / CARD).is_file():
            losses = {text: text_loss(model, ids) for text, ids in held_out.items()}
            whole = card | {"step": step, "tokens": tokens, "held_out_loss": losses}
            _keep_checkpoint(out, model, tokenizer, whole)
            _keep_state(out, model, optimiser, step)
            shown = ", ".join(f"{text} {loss:.3f}" for text, loss in losses.items())
            seconds = time.monotonic() - began
            progress(
                f"{scale.name} seed {seed} step {step}/{steps} ({seconds:.0f} s): loss {shown}"
            )
        if step < steps:
            batch = list(itertools.islice(data, scale.batch))
            tokens += sum(len(s) - 1 for s in batch)
            _training_step(model, optimiser, batch, step, scale)
    _write_log(out)
    shutil.rmtree(out / "state", ignore_errors=True)
    return out


def _training_step(model, optimiser, batch: list[list[int]], step: int, scale: Scale) -> None:
    for group in optimiser.param_groups:
        group["lr"] = scale.lr * min(1.0, (step + 1) / scale.warmup)
    model.train()
    optimiser.zero_grad(set_to_none=True)
    device = next(model.parameters()).device.type
    tokens = sum(len(sequence) - 1 for sequence in batch)
    total = 0.0
    for places in chunks(batch, CHUNK_TOKENS):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=scale.bf16):
            loss = -sequence_log_probabilities(model, [batch[i] for i in places]).sum() / tokens
        loss.backward()
        total += loss.item()
    if not np.isfinite(total):
        raise InputError(f"training {scale.name}: the loss is {total} at step {step}: lower its lr")
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    model.eval()


def _keep_checkpoint(out: Path, model, tokenizer, card: dict) -> None:
    with new_folder(out / checkpoint_name(card["step"]), CARD) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        card = card | {"name": f"{card['scale']}-seed{card['seed']}", "versions": versions()}
        write_atomic(folder / CARD, json.dumps(card, indent=1, sort_keys=True) + "\n")


def _keep_state(out: Path, model, optimiser, step: int) -> None:
    """What it takes to go on from here, in safetensors: the optimiser's moments."""
    names = dict(model.named_parameters())
    tensors = {
        f"{key}/{name}": optimiser.state[p][key]
        for name, p in names.items()
        if p in optimiser.state
        for key in ("exp_avg", "exp_avg_sq", "step")
    }
    with new_folder(out / "state", "state.json") as folder:
        save_file(tensors or {"none": torch.zeros(1)}, folder / "state.safetensors")
        write_atomic(folder / "state.json", json.dumps({"step": step}))


def _resume(out: Path, model, optimiser) -> int:
    """Load the newest state and its checkpoint's weights; return the step to go on from."""
    path = out / "state" / "state.json"
    if not path.is_file():
        return 0
    step = json.loads(path.read_text())["step"]
    weights = out / checkpoint_name(step) / "model.safetensors"
    if not weights.is_file():
        return 0
    model.load_state_dict(load_file(weights), strict=False)
    tensors = load_file(out / "state" / "state.safetensors")
    for name, parameter in model.named_parameters():
        if f"step/{name}" in tensors:
            keys = ("exp_avg", "exp_avg_sq", "step")
            optimiser.state[parameter] = {key: tensors[f"{key}/{name}"] for key in keys}
    return step


def _write_log(out: Path) -> None:
    rows = []
    for path in sorted(out.glob(f"step-*/{CARD}")):
        card = json.loads(path.read_text())
        for text, loss in card["held_out_loss"].items():
            rows.append(
                {"step": card["step"], "text": text, "tokens": card["tokens"], "loss": loss}
            )
    write_table(out / "training.csv", pd.DataFrame(rows), ["step", "text"])
