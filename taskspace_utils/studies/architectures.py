"""Other architectures: another model of the same language, stopped at the same held-out loss.

Chapter 17. Each model is transformers' own class, built at about the size of one of our scales and
trained on the scale's corpus in the order that its seed gives, as `pretraining` trains GPT-2. What
differs is the architecture and the learning rate, and with them the step at which a model is as
good as the others: that step is looked for, and kept.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pandas as pd
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from taskspace_utils import records, store
from taskspace_utils.cells import present_code
from taskspace_utils.models import CARD
from taskspace_utils.pretraining import (
    CHUNK_TOKENS,
    Corpus,
    checkpoint_name,
    held_out_sequences,
    sequences,
)
from taskspace_utils.scales import Scale, new_tokenizer
from taskspace_utils.scoring import chunks, sequence_log_probabilities, text_loss
from taskspace_utils.store import InputError
from taskspace_utils.tables import write_table

TEXT = "held-out"  # the text whose loss is matched
EVERY = 20  # steps between two looks at it
EXPERTS, CHOSEN = 4, 2  # of the mixture; so many of them read each token


def settings(architecture: str, scale: Scale) -> dict:
    """The configuration of an architecture at a scale's size, as `AutoConfig.for_model` takes it.

    Depth, width and heads are the scale's. Feed-forward parts are as wide as leaves about GPT-2's
    number of weights: a gated one has three matrices where GPT-2 has two, and experts share one
    part's weights. Widths are multiples of 4, which the kernel for experts asks for.

    Raises:
        InputError: there is no such architecture.
    """
    width, layers, context = scale.width, scale.layers, scale.context
    old = {"n_embd": width, "n_layer": layers, "n_head": scale.heads, "n_positions": context}
    old |= dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    new = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": scale.heads}
    new |= {"num_key_value_heads": scale.heads, "max_position_embeddings": context}
    experts = {"num_local_experts": EXPERTS, "num_experts_per_tok": CHOSEN}
    known = {
        "openai-gpt": old,
        "gpt2": old | {"activation_function": "gelu_pytorch_tanh"},
        "bloom": {"hidden_size": width, "n_layer": layers, "n_head": scale.heads},
        "llama": new | {"intermediate_size": 4 * round(8 * width / 12)},
        "mixtral": new | experts | {"intermediate_size": 4 * round(8 * width / (12 * EXPERTS))},
        # its class divides by the number of layers less one; and it must not rescale its weights
        "rwkv": {"hidden_size": width, "num_hidden_layers": max(2, layers),
                 "context_length": context, "rescale_every": 0},
    }  # fmt: skip
    if architecture not in known:
        raise InputError(f"no architecture {architecture!r}: there are {', '.join(known)}")
    return known[architecture]


ARCHITECTURES = ("openai-gpt", "gpt2", "bloom", "llama", "mixtral", "rwkv")


def built(architecture: str, scale: Scale, vocabulary: int, seed: int) -> torch.nn.Module:
    """An untrained model, embeddings tied, no dropout; the same weights for the same seed."""
    common = {"vocab_size": vocabulary, "tie_word_embeddings": True}
    common |= {"bos_token_id": 0, "eos_token_id": None, "pad_token_id": 1}
    config = AutoConfig.for_model(architecture, **settings(architecture, scale), **common)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()


def tokenizer_of(scale: Scale, corpus: Corpus):
    """The word-level tokenizer that a scale's models of this corpus have."""
    return new_tokenizer(
        scale, [*corpus.train, *corpus.words, *itertools.chain(*corpus.held_out.values())]
    )


def learn(
    model: torch.nn.Module,
    scale: Scale,
    corpus: Corpus,
    seed: int,
    rate: float,
    target: float,
    at_most: int,
) -> pd.DataFrame:
    """Train a model in place as `pretraining` does, until its held-out loss is down at a target.

    It looks every `EVERY` steps, and goes back to the weights whose loss was nearest the target.

    Args:
        rate: learning rate after the warm-up.
        target: held-out loss, nats a token.
        at_most: steps.

    Returns:
        columns step, tokens (read so far), loss; a row a look, and `kept` for the one gone back to.
    """
    tokenizer = tokenizer_of(scale, corpus)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )
    data = sequences(scale, tokenizer, corpus.train, seed)
    text = held_out_sequences(scale, tokenizer, corpus)[TEXT]
    looks, tokens, best, weights = [], 0, float("inf"), {}
    for step in range(at_most + 1):
        if step % EVERY == 0 or step == at_most:
            loss = text_loss(model, text)
            looks.append((step, tokens, loss))
            if abs(loss - target) < best:
                best = abs(loss - target)
                weights = {name: value.clone() for name, value in model.state_dict().items()}
            if loss <= target:
                break
        if step < at_most:
            batch = list(itertools.islice(data, scale.batch))
            tokens += sum(len(sequence) - 1 for sequence in batch)
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / scale.warmup)
            _train_on(model, optimiser, batch)
    model.load_state_dict(weights)
    log = pd.DataFrame(looks, columns=["step", "tokens", "loss"])
    return log.assign(kept=(log["loss"] - target).abs() == best)


def _train_on(model: torch.nn.Module, optimiser, batch: list[list[int]]) -> None:
    model.train()
    optimiser.zero_grad(set_to_none=True)
    tokens = sum(len(sequence) - 1 for sequence in batch)
    for places in chunks(batch, CHUNK_TOKENS):
        loss = -sequence_log_probabilities(model, [batch[i] for i in places]).sum() / tokens
        loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    model.eval()


def searched(
    architecture: str, scale: Scale, corpus: Corpus, seed: int, rate: float, steps: int
) -> float:
    """The held-out loss after a short training at a learning rate, nats a token; kept in the store.

    NaN where the training came apart.
    """
    about = _about(architecture, scale, corpus, seed, rate) | {"steps": steps}
    about |= {"kind": "search", "model": {"name": f"{architecture}-seed{seed}"}}
    key = store.key_of(about)
    path = store.store_path("cells", key[:2], f"{key}.json")
    found = records.read_record(path)
    if found is None:
        torch.set_num_threads(1)
        model = built(architecture, scale, len(tokenizer_of(scale, corpus)), seed)
        log = learn(model, scale, corpus, seed, rate, 0.0, steps)
        found = {"loss": float(log["loss"].iloc[-1])}
        records.write_record(path, about, found)
    return found["loss"]


def kept(
    architecture: str,
    scale: Scale,
    corpus: Corpus,
    seed: int,
    rate: float,
    target: float,
    at_most: int,
) -> tuple[Path, Path]:
    """The checkpoints of a model before training and at the target; trained when first asked for.

    Arguments are as of `learn`. The folder that holds both has `training.csv` beside them.

    Raises:
        InputError: there is no such architecture.
    """
    about = _about(architecture, scale, corpus, seed, rate) | {"target": target, "at_most": at_most}
    name = f"{architecture}-{scale.name}"
    folder = store.store_path("models", f"{name}-seed{seed}-{store.key_of(about)}")
    with store.locked(folder.name):
        if not (folder / records.SUMS).is_file() or records.changed(folder):
            torch.set_num_threads(1)  # with more, sums are added up in another order
            tokenizer = tokenizer_of(scale, corpus)
            model = built(architecture, scale, len(tokenizer), seed)
            card = {"name": f"{name}-seed{seed}", "scale": scale.name, "seed": seed}
            card |= {"architecture": architecture, "corpus": corpus.key, "rate": rate}
            _keep(folder, model, tokenizer, card | {"step": 0})
            log = learn(model, scale, corpus, seed, rate, target, at_most)
            step = int(log.loc[log["kept"], "step"].iloc[0])
            _keep(folder, model, tokenizer, card | {"step": step})
            write_table(folder / "training.csv", log.assign(text=TEXT), ["step"])
            records.write_sums(folder, about)
    steps = sorted(folder.glob("step-*"))  # their numbers have six digits: untrained comes first
    return steps[0], steps[-1]


def _about(architecture: str, scale: Scale, corpus: Corpus, seed: int, rate: float) -> dict:
    """What decides a training, but for when it ends."""
    made = {"architecture": architecture, "settings": settings(architecture, scale)}
    made |= {"scale": vars(scale), "seed": seed, "corpus": corpus.key, "rate": rate}
    made |= {"code": store.code_version("studies/architectures")}
    return made | store.hardware() | present_code("training")


def _keep(folder: Path, model, tokenizer, card: dict) -> None:
    with store.new_folder(folder / checkpoint_name(card["step"]), CARD) as path:
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        about = card | {"versions": store.versions()}
        store.write_atomic(path / CARD, json.dumps(about, indent=1, sort_keys=True) + "\n")
