"""Task Spaces: the helper package of the companion. Chapters explain what the rooms do.

Names are loaded when they are first used, so that importing the package imports no torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "store": ["InputError"],
    "tables": ["Run", "reference_run"],
    "pairs": ["read_pairs", "scan_pairs", "write_pairs"],
    "splits": ["split_pairs"],
    "grammar": ["load_grammar"],
    "scales": ["load_scale"],
    "models": ["LanguageModel"],
    "checks": ["bag_accuracy", "check_table", "shared_words", "token_lengths"],
    "scoring": ["log_probabilities", "margins", "score", "text_loss", "verdicts"],
    "pretraining": ["pretrain", "read_corpus"],
    "ftgd": ["Config", "loss_gradient", "top_k", "tune", "tuned"],
    "gradients": ["gradient_space", "predicted_transfer"],
    "probing": ["neutral_text", "neutral_texts", "transfer_row"],
    "hypotheses": [
        "inflation",
        "lexical_diff",
        "lexical_space",
        "regress",
        "same_label",
        "signed_sharing",
    ],
    "opening": ["load_model"],
    "profiles": ["data_folder", "load_profile"],
    "runs": ["checkpoint", "corpus", "sweep", "task_pairs"],
    "probes": ["probe"],
}
_ROOM = {name: room for room, names in _HOME.items() for name in names}
__all__ = sorted([*_ROOM, "spaces"])


def __getattr__(name: str):
    if name in _ROOM:
        return getattr(import_module(f"{__name__}.{_ROOM[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
