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
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, count, product
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from taskspace_utils.store import InputError, data_path

LABELS = ("task", "phenomenon", "field", "rule", "frame", "family")
DEFAULTS = {"sham_of": "", "source": "", "bag_exception": "", "weight": 1.0}
PAIR_COLUMNS = [*LABELS[:3], "pair_id", "item", "split", "good", "bad", *LABELS[3:], "sham_of"]
TRIES = 40  # draws in a row without a new pair before a cell counts as used up
MISSES = 1000  # excluded sentences in a row before a corpus counts as impossible

TOKEN = r"(?:\{[^{}]+\}|[a-z]+)"
TEMPLATE = re.compile(rf"{TOKEN}(?: {TOKEN})* [.?]")
MENTION = re.compile(
    r"(?P<name>[A-Z]\w*)(?P<optional>\??)(?: (?P<kind>[a-z_]+))?(?P<rest>( \S+=\S+)*)"
)
VARIABLE = re.compile(r"!?[A-Z]\w*")

Features = dict[str, str]
Forms = tuple[str, ...]  # the forms of one word, in the order that its category declares


class Slot(NamedTuple):
    """The words that fit, and the running sum of their frequencies (1 / rank in their group)."""

    words: list[Forms]
    cumulative: list[float]


class Cell(NamedTuple):
    """A template with its variables set; `good` and `bad` are format strings over the slots."""

    slots: list[Slot]
    good: str
    bad: str

    def draw(self, rng: random.Random, by_frequency: bool) -> list[Forms]:
        """One word a slot, no word twice."""
        chosen: list[Forms] = []
        for words, cumulative in self.slots:
            at = rng.random()
            even = int(at * len(words))
            word = words[bisect_right(cumulative, at * cumulative[-1]) if by_frequency else even]
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
        self.features: dict[str, list[str]] = content["features"]
        self.used: set[str] = set()  # words that compiled templates can show
        self.forms: dict[str, list[list[Features]]] = {}
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
        self.forms[name] = [
            [self.read(case.split(), where) for case in form.split("|")]
            for form in category.get("forms", [""])
        ]
        known = self.words[name] = []
        for group in category["groups"]:
            _keys(group, where, ["words"], ["features"])
            given = [f"{feature}={value}" for feature, value in group.get("features", {}).items()]
            features = self.read(given, where)
            for rank, word in enumerate(group["words"], 1):
                entry, forms = f"{where} '{word}'", tuple(str(word).split())
                needed = len(self.forms[name])
                _need(len(forms) == needed, entry, f"has {len(forms)} forms, needs {needed}")
                _need(re.fullmatch("[a-z ]+", str(word)), entry, "should be letters a to z only")
                twice = any(forms[0] == other[0] for other, _, _ in known)
                _need(not twice, entry, "stands twice in its category")
                known.append((forms, features, 1 / rank))

    def inflected(self, category: str) -> set[str]:
        """The features that the forms of a category express."""
        return {name for form in self.forms[category] for case in form for name in case}

    def slot(self, category: str, wanted: Features, where: str) -> Slot:
        """The words that have the wanted features of their own."""
        words, tried = self.words[category], []
        for name, value in wanted.items():
            if name not in self.inflected(category):
                tried.append(f"{name}={value}")
                words = [word for word in words if value in word[1].get(name, "").split("|")]
                _need(words, where, f"no {category} has {' '.join(tried)}")
        return Slot([word[0] for word in words], list(accumulate(word[2] for word in words)))

    def form(self, category: str, wanted: Features, where: str) -> int:
        """Which form expresses the wanted features."""
        for index, form in enumerate(self.forms[category]):
            if any(case.items() <= wanted.items() for case in form):
                return index
        given = " ".join(f"{name}={value}" for name, value in wanted.items()) or "no features"
        needs = ", ".join(sorted(self.inflected(category)))
        raise InputError(f"{where}: no form of {category} for {given}; its forms need {needs}")


class _Template:
    """The sides of a contrast (or the one side of a construction), with shared slots."""

    def __init__(self, lexicon: _Lexicon, sides: Sequence[str], where: str):
        self.lexicon, self.where = lexicon, where
        self.slots: dict[str, tuple[str, Features]] = {}
        self.domains: dict[str, list] = {}  # variables, and optional slots as "Name?"
        self.sides = []
        for side in map(str, sides):
            _need(TEMPLATE.fullmatch(side), where, f"'{side}' should be words, slots, then . or ?")
            self.sides.append([self._token(token) for token in re.findall(r"\{[^{}]+\}|\S+", side)])

    def _token(self, token: str) -> str | tuple[str, Features]:
        if token[0] != "{":
            return token
        where = f"{self.where}, slot {token}"
        found = MENTION.fullmatch(token[1:-1])
        _need(found, where, "should read {Name class feature=value}")
        name, kind = found["name"], found["kind"]
        own = self.lexicon.read(found["rest"].split(), where, variables=True)
        for feature, value in own.items():
            if VARIABLE.fullmatch(value):
                values = self.lexicon.features[feature]
                same = self.domains.setdefault(value.lstrip("!"), values) is values
                _need(same, where, f"'{value}' stands for another feature elsewhere")
                _need(value[0] != "!" or len(values) == 2, where, f"'{feature}' has no opposite")
        if found["optional"]:
            self.domains[f"{name}?"] = [True, False]
        if kind:
            _need(name not in self.slots, where, "a later mention has no class")
            _need(kind in self.lexicon.classes, where, f"unknown class '{kind}'")
            category, features = self.lexicon.classes[kind]
            self.slots[name] = (category, features | own)
        _need(name in self.slots, where, "the first mention needs a class")
        category, features = self.slots[name]
        fixed = set() if kind else set(own) - self.lexicon.inflected(category)
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
        names = [name for name in self.slots if setting.get(f"{name}?", True)]
        slots: list[Slot] = []
        for name in names:
            category, features = self.slots[name]
            where = f"{self.where}, slot '{name}'"
            slot = self.lexicon.slot(category, self._settle(features, setting), where)
            rivals = sum(not set(slot.words).isdisjoint(other.words) for other in slots)
            _need(len(slot.words) > rivals, where, f"too few words for {rivals + 1} such slots")
            slots.append(slot)
        lines = [" ".join(self._shown(side, setting, names, slots)) for side in self.sides]
        same = len(lines) == 2 and lines[0] == lines[1]
        _need(not same, self.where, f"good and bad are the same where {setting}")
        return Cell(slots, lines[0], lines[-1])

    def _shown(
        self, side: list, setting: dict, names: list[str], slots: list[Slot]
    ) -> Iterator[str]:
        for token in side:
            if isinstance(token, str):
                self.lexicon.used.add(token)
                yield token
            elif token[0] in names:
                at, wanted = names.index(token[0]), self._settle(token[1], setting)
                where = f"{self.where}, slot '{token[0]}'"
                form = self.lexicon.form(self.slots[token[0]][0], wanted, where)
                self.lexicon.used |= {word[form] for word in slots[at].words}
                yield f"{{{at}[{form}]}}"


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
            known = not entry["sham_of"] or entry["sham_of"] in self._tasks
            _need(known, f"{path}: '{task}'", f"sham_of: no task '{entry['sham_of']}'")
        for entry in _load(folder / "corpus.yml", list):
            where = self._entry(entry, folder / "corpus.yml", ("name", "text"), ["weight"])
            self._cells[entry["name"]] = [_Template(lexicon, [entry["text"]], where).cells()]
        self._used = lexicon.used

    def _entry(self, entry, path: Path, needed: Sequence[str], optional: Collection[str]) -> str:
        _keys(entry, f"{path}: {str(entry)[:50]}", needed, optional)
        name, weight = entry[needed[0]], entry.get("weight", 1.0)
        where = f"{path}: '{name}'"
        _need(name not in self._cells, where, "the name is taken")
        number = isinstance(weight, int | float) and 0 <= weight < 1e6
        _need(number, where, f"weight should be a number from 0, not {weight!r}")
        self._cells[name], self._weights[name] = [], float(weight)
        return where

    def tasks(self) -> pd.DataFrame:
        """One row a paradigm: its labels, source, example, weight in the corpus."""
        columns = [*LABELS, "sham_of", "source", "example", "bag_exception", "weight"]
        return pd.DataFrame(self._tasks.values())[columns]

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

    def _task_pairs(self, task: str, n: int, seed: int) -> Iterator[dict]:
        rng = random.Random(f"{seed}/{task}")  # a text seeds alike in every process
        labels = {key: self._tasks[task][key] for key in (*LABELS, "sham_of")}
        contrasts, seen, found, misses = self._cells[task], set(), 0, 0
        for turn in count():
            if found == n:
                return
            cells = contrasts[turn % len(contrasts)]
            cell = cells[turn // len(contrasts) % len(cells)]
            for _ in range(TRIES):
                words = cell.draw(rng, by_frequency=False)
                good, bad = cell.good.format(*words), cell.bad.format(*words)
                if seen.isdisjoint((good, bad)):
                    break
            else:
                misses += 1
                left = misses <= len(contrasts) * max(map(len, contrasts))
                _need(left, task, f"{n} pairs asked for, only {found} distinct ones found")
                continue
            seen |= {good, bad}
            own = {"pair_id": str(found), "item": str(found), "split": "", "good": good}
            yield labels | own | {"bad": bad}
            found, misses = found + 1, 0

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
        misses = 0
        while len(sentences) < n:
            name = names[bisect_right(cumulative, rng.random() * cumulative[-1])]
            contrasts = self._cells[name]
            cells = contrasts[int(rng.random() * len(contrasts))]
            cell = cells[int(rng.random() * len(cells))]
            sentence = cell.good.format(*cell.draw(rng, by_frequency=True))
            if sentence not in excluded:
                sentences.append(sentence)
                misses = -1
            misses += 1
            _need(
                misses < MISSES, "corpus", f"{len(sentences)} of {n} sentences, the rest excluded"
            )
        return sentences

    def vocabulary(self) -> list[str]:
        """All words that pairs and corpus can contain, sorted."""
        return sorted(self._used)


def load_grammar(folder: str | Path | None = None) -> Grammar:
    """Read and check the grammar in `folder` (default: the project's `data/grammar`).

    Raises InputError with file, entry and rule where a file is malformed, and with the features
    that no word has where a template cannot be met.
    """
    return Grammar(Path(folder) if folder is not None else data_path("grammar"))
