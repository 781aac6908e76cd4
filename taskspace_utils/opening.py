"""Opening a model: which kind it is, what it can be asked, and why not where it can't.

`models` and `pseudo` load what they are given. Here it is looked at first, so that a model whose
numbers would be no scores of sentences is refused by what it is, and a hub that gives nothing by
what it said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from huggingface_hub.errors import StrictDataclassError

from taskspace_utils import models
from taskspace_utils.models import LanguageModel
from taskspace_utils.store import InputError

SCORINGS = ("causal", "pseudo")
# Heads, as class names end, whose outputs are words; every other "For…" tells of another task.
OF_WORDS = {"CausalLM", "ConditionalGeneration", "MaskedLM", "PreTraining", "Seq2SeqLM"}

ODD = (ArithmeticError, AttributeError, LookupError, TypeError, StrictDataclassError)


def load_model(
    source: str | Path,
    revision: str | None = None,
    bos: str = "auto",
    device: str = "cpu",
    precision: str = "fp32",
    scoring: str = "causal",
) -> LanguageModel:
    """Load a model after a look at what it is; arguments as `models.load_model`.

    Args:
        scoring: "causal" for log-probabilities of sentences; "pseudo" for the pseudo-likelihoods
            of a masked model or a gap-filling encoder-decoder (see `pseudo`).

    Raises:
        InputError: no such model, one that gives no score of a sentence in this way, or a hub that
            is out of reach, keeps its door shut or knows no such name.
    """
    if scoring not in SCORINGS:
        raise InputError(f"scoring is {scoring!r}; it must be causal or pseudo")
    if scoring == "pseudo" and bos != "auto":
        raise InputError(f"--bos {bos}: a pseudo-likelihood puts the model's own marks around")
    local = Path(source).is_dir()
    if local:
        _check_kind(_config_of(Path(source)), str(source), scoring)
        _check_card(Path(source))
    try:
        if scoring == "pseudo":
            from taskspace_utils import pseudo

            lm = pseudo.load(source, revision, device, precision)
        else:
            lm = models.load_model(source, revision, bos, device, precision)
    except InputError as error:
        if not local and (verdict := _verdict_of_hub(error, str(source), revision)):
            raise InputError(verdict) from error
        raise
    except ODD as error:  # what a configuration can make of a model's own code
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise InputError(
            f"{source}: its configuration or tokenizer is broken ({reason}). Save the model again, "
            "or fetch it anew"
        ) from error
    if not local:
        model = lm.model.model if scoring == "pseudo" else lm.model
        _check_kind(model.config.to_dict(), str(source), scoring)
    return lm


def score(lm: LanguageModel, pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`scoring.score`, or `pseudo.score` for a model that gives pseudo-likelihoods."""
    from taskspace_utils import pseudo, scoring

    return (pseudo if isinstance(lm, pseudo.PseudoModel) else scoring).score(lm, pairs)


def _config_of(folder: Path) -> dict:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # said better by what loads it
    return found if isinstance(found, dict) else {}


def _check_card(folder: Path) -> None:
    """A card that was cut off, or isn't ours, would be a model of no or another step."""
    if not (path := folder / models.CARD).is_file():
        return
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"name": str, "scale": str, "seed": int, "step": int}
        sound = all(isinstance(card[name], kinds[name]) for name in kinds if name in card)
    except (ValueError, TypeError, RecursionError):
        sound = False
    if not (sound and isinstance(card, dict)):
        raise InputError(
            f"{path}: broken. It says which scale, seed and step a checkpoint of ours is; train it "
            "again, or delete the file if the model is another's"
        )


def _check_kind(config: dict, source: str, scoring: str) -> None:
    """Refuse a model by its configuration, where that says enough."""
    from transformers.models.auto import modeling_auto as auto

    kind = str(config.get("model_type", ""))
    names = [str(name) for name in config.get("architectures") or ()]
    for name in names:
        head = re.search(r"For([A-Z]\w*)$", name)
        if head and head[1] not in OF_WORDS:
            what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", head[1]).lower()
            raise InputError(
                f"{source}: a model for {what} ({name}). It does not predict words, so it gives no "
                "score of a sentence; name the language model that it was made from"
            )
    masked, causal, both_sides = (
        dict(found)
        for found in (
            auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
            auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
            auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        )
    )
    if kind in auto.MODEL_MAPPING_NAMES and kind not in {*masked, *causal, *both_sides}:
        raise InputError(
            f"{source}: a model of type {kind}, which transformers knows in no form that predicts "
            "words (a model of images or sounds, or an encoder alone): it can't score sentences"
        )
    looks_back = config.get("is_decoder") or config.get("causal")
    sees_both = config.get("is_encoder_decoder") or (kind in masked and not looks_back)
    if sees_both and scoring == "causal":
        what = "an encoder-decoder" if config.get("is_encoder_decoder") else "a masked model"
        raise InputError(
            f"{source}: {what} ({names[0] if names else kind}), not a causal language model, so it "
            "gives no probability of a sentence. With --scoring pseudo it is scored by "
            "pseudo-likelihood, which is never compared with log P"
        )
    if scoring == "pseudo" and kind in causal and not sees_both:
        raise InputError(
            f"{source}: a causal language model ({names[0] if names else kind}): leave out "
            "--scoring pseudo, for it gives the probability of a sentence itself"
        )


# ----------------------------------------------------------------------------------------- the hub


def _causes(error: BaseException) -> Iterator[BaseException]:
    while (error := error.__cause__ or error.__context__) is not None:
        yield error


def _verdict_of_hub(error: InputError, source: str, revision: str | None) -> str:
    """What a hub that gave nothing meant, and what to do; "" where it wasn't the hub."""
    from huggingface_hub import constants, errors

    at = f" at revision {revision!r}" if revision else ""
    kinds = {type(cause) for cause in _causes(error)}

    def was(*some: type) -> bool:
        return any(issubclass(kind, some) for kind in kinds)

    if was(errors.GatedRepoError):
        return (
            f"{source}: the hub keeps this model behind a gate. Accept its terms at "
            f"{constants.ENDPOINT}/{source}, then log in (`hf auth login`) or set HF_TOKEN; or "
            "name a folder with the model"
        )
    if was(errors.RevisionNotFoundError):
        return f"{source}: the hub has this model, but no revision {revision!r}: mend --revision"
    if was(errors.RepositoryNotFoundError):
        return (
            f"{source}: neither a folder here nor a model that the hub shows us: mend its name; if "
            "it is private, log in (`hf auth login`) or set HF_TOKEN"
        )
    if was(errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
        offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "no answer"
        return (
            f"{source}{at}: neither a folder here nor fetched before, and the hub is out of reach "
            f"({offline}). Name a folder with the model, or try again with a network (HF_HOME "
            "names a folder with what was fetched before)"
        )
    return ""
