"""A controlled, English-like language kept as data: minimal pairs and a corpus that obeys them.

`data/grammar/` holds the words (`lexicon.yml`), the paradigms of minimal pairs
(`paradigms.yml`) and further constructions of the corpus (`corpus.yml`). This module reads and
checks those files, and samples from them. It knows no English: every rule is in the templates.
It does not judge pairs; that is the work of `checks`.

A template is a sentence whose tokens are words or slots, `{Name class feature=value}`. The first
mention of a slot says which words fit; later mentions mean the same word, perhaps in another
form. A capitalised value is a variable (`num=X`), and `!X` is its other value. `{Name? class}`
is present in half of the sentences.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, cycle, islice, product
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from taskspace_utils.store import InputError, data_path

LABELS = ("task", "phenomenon", "field", "rule", "frame", "family")
DEFAULTS = {"sham_of": "", "source": "", "bag_exception": "", "weight": 1.0}
PAIR_COLUMNS = [*LABELS[:3], "pair_id", "item", "split", "good", "bad", *LABELS[3:], "sham_of"]
TRIES = 40  # draws for each pair or sentence asked for, before there are too few

TEMPLATE = re.compile(r"((\{[^{}]+\}|[a-z]+) )+[.?]")
MENTION = re.compile(r"([A-Z]\w*)(\??)(?: ([a-z_]+))?((?: \S+=\S+)*)")  # name, ?, class, features
VARIABLE = re.compile(r"!?[A-Z]\w*")

Features = dict[str, str]
Forms = tuple[str, ...]  # the forms of one word, in the order that its category declares
Slot = tuple[list[Forms], list[float]]  # words that fit, running sum of frequencies (1 / rank)


class Cell(NamedTuple):
    """A template with its variables set; `good` and `bad` are format strings over the slots."""

    slots: list[Slot]
    good: str
    bad: str

    def draw(self, rng: random.Random, by_frequency: bool) -> list[Forms]:
        """One word a slot, no word twice."""
        chosen: list[Forms] = []
        for words, cumulative in self.slots:
            (word,) = rng.choices(words, cum_weights=cumulative if by_frequency else None)
            if word in chosen:
                word = rng.choice([other for other in words if other not in chosen])
            chosen.append(word)
        return chosen


def _need(condition: object, where: object, rule: str) -> None:
    if not condition:
        raise InputError(f"{where}: {rule}")


def _keys(entry: object, where: str, needed: Collection[str], optional: Collection[str] = ()):
    _need(isinstance(entry, dict), where, f"should be a mapping with {', '.join(needed)}")
    for key in needed:
        _need(entry.get(key), where, f"'{key}' is missing or empty")
    for key in entry:
        _need(key in needed or key in optional, where, f"unknown key '{key}'")


def _load(path: Path, kind: type):
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as a YAML file in UTF-8: {error}") from error
    _need(isinstance(content, kind) and content, path, f"should hold a YAML {kind.__name__}")
    return content


class _Lexicon:
    """Features, words by category, and classes (a category with some features) of one file."""

    def __init__(self, path: Path):
        content = _load(path, dict)
        _keys(content, str(path), ("features", "categories", "classes"))
        mappings = all(isinstance(part, dict) for part in content.values())
        _need(mappings, path, "features, categories and classes should be mappings")
        self.features: dict[str, list[str]] = content["features"]
        self.used: set[str] = set()  # words that compiled templates can show
        self.forms: dict[str, list[list[Features]]] = {}
        self.inflected: dict[str, set[str]] = {}  # the features that a category's forms express
        self.words: dict[str, list[tuple[Forms, Features, float]]] = {}
        for name, category in content["categories"].items():
            self._category(name, category, f"{path}: {name}")
        self.classes: dict[str, tuple[str, Features]] = {name: (name, {}) for name in self.words}
        for name, text in content["classes"].items():
            category, *features = str(text).split()
            where = f"{path}: class '{name}'"
            _need(category in self.words, where, f"unknown category '{category}'")
            self.classes[name] = (category, self.read(features, where))

    def read(self, parts: Sequence[str], where: str, variables: bool = False) -> Features:
        """`feature=value` texts as a mapping; feature and value must be declared."""
        found = {}
        for part in parts:
            name, _, value = part.partition("=")
            known = self.features.get(name)
            _need(known, where, f"'{part}': no feature '{name}'; known: {', '.join(self.features)}")
            fits = VARIABLE.fullmatch(value) if variables else set(value.split("|")) <= set(known)
            _need(fits or value in known, where, f"'{part}': '{name}' is one of {', '.join(known)}")
            found[name] = value
        return found

    def _category(self, name: str, category: dict, where: str) -> None:
        _keys(category, where, ["groups"], ["forms"])
        forms = [form.split("|") for form in category.get("forms", [""])]
        self.forms[name] = [[self.read(case.split(), where) for case in form] for form in forms]
        self.inflected[name] = {key for form in self.forms[name] for case in form for key in case}
        known, needed = self.words.setdefault(name, []), len(self.forms[name])
        for group in category["groups"]:
            _keys(group, where, ["words"], ["features"])
            features = self.read([f"{k}={v}" for k, v in group.get("features", {}).items()], where)
            for rank, word in enumerate(group["words"], 1):
                entry, forms = f"{where} '{word}'", tuple(str(word).split())
                _need(len(forms) == needed, entry, f"has {len(forms)} forms, needs {needed}")
                _need(re.fullmatch("[a-z ]+", str(word)), entry, "should be letters a to z only")
                twice = any(forms[0] == other[0] for other, _, _ in known)
                _need(not twice, entry, "stands twice in its category")
                known.append((forms, features, 1 / rank))

    def slot(self, category: str, wanted: Features, where: str) -> Slot:
        """The words that have the wanted features of their own."""
        words, tried = self.words[category], []
        for name, value in wanted.items():
            if name not in self.inflected[category]:
                tried.append(f"{name}={value}")
                words = [word for word in words if value in word[1].get(name, "").split("|")]
                _need(words, where, f"no {category} has {' '.join(tried)}")
        return [word[0] for word in words], list(accumulate(word[2] for word in words))

    def form(self, category: str, wanted: Features, where: str) -> int:
        """Which form expresses the wanted features."""
        for index, form in enumerate(self.forms[category]):
            if any(case.items() <= wanted.items() for case in form):
                return index
        needs = ", ".join(sorted(self.inflected[category]))
        raise InputError(f"{where}: no form of {category} for {wanted}; its forms need {needs}")


class _Template:
    """The sides of a contrast (or the one side of a construction), with shared slots."""

    def __init__(self, lexicon: _Lexicon, sides: Sequence[str], where: str):
        self.lexicon, self.where = lexicon, where
        self.slots: dict[str, tuple[str, Features]] = {}
        self.domains: dict[str, list] = {}  # variables, and optional slots as "Name?"
        self.sides = []
        for side in map(str, sides):
            _need(TEMPLATE.fullmatch(side), where, f"'{side}' should be words, slots, then . or ?")
            tokens = re.findall(r"\{[^{}]+\}|\S+", side)
            self.sides.append([self._slot(t) if t[0] == "{" else t for t in tokens])

    def _slot(self, token: str) -> tuple[str, Features]:
        where = f"{self.where}, slot {token}"
        found = MENTION.fullmatch(token[1:-1])
        _need(found, where, "should read {Name class feature=value}")
        name, optional, kind, features = found.groups()
        own = self.lexicon.read(features.split(), where, variables=True)
        for feature, value in own.items():
            if VARIABLE.fullmatch(value):
                values = self.lexicon.features[feature]
                same = self.domains.setdefault(value.lstrip("!"), values) is values
                _need(same, where, f"'{value}' stands for another feature elsewhere")
                _need(value[0] != "!" or len(values) == 2, where, f"'{feature}' has no opposite")
        if optional:
            self.domains[f"{name}?"] = [True, False]
        if kind:
            _need(name not in self.slots, where, "a later mention has no class")
            _need(kind in self.lexicon.classes, where, f"unknown class '{kind}'")
            category, features = self.lexicon.classes[kind]
            self.slots[name] = (category, features | own)
        _need(name in self.slots, where, "the first mention needs a class")
        category, features = self.slots[name]
        fixed = set() if kind else set(own) - self.lexicon.inflected[category]
        _need(not fixed, where, f"{category} has no forms for {', '.join(fixed)}: use a new slot")
        return name, features | own

    def cells(self) -> list[Cell]:
        """Every setting of variables and optional slots, the first variable changing fastest."""
        settings = product(*reversed(self.domains.values()))
        return [self._cell(dict(zip(reversed(self.domains), values))) for values in settings]

    def _settle(self, features: Features, setting: dict) -> Features:
        """The features with variables replaced by their values."""
        settled = dict(features)
        for name, value in features.items():
            if VARIABLE.fullmatch(value):
                values, chosen = self.lexicon.features[name], setting[value.lstrip("!")]
                settled[name] = values[1 - values.index(chosen)] if value[0] == "!" else chosen
        return settled

    def _cell(self, setting: dict) -> Cell:
        slots: dict[str, Slot] = {}
        for name, (category, features) in self.slots.items():
            if setting.get(f"{name}?", True):
                where = f"{self.where}, slot '{name}'"
                slots[name] = self.lexicon.slot(category, self._settle(features, setting), where)
                rivals = sum(not set(slots[name][0]).isdisjoint(w) for w, _ in slots.values())
                _need(len(slots[name][0]) >= rivals, where, f"only {len(slots[name][0])} words fit")
        good, *bad = [" ".join(self._shown(side, setting, slots)) for side in self.sides]
        _need(good not in bad, self.where, f"good and bad are the same where {setting}")
        return Cell(list(slots.values()), good, bad[0] if bad else good)

    def _shown(self, side: list, setting: dict, slots: dict[str, Slot]) -> Iterator[str]:
        for token in side:
            if isinstance(token, str):
                self.lexicon.used.add(token)
                yield token
            elif token[0] in slots:
                name, wanted = token[0], self._settle(token[1], setting)
                category, where = self.slots[name][0], f"{self.where}, slot '{name}'"
                form = self.lexicon.form(category, wanted, where)
                self.lexicon.used |= {word[form] for word in slots[name][0]}
                yield f"{{{list(slots).index(name)}[{form}]}}"


class Grammar:
    """The language: tasks, minimal pairs, corpus, vocabulary. Made by `load_grammar`."""

    def __init__(self, folder: Path):
        lexicon = _Lexicon(folder / "lexicon.yml")
        self._tasks: dict[str, dict] = {}
        self._weights: dict[str, float] = {}
        self._cells: dict[str, list[list[Cell]]] = {}  # of a construction, then of a contrast
        path = folder / "paradigms.yml"
        for entry in _load(path, list):
            where = self._entry(entry, path, (*LABELS, "example", "contrasts"), DEFAULTS)
            _need(isinstance(entry["contrasts"], list), where, "'contrasts' should be a list")
            for contrast in entry["contrasts"]:
                _keys(contrast, where, ("good", "bad"))
                template = _Template(lexicon, [contrast["good"], contrast["bad"]], where)
                self._cells[entry["task"]].append(template.cells())
            self._tasks[entry["task"]] = DEFAULTS | entry
        for task, entry in self._tasks.items():
            _need(entry["sham_of"] in ("", *self._tasks), path, f"'{task}': sham_of names no task")
        for entry in _load(folder / "corpus.yml", list):
            where = self._entry(entry, folder / "corpus.yml", ("name", "text"), ["weight"])
            self._cells[entry["name"]] = [_Template(lexicon, [entry["text"]], where).cells()]
        self._used = lexicon.used

    def _entry(self, entry, path: Path, needed: Sequence[str], optional: Collection[str]) -> str:
        _keys(entry, f"{path}: {str(entry)[:50]}", needed, optional)
        name, weight = entry[needed[0]], entry.get("weight", 1.0)
        where = f"{path}: '{name}'"
        _need(isinstance(name, str) and name not in self._cells, where, "not a text, or taken")
        number = isinstance(weight, int | float) and 0 <= weight < 1e6
        _need(number, where, f"weight should be a number from 0, not {weight!r}")
        self._cells[name], self._weights[name] = [], float(weight)
        return where

    def tasks(self) -> pd.DataFrame:
        """One row a paradigm: its labels, source, example, weight in the corpus."""
        return pd.DataFrame(self._tasks.values())[[*LABELS, *DEFAULTS, "example"]]

    def pairs(self, n: int, seed: int, tasks: Collection[str] | None = None) -> pd.DataFrame:
        """`n` distinct minimal pairs a task, as a table of pairs.

        Contrasts and settings of the variables take turns, so both directions are equally
        frequent; within a setting all words are. No sentence stands in two pairs of a task.
        The pairs of a task depend on seed and task only, and a smaller `n` gives the first ones.
        Raises InputError for an unknown task, or one that has fewer pairs.
        """
        wanted = list(self._tasks) if tasks is None else list(tasks)
        for task in wanted:
            _need(task in self._tasks, task, f"no such task; known: {', '.join(self._tasks)}")
        _need(n >= 1, "pairs", f"n should be at least 1, not {n}")
        rows = [row for task in wanted for row in self._task_pairs(task, n, seed)]
        return pd.DataFrame(rows, columns=PAIR_COLUMNS)

    def _task_pairs(self, task: str, n: int, seed: int) -> list[dict]:
        rng = random.Random(f"{seed}/{task}")  # a text seeds alike in every process
        contrasts, rows, seen = self._cells[task], [], set()
        turns = [cs[i % len(cs)] for i in range(max(map(len, contrasts))) for cs in contrasts]
        for cell in islice(cycle(turns), TRIES * (n + len(turns))):
            words = cell.draw(rng, by_frequency=False)
            good, bad = cell.good.format(*words), cell.bad.format(*words)
            if seen.isdisjoint((good, bad)):
                seen |= {good, bad}
                number = str(len(rows))
                own = {"pair_id": number, "item": number, "split": "", "good": good, "bad": bad}
                rows.append(self._tasks[task] | own)
            if len(rows) == n:
                return rows
        raise InputError(f"{task}: {n} pairs asked for, only {len(rows)} distinct ones found")

    def corpus(
        self, n: int, seed: int, exclude: Collection[str] = (), without: Collection[str] = ()
    ) -> list[str]:
        """`n` sentences that obey the grammar, none of them in `exclude`.

        Constructions are drawn by weight, words by 1 / rank. `without` names paradigms or
        constructions to leave out; the others fill their place. A smaller `n` gives the first
        sentences. Raises InputError for an unknown construction, or if too little is left.
        """
        for name in without:
            _need(name in self._cells, name, "no such construction in the grammar")
        left = {k: w for k, w in self._weights.items() if w > 0 and k not in set(without)}
        _need(left, "corpus", "no construction is left to write sentences from")
        rng, excluded = random.Random(f"{seed}/corpus"), frozenset(exclude)
        names, cumulative = list(left), list(accumulate(left.values()))
        sentences: list[str] = []
        for _ in range(TRIES * (n + 1)):
            if len(sentences) == n:
                return sentences
            (name,) = rng.choices(names, cum_weights=cumulative)
            cell = rng.choice(rng.choice(self._cells[name]))
            sentence = cell.good.format(*cell.draw(rng, by_frequency=True))
            if sentence not in excluded:
                sentences.append(sentence)
        raise InputError(f"corpus: only {len(sentences)} of {n} sentences, the rest are excluded")

    def vocabulary(self) -> list[str]:
        """All words that pairs and corpus can contain, sorted."""
        return sorted(self._used)


def load_grammar(folder: str | Path | None = None) -> Grammar:
    """Read and check the grammar in `folder` (default: the project's `data/grammar`).

    Raises InputError with file, entry and rule where a file is malformed, and with the features
    that no word has where a template cannot be met.
    """
    return Grammar(Path(folder) if folder is not None else data_path("grammar"))
