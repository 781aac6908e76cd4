"""A controlled, English-like language kept as data: minimal pairs and a corpus that obeys them.

``data/grammar/`` holds the words (``lexicon.yml``), the paradigms of minimal pairs
(``paradigms.yml``) and further constructions of the corpus (``corpus.yml``).
This module reads those files, checks them, and samples from them.
It does not judge pairs (see ``checks``), and knows no English: all rules are in the templates.

A template is a sentence whose tokens are words or slots: ``{Name class feature=value}``.
The first mention of a slot says what fits it, later mentions mean the same word again, perhaps
in another form. A capitalised value is a variable (``num=X``), ``!X`` its other value.
``{Name? class}`` is present in half of the sentences.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from taskspace_utils.store import InputError, data_path

TEXT = ("task", "phenomenon", "field", "rule", "frame", "family")
OPTIONAL = {"sham_of": "", "source": "", "bag_exception": "", "weight": 1.0}
PAIR_COLUMNS = [
    "task", "phenomenon", "field", "pair_id", "item", "split", "good", "bad",
    "rule", "frame", "family", "sham_of",
]  # fmt: skip
TRIES = 40  # draws in a row without a new sentence before a cell counts as used up

Features = dict[str, str]
Forms = tuple[str, ...]  # the forms of one word, in the order its category declares


class Slot(NamedTuple):
    """Words that fit a slot, and the running sum of their frequencies (1 / rank)."""

    words: list[Forms]
    cumulative: list[float]


class Cell(NamedTuple):
    """A template with its variables fixed; ``good`` and ``bad`` are format strings over slots."""

    slots: list[Slot]
    good: str
    bad: str


@dataclass(frozen=True)
class Category:
    """One part of speech: what its forms express, and its words with their inherent features."""

    forms: list[list[Features]]
    words: list[tuple[Forms, dict[str, list[str]], float]]

    @property
    def inflected(self) -> set[str]:
        return {name for form in self.forms for case in form for name in case}


def _load(path: Path, kind: type):
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; a grammar has lexicon, paradigms, corpus"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML in UTF-8: {error}") from None
    if not isinstance(content, kind) or not content:
        raise InputError(f"{path}: should be a {'list' if kind is list else 'mapping'}, not empty")
    return content


class _Lexicon:
    """Words, features and classes of ``lexicon.yml``; compiles templates into cells."""

    def __init__(self, path: Path):
        self.path = path
        content = _load(path, dict)
        self._keys(content, {"features", "categories", "classes"}, "top level", all_of=True)
        self.features: dict[str, list[str]] = content["features"]
        self.categories = {n: self._category(n, c) for n, c in content["categories"].items()}
        self.classes: dict[str, tuple[str, Features]] = {n: (n, {}) for n in self.categories}
        for name, text in content["classes"].items():
            category, *features = str(text).split()
            if category not in self.categories:
                self.fail(f"class '{name}'", f"unknown category '{category}'")
            self.classes[name] = (category, self.pairs(" ".join(features), f"class '{name}'"))

    def fail(self, entry: str, rule: str):
        raise InputError(f"{self.path}: {entry}: {rule}")

    def _keys(self, given, allowed: set[str], entry: str, *, all_of: bool = False):
        if not isinstance(given, dict):
            self.fail(entry, f"should be a mapping with {', '.join(sorted(allowed))}")
        for key in sorted(set(given) ^ allowed if all_of else set(given) - allowed, key=str):
            self.fail(entry, f"{'missing' if key in allowed else 'unknown'} key '{key}'")

    def value(self, name: str, value: str, entry: str):
        if name not in self.features:
            self.fail(entry, f"unknown feature '{name}'; known: {', '.join(self.features)}")
        if value not in self.features[name]:
            known = ", ".join(self.features[name])
            self.fail(entry, f"feature '{name}' has no value '{value}'; known: {known}")

    def pairs(self, text: str, entry: str) -> Features:
        """Read ``name=value name=value``; every name and value must be declared."""
        found = {}
        for part in text.split():
            name, equals, value = part.partition("=")
            if not equals:
                self.fail(entry, f"'{part}' should be feature=value")
            self.value(name, value, entry)
            found[name] = value
        return found

    def _category(self, name: str, content) -> Category:
        entry = f"category '{name}'"
        self._keys(content, {"forms", "groups"}, entry)
        forms = [
            [self.pairs(case, entry) for case in str(form).split("|")]
            for form in content.get("forms", [""])
        ]
        words, known = [], set()
        for group in content.get("groups") or self.fail(entry, "has no groups of words"):
            self._keys(group, {"features", "words"}, entry)
            features = {}
            for key, values in (group.get("features") or {}).items():
                features[key] = values if isinstance(values, list) else [values]
                for value in features[key]:
                    self.value(key, value, entry)
            for rank, word in enumerate(group.get("words") or self.fail(entry, "empty group"), 1):
                spelled = tuple(str(word).split())
                if len(spelled) != len(forms):
                    self.fail(f"{name} '{word}'", f"{len(spelled)} forms, needs {len(forms)}")
                if not all(re.fullmatch("[a-z]+", form) for form in spelled):
                    self.fail(f"{name} '{word}'", "a form is lower-case letters a to z only")
                if spelled[0] in known:
                    self.fail(f"{name} '{word}'", "is listed twice in its category")
                known.add(spelled[0])
                words.append((spelled, features, 1 / rank))
        return Category(forms, words)

    def fits(self, category: str, wanted: Features, where: str) -> Slot:
        """Words of a category with the wanted inherent features; names the one none can meet."""
        inflected = self.categories[category].inflected
        words, tried = self.categories[category].words, []
        for name, value in wanted.items():
            if name not in inflected:
                tried.append(f"{name}={value}")
                words = [word for word in words if value in word[1].get(name, ())]
            if not words:
                raise InputError(f"{where}: no {category} has {' '.join(tried)}")
        return Slot([w[0] for w in words], list(accumulate(w[2] for w in words)))

    def form(self, category: str, wanted: Features, where: str) -> int:
        """Index of the form that expresses the wanted features."""
        forms = self.categories[category].forms
        for index, form in enumerate(forms):
            if any(case.items() <= wanted.items() for case in form):
                return index
        given = " ".join(f"{k}={v}" for k, v in wanted.items()) or "no features"
        inflected = ", ".join(sorted(self.categories[category].inflected))
        raise InputError(f"{where}: no form of {category} for {given}; it inflects for {inflected}")


class _Mention(NamedTuple):
    name: str
    optional: bool
    features: Features  # values may still be variables


class _Template:
    """A good and a bad side (or one side) that share slots and variables."""

    def __init__(self, lexicon: _Lexicon, sides: Sequence[str], where: str):
        self.lexicon, self.where = lexicon, where
        self.slots: dict[str, tuple[str, Features]] = {}
        self.variables: dict[str, str] = {}
        self.optionals: list[str] = []
        self.sides = [self._read(side) for side in sides]

    def fail(self, rule: str):
        raise InputError(f"{self.where}: {rule}")

    def _read(self, side: str) -> list[str | _Mention]:
        if not re.fullmatch(r"(\{[^{}]+\}|[a-z]+)( (\{[^{}]+\}|[a-z]+))* [.?]", str(side)):
            self.fail(f"'{side}' should be lower-case words and {{slots}}, then ' .' or ' ?'")
        tokens = re.findall(r"\{[^{}]+\}|\S+", side)
        return [self._mention(t[1:-1]) if t[0] == "{" else t for t in tokens]

    def _mention(self, text: str) -> _Mention:
        head, *rest = text.split()
        name, optional = head.rstrip("?"), head.endswith("?")
        kind = rest.pop(0) if rest and "=" not in rest[0] else None
        if (kind is None) == (name not in self.slots):
            self.fail(f"slot '{name}' needs its class at its first mention, and only there")
        if kind is not None and kind not in self.lexicon.classes:
            self.fail(f"slot '{name}': unknown class '{kind}'")
        own = {}
        for part in rest:
            feature, _, value = part.partition("=")
            variable = value.lstrip("!")
            if not variable[:1].isupper():
                own |= self.lexicon.pairs(part, f"used by {self.where}, slot '{name}'")
            elif feature not in self.lexicon.features:
                self.fail(f"slot '{name}': unknown feature '{feature}'")
            elif self.variables.setdefault(variable, feature) != feature:
                self.fail(f"variable {variable} stands for two features")
            elif value[0] == "!" and len(self.lexicon.features[feature]) != 2:
                self.fail(f"{value} needs a feature of two values, '{feature}' has not")
            own[feature] = value
        if kind is not None:
            category, features = self.lexicon.classes[kind]
            self.slots[name] = (category, features | own)
        category, features = self.slots[name]
        if set(own) - self.lexicon.categories[category].inflected and kind is None:
            self.fail(f"slot '{name}': a later mention can change the form only, not {own}")
        if optional and name not in self.optionals:
            self.optionals.append(name)
        return _Mention(name, optional, features | own)

    def cells(self) -> list[Cell]:
        """All settings of the variables and optional slots, the first variable fastest."""
        domains = [self.lexicon.features[feature] for feature in self.variables.values()]
        domains += [[True, False]] * len(self.optionals)
        names = [*self.variables, *self.optionals]
        settings = product(*reversed(domains))
        return [self._cell(dict(zip(names, reversed(s), strict=True))) for s in settings]

    def _cell(self, setting: dict) -> Cell:
        def fix(features: Features) -> Features:
            fixed = {}
            for name, value in features.items():
                variable = value.lstrip("!")
                if variable[0].isupper():
                    others = [v for v in self.lexicon.features[name] if v != setting[variable]]
                    value = others[0] if value[0] == "!" else setting[variable]
                fixed[name] = value
            return fixed

        names = [n for n in self.slots if setting.get(n, True)]
        slots = []
        for name in names:
            category, features = self.slots[name]
            slot = self.lexicon.fits(category, fix(features), f"{self.where}, slot '{name}'")
            rivals = sum(any(w in slot.words for w in other.words) for other in slots)
            if len(slot.words) <= rivals:
                self.fail(f"slot '{name}': {len(slot.words)} words for {rivals + 1} slots")
            slots.append(slot)
        lines = []
        for side in self.sides:
            line = []
            for token in side:
                if isinstance(token, str):
                    line.append(token)
                elif token.name in names:
                    category = self.slots[token.name][0]
                    where = f"{self.where}, slot '{token.name}'"
                    form = self.lexicon.form(category, fix(token.features), where)
                    line.append(f"{{{names.index(token.name)}[{form}]}}")
            lines.append(" ".join(line))
        if len(lines) == 2 and lines[0] == lines[1]:
            self.fail(f"good and bad are the same when {setting}")
        return Cell(slots, lines[0], lines[-1])


def _draw(cell: Cell, rng: random.Random, *, frequencies: bool) -> list[Forms]:
    """One word a slot, no word twice; by frequency for the corpus, evenly for pairs."""
    chosen: list[Forms] = []
    for words, cumulative in cell.slots:
        if frequencies:
            word = words[bisect_right(cumulative, rng.random() * cumulative[-1])]
        else:
            word = words[int(rng.random() * len(words))]
        if word in chosen:
            word = rng.choice([other for other in words if other not in chosen])
        chosen.append(word)
    return chosen


class Grammar:
    """The language: its tasks, minimal pairs, corpus and vocabulary. See ``load_grammar``."""

    def __init__(self, folder: Path):
        self._lexicon = _Lexicon(folder / "lexicon.yml")
        self._tasks: dict[str, dict] = {}
        self._cells: dict[str, list[list[Cell]]] = {}  # by construction, then by contrast
        self._weights: dict[str, float] = {}
        for entry in _load(folder / "paradigms.yml", list):
            self._paradigm(entry, folder / "paradigms.yml")
        for entry in _load(folder / "corpus.yml", list):
            where = self._known(
                entry, folder / "corpus.yml", "name", ["name", "text"], {"weight": 1.0}
            )
            self._add(entry["name"], entry, [_Template(self._lexicon, [entry["text"]], where)])
        for task, entry in self._tasks.items():
            if entry["sham_of"] and entry["sham_of"] not in self._tasks:
                raise InputError(f"{folder / 'paradigms.yml'}: '{task}': sham_of names no paradigm")

    def _known(self, entry, path: Path, key: str, needed: Sequence[str], optional: dict) -> str:
        """Check an entry's keys; returns where it stands, for messages."""
        if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
            raise InputError(f"{path}: {str(entry)[:60]}: an entry needs a text '{key}'")
        where = f"{path}: '{entry[key]}'"
        for name in needed:
            if not entry.get(name):
                raise InputError(f"{where}: missing key '{name}'")
        for name in set(entry) - {*needed, *optional}:
            raise InputError(f"{where}: unknown key '{name}'")
        if entry[key] in self._cells:
            raise InputError(f"{where}: the name is taken")
        weight = entry.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e9:
            raise InputError(f"{where}: weight should be a number of at least 0, not {weight!r}")
        return where

    def _paradigm(self, entry, path: Path):
        where = self._known(entry, path, "task", [*TEXT, "example", "contrasts"], OPTIONAL)
        templates = []
        for contrast in entry["contrasts"]:
            if not isinstance(contrast, dict) or set(contrast) != {"good", "bad"}:
                raise InputError(f"{where}: each of 'contrasts' has exactly 'good' and 'bad'")
            templates.append(_Template(self._lexicon, [contrast["good"], contrast["bad"]], where))
        self._tasks[entry["task"]] = OPTIONAL | entry
        self._add(entry["task"], entry, templates)

    def _add(self, name: str, entry: dict, templates: list[_Template]):
        self._cells[name] = [template.cells() for template in templates]
        self._weights[name] = float(entry.get("weight", 1.0))

    def tasks(self) -> pd.DataFrame:
        """One row a paradigm: task, phenomenon, field, rule, frame, family, sham_of, source, …"""
        columns = [*TEXT, "sham_of", "source", "example", "bag_exception", "weight"]
        return pd.DataFrame(self._tasks.values())[columns]

    def pairs(self, n: int, seed: int, tasks: Collection[str] | None = None) -> pd.DataFrame:
        """``n`` distinct minimal pairs a task; no sentence stands in two pairs of a task.

        Contrasts and settings of the variables take turns, so both directions are equally
        frequent. A task's pairs depend on ``n``, ``seed`` and the task only, and the first
        pairs do not depend on ``n``. Raises InputError if a task has fewer pairs.
        """
        wanted = list(self._tasks) if tasks is None else list(tasks)
        for task in wanted:
            if task not in self._tasks:
                raise InputError(
                    f"no task '{task}' in the grammar; known: {', '.join(self._tasks)}"
                )
        if n < 1:
            raise InputError(f"n should be at least 1, not {n}")
        rows = [row for task in wanted for row in self._task_pairs(task, n, seed)]
        return pd.DataFrame(rows, columns=PAIR_COLUMNS)

    def _task_pairs(self, task: str, n: int, seed: int) -> list[dict]:
        rng, entry = random.Random(f"{seed}/{task}"), self._tasks[task]
        fixed = {key: entry[key] for key in (*TEXT, "sham_of")} | {"split": ""}
        contrasts = self._cells[task]
        rows, seen, turn, misses = [], set(), 0, 0
        while len(rows) < n:
            cells = contrasts[turn % len(contrasts)]
            cell = cells[turn // len(contrasts) % len(cells)]
            turn += 1
            for _ in range(TRIES):
                words = _draw(cell, rng, frequencies=False)
                good, bad = cell.good.format(*words), cell.bad.format(*words)
                if good not in seen and bad not in seen:
                    break
            else:
                misses += 1
                if misses > sum(map(len, contrasts)):
                    raise InputError(f"task '{task}': {n} pairs asked for, {len(rows)} found")
                continue
            misses = 0
            seen |= {good, bad}
            number = str(len(rows))
            rows.append(fixed | {"pair_id": number, "item": number, "good": good, "bad": bad})
        return rows

    def corpus(
        self, n: int, seed: int, exclude: Collection[str] = (), without: Collection[str] = ()
    ) -> list[str]:
        """``n`` sentences that obey the grammar, none of them in ``exclude``.

        Constructions are drawn by weight, words by 1 / rank. ``without`` names paradigms or
        corpus constructions to leave out; the others fill their place.
        """
        for name in without:
            if name not in self._cells:
                raise InputError(f"no construction '{name}' in the grammar")
        rng, exclude = random.Random(f"{seed}/corpus"), frozenset(exclude)
        left = {k: w for k, w in self._weights.items() if k not in set(without) and w > 0}
        names, cumulative = list(left), list(accumulate(left.values()))
        if not names:
            raise InputError("no construction is left to write a corpus from")
        sentences: list[str] = []
        misses = 0
        while len(sentences) < n:
            name = names[bisect_right(cumulative, rng.random() * cumulative[-1])]
            contrasts = self._cells[name]
            cells = contrasts[int(rng.random() * len(contrasts))]
            cell = cells[int(rng.random() * len(cells))]
            sentence = cell.good.format(*_draw(cell, rng, frequencies=True))
            if sentence in exclude:
                misses += 1
                if misses > 1000:
                    raise InputError(
                        f"only {len(sentences)} of {n} sentences: exclude leaves too few"
                    )
                continue
            misses = 0
            sentences.append(sentence)
        return sentences

    def vocabulary(self) -> list[str]:
        """All words that pairs and corpus can contain, sorted."""
        words = set()
        for cell in (cell for lists in self._cells.values() for cells in lists for cell in cells):
            for side in (cell.good, cell.bad):
                words |= {token for token in side.split() if token[0] != "{"}
                for slot, form in re.findall(r"\{(\d+)\[(\d+)\]\}", side):
                    words |= {word[int(form)] for word in cell.slots[int(slot)].words}
        return sorted(words)


def load_grammar(folder: str | Path | None = None) -> Grammar:
    """Read and check the grammar in ``folder`` (default: the project's ``data/grammar``).

    Raises InputError naming file, entry and rule when a file is malformed, and the feature
    when a template asks for what no word has.
    """
    return Grammar(Path(folder) if folder else data_path("grammar"))
