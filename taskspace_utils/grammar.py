"""A controlled, English-like language kept as data: minimal pairs and a corpus that obeys them.

`data/grammar/` holds the words (`lexicon.yml`), the paradigms of minimal pairs
(`paradigms.yml`), further constructions of the corpus (`corpus.yml`) and constructions that the
corpus lacks (`other_text.yml`). This module reads and checks those files, and samples from
them; `templates` says how they are written. It knows no English: every rule is in the templates.
It does not judge pairs; that is the work of `checks`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from itertools import accumulate, cycle
from pathlib import Path

import pandas as pd

from taskspace_utils.store import InputError, data_path
from taskspace_utils.templates import HALVES, Cell, Lexicon, Template
from taskspace_utils.yaml_files import check_keys, need, read_yaml

LABELS = ("task", "phenomenon", "field", "rule", "frame", "family", "demands")
DEFAULTS = {"sham_of": "", "source": "", "bag_exception": "", "pseudo": False, "weight": 1.0}
PAIR_COLUMNS = [
    *("task", "phenomenon", "field", "pair_id", "item", "split", "good", "bad"),
    *("rule", "frame", "family", "sham_of"),
]
TRIES = 40  # draws for each pair that is found, or sentence asked for: then too few


def _check_demands(text: str, where: str) -> None:
    names = [name.removeprefix("-") for name in text.split()]
    for name in names:
        fits = re.fullmatch("[a-z][a-z_]*", name)
        need(fits, where, f"demands: '{name}' should be a name in a to z and _, with - at most")
        need(names.count(name) == 1, where, f"demands: '{name}' stands twice")


class Grammar:
    """The language: tasks, minimal pairs, corpus, vocabulary. Made by `load_grammar`."""

    def __init__(self, folder: Path):
        self._lexicon = Lexicon(folder / "lexicon.yml")
        self._tasks: dict[str, dict] = {}
        self._weights: dict[str, float] = {}
        self._cells: dict[str, list[list[Cell]]] = {}  # of a construction, then of a contrast
        self._other: set[str] = set()  # constructions that the corpus lacks
        path = folder / "paradigms.yml"
        for entry in read_yaml(path, list):
            self._paradigm(entry, path)
        for task, entry in self._tasks.items():
            partner = entry["sham_of"]
            need(partner in ("", *self._tasks), path, f"'{task}': sham_of names no task")
            sham = partner and self._tasks[partner]["sham_of"]
            need(not sham, path, f"'{task}': sham_of names a sham; name a real task")
        self._constructions(folder / "corpus.yml")
        self._used = frozenset(self._lexicon.used)
        path = folder / "other_text.yml"
        if path.exists():
            self._other = self._constructions(path)
            new = ", ".join(sorted(self._lexicon.used - self._used))
            need(not new, path, f"words that neither pairs nor corpus show: {new}")

    def _paradigm(self, entry: dict, path: Path) -> None:
        where = self._entry(entry, path, (*LABELS, "example", "contrasts"), DEFAULTS)
        for label in (*LABELS, "example"):
            need(isinstance(entry[label], str), where, f"'{label}' should be a text")
            need(entry[label].strip(), where, f"'{label}' is missing or empty")
        for label in ("sham_of", "source", "bag_exception"):
            need(isinstance(entry.get(label, ""), str), where, f"'{label}' should be a text")
        need(isinstance(entry["contrasts"], list), where, "'contrasts' should be a list")
        need(isinstance(entry.get("pseudo", False), bool), where, "'pseudo' is true or false")
        _check_demands(entry["demands"], where)
        for contrast in entry["contrasts"]:
            check_keys(contrast, where, ("good", "bad"))
            template = Template(self._lexicon, [contrast["good"], contrast["bad"]], where)
            self._cells[entry["task"]].append(template.cells())
        self._tasks[entry["task"]] = DEFAULTS | entry

    def _constructions(self, path: Path) -> set[str]:
        names = set()
        for entry in read_yaml(path, list):
            where = self._entry(entry, path, ("name", "text"), ["weight"])
            self._cells[entry["name"]] = [Template(self._lexicon, [entry["text"]], where).cells()]
            names.add(entry["name"])
        return names

    def _entry(self, entry, path: Path, needed: Sequence[str], optional: Collection[str]) -> str:
        check_keys(entry, f"{path}: {str(entry)[:50]}", needed, optional)
        name, weight = entry[needed[0]], entry.get("weight", 1.0)
        where = f"{path}: {name!r}"
        need(isinstance(name, str) and name not in self._cells, where, "not a text, or taken")
        rule = f"'{needed[0]}' should be a name in a to z, 0 to 9 and _"
        need(re.fullmatch("[a-z][a-z0-9_]*", name), where, rule)
        number = type(weight) in (int, float) and 0 <= weight < 1e6
        need(number, where, f"weight should be a number from 0, not {weight!r}")
        self._cells[name], self._weights[name] = [], float(weight)
        return where

    def tasks(self) -> pd.DataFrame:
        """One row a paradigm: its labels, source, example, weight in the corpus.

        `demands` are the features of its rule, as names with an optional minus between spaces;
        `pseudo` (bool) marks a task that is to be split in two by `pairs(lexicon=...)`.
        """
        return pd.DataFrame(self._tasks.values())[[*LABELS, *DEFAULTS, "example"]]

    def pairs(
        self, n: int, seed: int, tasks: Collection[str] | None = None, lexicon: str = "all"
    ) -> pd.DataFrame:
        """`n` distinct minimal pairs a task, as a table of pairs.

        Contrasts and settings of the variables take turns, so both directions are equally
        frequent; within a setting all words are. No sentence stands in two pairs of a task.
        The pairs of a task depend on seed, task and lexicon only, and a smaller `n` gives the
        first ones. `lexicon` "first" or "second" draws from one half of the words: words of
        odd or of even rank in each group of at least `templates.OPEN`; smaller groups stay
        whole. Raises InputError for an unknown task or half, or where there are fewer pairs.
        """
        wanted = list(self._tasks if tasks is None else dict.fromkeys(tasks))
        need(wanted, "pairs", "no task is named")
        for task in wanted:
            need(task in self._tasks, task, f"no such task; known: {', '.join(self._tasks)}")
        need(n >= 1, "pairs", f"n should be at least 1, not {n}")
        known = ("all", *HALVES)
        need(lexicon in known, "pairs", f"lexicon is one of {', '.join(known)}, not {lexicon!r}")
        rows = [row for task in wanted for row in self._task_pairs(task, n, seed, lexicon)]
        return pd.DataFrame(rows, columns=PAIR_COLUMNS)

    def _task_pairs(self, task: str, n: int, seed: int, lexicon: str) -> list[dict]:
        half = "" if lexicon == "all" else f"{lexicon}-"
        rng = random.Random(f"{seed}/{half}{task}")  # a text seeds alike in every process
        contrasts, rows, seen = self._cells[task], [], set()
        turns = [cs[i % len(cs)] for i in range(max(map(len, contrasts))) for cs in contrasts]
        for lack in filter(None, (cell.lacks(lexicon) for cell in turns)):
            where = f"{task}: cannot be filled from the {lexicon} half of the words"
            raise InputError(f"{where}: {lack}")
        misses = 0
        for cell in cycle(turns):
            words = cell.draw(rng, lexicon)
            good, bad = cell.good.format(*words), cell.bad.format(*words)
            misses += 1
            if good != bad and seen.isdisjoint((good, bad)):
                misses = 0
                seen |= {good, bad}
                number = f"{half}{len(rows)}"
                own = {"pair_id": number, "item": number, "split": "", "good": good, "bad": bad}
                rows.append(self._tasks[task] | own)
            if len(rows) == n:
                return rows
            if misses > TRIES * (len(rows) + len(turns)):
                break
        raise InputError(f"{task}: {n} pairs asked for, only {len(rows)} distinct ones found")

    def corpus(
        self, n: int, seed: int, exclude: Collection[str] = (), without: Collection[str] = ()
    ) -> list[str]:
        """`n` sentences that obey the grammar, none of them in `exclude`.

        Constructions are drawn by weight, words by 1 / rank. `without` names paradigms or
        constructions to leave out; the others fill their place. A smaller `n` gives the first
        sentences. Raises InputError for an unknown construction, or if too little is left.
        """
        shown = self._cells.keys() - self._other
        for name in without:
            need(name in shown, name, "no such construction in the corpus")
        names = [name for name in self._cells if name in shown and name not in set(without)]
        return self._sentences("corpus", names, n, seed, exclude)

    def other_text(self, n: int, seed: int, exclude: Collection[str] = ()) -> list[str]:
        """`n` sentences of constructions that the corpus lacks, in words that it shows.

        Raises InputError where the grammar has no `other_text.yml`, or too little is left.
        """
        names = [name for name in self._cells if name in self._other]
        return self._sentences("other_text", names, n, seed, exclude)

    def _sentences(
        self, what: str, names: list[str], n: int, seed: int, exclude: Collection[str]
    ) -> list[str]:
        need(n >= 0, what, f"n should be at least 0, not {n}")
        names = [name for name in names if self._weights[name] > 0]
        need(names, what, "no construction is left to write sentences from")
        rng, excluded = random.Random(f"{seed}/{what}"), frozenset(exclude)
        cumulative = list(accumulate(self._weights[name] for name in names))
        sentences: list[str] = []
        for _ in range(TRIES * (n + 1)):
            if len(sentences) == n:
                return sentences
            (name,) = rng.choices(names, cum_weights=cumulative)
            cell = rng.choice(rng.choice(self._cells[name]))
            sentence = cell.good.format(*cell.draw(rng))
            if sentence not in excluded:
                sentences.append(sentence)
        raise InputError(f"{what}: only {len(sentences)} of {n} sentences, the rest are excluded")

    def vocabulary(self) -> list[str]:
        """All words that pairs and corpus can contain, sorted."""
        return sorted(self._used)


def load_grammar(folder: str | Path | None = None) -> Grammar:
    """Read and check the grammar in `folder` (default: the project's `data/grammar`).

    Raises InputError with file, entry and rule where a file is malformed, and with the features
    that no word has where a template cannot be met.
    """
    return Grammar(Path(folder) if folder is not None else data_path("grammar"))
