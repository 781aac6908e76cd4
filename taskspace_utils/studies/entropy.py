"""The floor: how probable our own language makes a sentence, exactly (chapter 18, equation 18.1).

The corpus is drawn by rules that are all known: a construction by its weight, one of its contrasts,
one of that contrast's cells, then words by 1 / rank and none twice. So the probability of any
sentence, or of any beginning of one, is a sum over the cells that can write it. No model can have a
lower expected loss than the language itself: minus the mean log of these probabilities.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from taskspace_utils.grammar import DEFAULTS
from taskspace_utils.store import InputError, data_path
from taskspace_utils.templates import Cell, Forms, Lexicon, Slot, Template
from taskspace_utils.yaml_files import read_yaml

ENDS = (".", "?")  # of sentences, and nowhere else: so none is the beginning of another one
MENTION = re.compile(r"\{(\d+)\[(\d+)\]\}")


class Words:
    """The words of a slot and their shares, found by the form in which they are shown."""

    def __init__(self, slot: Slot) -> None:
        steps = np.diff([0.0, *slot.cumulative]) / slot.cumulative[-1]
        self.shares: dict[Forms, float] = dict(zip(slot.words, steps.tolist(), strict=True))
        self._shown: dict[tuple[int, str], list[Forms]] = {}

    def showing(self, must: Sequence[tuple[int, str]]) -> Collection[Forms]:
        """The words whose forms are these tokens; all words where nothing is asked."""
        found: Collection[Forms] = self.shares
        for form, token in must:
            if (form, token) not in self._shown:
                self._shown[form, token] = [w for w in self.shares if w[form] == token]
            some = self._shown[form, token]
            found = some if found is self.shares else [word for word in found if word in some]
        return found


class Writer:
    """A cell that can write sentences, and the probability (`share`) that it is drawn."""

    def __init__(self, cell: Cell, share: float) -> None:
        self.share, self.slots = share, [Words(slot) for slot in cell.slots]
        tokens = cell.good.split()
        found = {place: MENTION.fullmatch(token) for place, token in enumerate(tokens)}
        self.length = len(tokens)
        self.literals = [(place, tokens[place]) for place in found if not found[place]]
        self.mentions = [
            (i, *map(int, mention.groups())) for i, mention in found.items() if mention
        ]

    def begins(self, tokens: Sequence[str]) -> float:
        """The probability that this cell, once drawn, writes a sentence with this beginning."""
        n = len(tokens)
        for place, word in self.literals:
            if place < n and tokens[place] != word:
                return 0.0
        shown: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for place, slot, form in self.mentions:
            if place < n:
                shown[slot].append((form, tokens[place]))
        fitting = [
            self.slots[slot].showing(shown[slot]) for slot in range(max(shown, default=-1) + 1)
        ]
        return self._filled(fitting, ()) if all(fitting) and n <= self.length else 0.0

    def _filled(self, fitting: Sequence[Collection[Forms]], chosen: tuple[Forms, ...]) -> float:
        """The sum over fitting words of the slots behind those whose words are chosen.

        A word that was drawn before is drawn again evenly from the others (`Cell.draw`), so its
        share is divided among them. Slots that show nothing any more take whatever is left.
        """
        if len(chosen) == len(fitting):
            return 1.0
        shares = self.slots[len(chosen)].shares
        taken = [word for word in chosen if word in shares]
        again = sum(shares[word] for word in taken) / max(1, len(shares) - len(taken))
        return sum(
            (shares[word] + again) * self._filled(fitting, (*chosen, word))
            for word in fitting[len(chosen)]
            if word not in chosen
        )


class Floor:
    """The distribution of the corpus of a grammar in `folder` (default: `data/grammar`).

    Args:
        exclude: sentences that the corpus leaves out; all others become more probable for it.

    Raises:
        InputError: as `load_grammar` does; or `exclude` is everything there is.
    """

    def __init__(self, folder: str | Path | None = None, exclude: Collection[str] = ()) -> None:
        folder = Path(folder) if folder is not None else data_path("grammar")
        lexicon = Lexicon(folder / "lexicon.yml")
        drawn = []  # weight, and cells by contrast, of each construction
        for entry in read_yaml(folder / "paradigms.yml", list):
            sides = [[contrast["good"], contrast["bad"]] for contrast in entry["contrasts"]]
            cells = [Template(lexicon, both, entry["task"]).cells() for both in sides]
            drawn.append((entry.get("weight", DEFAULTS["weight"]), cells))
        for entry in read_yaml(folder / "corpus.yml", list):
            cells = [Template(lexicon, [entry["text"]], entry["name"]).cells()]
            drawn.append((entry.get("weight", DEFAULTS["weight"]), cells))
        whole = sum(weight for weight, _ in drawn)
        self.writers = [
            Writer(cell, weight / whole / len(contrasts) / len(cells))
            for weight, contrasts in drawn
            if weight > 0
            for cells in contrasts
            for cell in cells
        ]
        self._by_length = defaultdict(list)
        for writer in self.writers:
            self._by_length[writer.length].append(writer)
        self._known: dict[str, float] = {}
        self.excluded = math.fsum(self.probability(text) for text in sorted(set(exclude)))
        self._without = frozenset(exclude)
        if self.excluded > 1 - 1e-9:
            raise InputError("floor: all that the grammar can write is excluded; exclude less")

    def probability(self, text: str) -> float:
        """The probability that a sentence of the corpus, before any is left out, begins like this.

        A whole sentence is the beginning of no other one, so this is its own probability.
        """
        if text not in self._known:
            tokens = text.split()
            whole = bool(tokens) and tokens[-1] in ENDS
            writers = self._by_length[len(tokens)] if whole else self.writers
            self._known[text] = math.fsum(w.share * w.begins(tokens) for w in writers)
        return self._known[text]

    def log_probabilities(self, sentences: Iterable[str]) -> np.ndarray:
        """log P of whole sentences of the corpus, nats; minus infinity for what it never says."""
        rest = math.log1p(-self.excluded)
        found = [0.0 if s in self._without else self.probability(s) for s in sentences]
        with np.errstate(divide="ignore"):
            return np.log(np.array(found)) - rest

    def loss(self, sentences: Sequence[str]) -> float:
        """Minus the mean log-probability of a text, nats a token: what no model can beat for long.

        Tokens are words and the mark at the end, as in a model's loss.

        Raises:
            InputError: a sentence that the corpus never says, which it is.
        """
        found = self.log_probabilities(sentences)
        if not np.isfinite(found).all():
            which = sentences[int(np.argmin(np.isfinite(found)))]
            raise InputError(
                f"floor: the corpus never says {which[:80]!r}: give text drawn from it"
            )
        return float(-found.sum() / sum(len(s.split()) for s in sentences))

    def surprises(self, sentence: str) -> list[float]:
        """−log P(word | the words before it) of each word, nats; nothing is left out here."""
        tokens = sentence.split()
        starts = [self.probability(" ".join(tokens[:n])) for n in range(len(tokens) + 1)]
        return [
            math.log(before / after) if after else math.inf for before, after in pairwise(starts)
        ]
