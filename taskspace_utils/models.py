"""Language models: any causal model from a folder or a hub.

`LanguageModel` binds a model to its tokenizer and its BOS policy; everything that scores or tunes
takes one. Only safetensors weights are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from taskspace_utils.store import InputError, file_hash, hardware, key_of

transformers_logging.disable_progress_bar()  # a bar a file floods a terminal and a page

CARD = "taskspaces.json"  # beside a checkpoint of ours: scale, seed, step, corpus


@dataclass
class LanguageModel:
    """A causal language model with its tokenizer.

    Attributes:
        model: maps token ids (batch, length) to logits (batch, length, vocabulary); in eval mode.
        tokenizer: turns text into ids; never adds special tokens here.
        name: a name or `id@revision`, never a path.
        bos_id: the token put before every sentence; None when the policy is "none".
        bos: the policy: "bos", "eos" (the EOS token in its place) or "none".
        context: the longest sequence that the model takes, BOS included; None if unbounded.
        weights: 16 hex digits that stand for the weights' files.
        card: scale, seed and step of a checkpoint of ours; empty otherwise.
        precision: of a forward pass, "fp32" or "bf16"; weights, sums and gradients are fp32.
    """

    model: torch.nn.Module
    tokenizer: object
    name: str
    bos_id: int | None
    bos: str
    context: int | None
    weights: str
    card: dict
    precision: str = "fp32"

    def autocast(self, precision: str | None = None) -> torch.autocast:
        """A `with` block whose forward passes have the model's precision, or the one named."""
        bf16 = (precision or self.precision) == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def keys(self) -> dict:
        """The model keys of a run folder's tables: model, scale, seed, step."""
        return {"model": self.name} | {k: self.card.get(k, "") for k in ("scale", "seed", "step")}

    def encode(self, sentences: list[str]) -> list[list[int]]:
        """Token ids of each sentence, tokenized exactly as given, after the declared BOS.

        Raises:
            InputError: a sentence is longer than the model's context, empty, or holds a word that
                the tokenizer does not know.
        """
        if not sentences:
            return []
        prefix = [] if self.bos_id is None else [self.bos_id]
        coded = self.tokenizer(sentences, add_special_tokens=False)["input_ids"]
        ids = [prefix + list(tokens) for tokens in coded]
        unknown = self.tokenizer.unk_token_id
        for sentence, tokens in zip(sentences, ids, strict=True):
            if len(tokens) < 2:
                raise InputError(
                    f"sentence {sentence!r} gives no token to score"
                    + ("" if prefix else " (without BOS the first token has no probability)")
                )
            if self.context is not None and len(tokens) > self.context:
                raise InputError(
                    f"sentence {sentence[:60]!r}… has {len(tokens)} tokens with BOS, and "
                    f"{self.name} takes at most {self.context}: leave it out or shorten it"
                )
            if unknown is not None and unknown != self.bos_id and unknown in tokens:
                words = [w for w in sentence.split() if unknown in self._ids(w)] or ["a word"]
                raise InputError(
                    f"the tokenizer of {self.name} does not know {', '.join(words[:5])} "
                    f"in {sentence[:60]!r}: score pairs in the language the model was trained on"
                )
        return ids

    def _ids(self, word: str) -> list[int]:
        return self.tokenizer(word, add_special_tokens=False)["input_ids"]


def chosen_hardware() -> tuple[str, str]:
    """Device and precision to work with here: what `store.hardware` says, "auto" decided.

    Raises:
        InputError: an unknown name, or a device that this machine does not have.
    """
    asked = hardware()
    device, precision = asked["device"], asked["precision"]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(device):
        have = ", ".join(name for name, found in there.items() if found)
        raise InputError(f"device {device!r}: this machine has {have} (or say auto)")
    if precision not in ("fp32", "bf16"):
        raise InputError(f"precision {precision!r}: there are fp32 and bf16")
    return device, precision


def load_model(
    source: str | Path,
    revision: str | None = None,
    bos: str = "auto",
    device: str = "cpu",
    precision: str = "fp32",
) -> LanguageModel:
    """Load a causal language model from a folder or, by its id, from the hub.

    Args:
        source: a folder with config, safetensors weights and tokenizer; or a hub id.
        revision: branch, tag or commit on the hub.
        bos: "auto" takes BOS if the tokenizer has one, else EOS in its place; "bos", "eos" or
            "none" insist.
        device: "cpu", "cuda" or "mps"; see `chosen_hardware`.
        precision: of forward passes, "fp32" or "bf16"; the weights are fp32 either way.

    Raises:
        InputError: no such model, no weights, weights only as pickle, not a causal language model,
            no tokenizer, or no BOS where one is wanted.
    """
    source = str(source)
    local = Path(source).is_dir()
    if local:
        _check_folder(Path(source))
    elif source.startswith((".", "/", "~")) or source.count("/") > 1 or os.sep + os.sep in source:
        raise InputError(f"{source}: there is no such folder")
    options = {"trust_remote_code": False} | ({} if local else {"revision": revision})
    try:
        if AutoConfig.from_pretrained(source, **options).is_encoder_decoder:
            # Half of it might load as a decoder, with random weights for what the rest gives it.
            raise InputError(f"{source}: an encoder-decoder, not a causal language model")
        model, info = AutoModelForCausalLM.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:400]
        if local:
            raise InputError(
                f"{source}: not a causal language model that can be loaded. {reason}"
            ) from error
        raise InputError(
            f"{source!r} is neither a folder here nor a causal language model with safetensors "
            f"weights that the hub gives us. {reason}"
        ) from error
    if absent := [*info["missing_keys"], *info["mismatched_keys"]]:
        raise InputError(
            f"{source}: its weights lack {absent[0]} or have it in another shape ({len(absent)} "
            "such), and the model would be run with random ones in their place: save it again whole"
        )
    model = model.to(device).eval()
    model.requires_grad_(True)
    card = json.loads(path.read_text()) if (path := Path(source) / CARD).is_file() else {}
    if local:
        name = card.get("name") or Path(source).resolve().name
        weights = key_of({p.name: file_hash(p) for p in sorted(Path(source).glob("*.safetensors"))})
    else:
        commit = getattr(model.config, "_commit_hash", None)
        name = f"{source}@{revision or (commit or 'main')[:12]}"
        weights = key_of({"id": source, "commit": commit or revision or "main"})
    _check_causal(model, source)
    bos_id, policy = _bos(tokenizer, bos, source)
    text_config = model.config.get_text_config()
    context = getattr(text_config, "max_position_embeddings", None)
    return LanguageModel(model, tokenizer, name, bos_id, policy, context, weights, card, precision)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        steps = sorted(p.name for p in folder.glob("step-*"))
        hint = f" It holds checkpoints: name one, such as {folder / steps[-1]}." if steps else ""
        raise InputError(f"{folder}: no config.json in this folder, so no model.{hint}")
    if not any(folder.glob("*token*")) and not any(folder.glob("vocab*")):
        raise InputError(
            f"{folder}: no tokenizer in this folder, and the model is no use without it: save it "
            "beside the model (`tokenizer.save_pretrained(folder)` does)"
        )
    if not any(folder.glob("*.safetensors")):
        pickled = [p.name for ending in ("*.bin", "*.pt", "*.pth") for p in folder.glob(ending)]
        if pickled:
            raise InputError(
                f"{folder}: weights only as pickle ({pickled[0]}), which can run any code when "
                "loaded, so it is refused. Save the model with safetensors "
                "(`model.save_pretrained(folder)` does)."
            )
        raise InputError(f"{folder}: config.json but no weights (*.safetensors) in this folder")


def _check_causal(model: torch.nn.Module, source: str) -> None:
    """A later token must not change an earlier prediction: encoders load as 'causal' too."""
    size = model.config.get_text_config().vocab_size
    ids = (torch.arange(6, device=next(model.parameters()).device)[None] + 3) % size
    other = ids.clone()
    other[0, -1] = (other[0, -1] + 1) % size
    with torch.no_grad():
        early = model(input_ids=ids).logits[0, :-1]
        early_other = model(input_ids=other).logits[0, :-1]
    if not torch.isfinite(early).all():
        raise InputError(
            f"{source}: the model's predictions are not finite: its weights are broken"
        )
    if not torch.allclose(early, early_other, atol=1e-3):
        raise InputError(
            f"{source}: not a causal language model (a later word changes what it predicts for "
            "earlier ones), so it gives no probability of a sentence"
        )


def _bos(tokenizer, wanted: str, source: str) -> tuple[int | None, str]:
    if wanted not in ("auto", "bos", "eos", "none"):
        raise InputError(f"bos is {wanted!r}; it must be auto, bos, eos or none")
    if wanted in ("auto", "bos") and tokenizer.bos_token_id is not None:
        return tokenizer.bos_token_id, "bos"
    if wanted in ("auto", "eos") and tokenizer.eos_token_id is not None:
        return tokenizer.eos_token_id, "eos"
    if wanted == "none":
        return None, "none"
    missing = {"bos": "BOS", "eos": "EOS"}.get(wanted, "BOS and no EOS")
    raise InputError(
        f"{source}: its tokenizer has no {missing} "
        "token to start a sentence with. Say --bos none to score from the second token on: pairs "
        "that differ in their first token are then not fully scored."
    )
