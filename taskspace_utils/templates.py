"""Sentence templates and the words that fill them: what a grammar is written in.

A template is a sentence whose tokens are words or slots, `{Name class feature=value}`. The first
mention of a slot says which words fit; later mentions mean the same word, perhaps in another
form. A capitalised value is a variable (`num=X`), and `!X` is its other value. `{Name? class}`
is present in half of the sentences.

This module reads the words (`Lexicon`), and turns a template into cells: one for every setting
of its variables, from which sentences can be drawn. What is malformed raises InputError with
file, entry and rule.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, product
from pathlib import Path
from typing import NamedTuple

from taskspace_utils.store import InputError
from taskspace_utils.yaml_files import check_keys, need, read_yaml

HALVES = ("first", "second")  # of the lexicon: no word of an open group is in both
OPEN = 4  # a group of at least so many words is open: its words are divided between the halves
MOST = 4096  # settings of one template: each is a cell, and every variable doubles them

TEMPLATE = re.compile(r"((\{[^{}]+\}|[a-z]+) )+[.?]")
MENTION = re.compile(r"([A-Z]\w*)(\??)(?: ([a-z_]+))?((?: \S+=\S+)*)")  # name, ?, class, features
VARIABLE = re.compile(r"!?[A-Z]\w*")
NAME = re.compile("[a-z][a-z_]*")  # of a feature, its values, a category, a class

Features = dict[str, str]
Forms = tuple[str, ...]  # the forms of one word, in the order that its category declares


class Word(NamedTuple):
    forms: Forms
    features: Features
    share: float  # of its group: 1 / rank
    half: str  # "first" or "second"; "" for a word that is in both


class Slot(NamedTuple):
    """What fills one slot: words, and the running sum of their shares."""

    words: list[Forms]
    cumulative: list[float]
    halves: dict[str, list[Forms]]  # "all", "first", "second"
    rivals: int  # slots before this one, and itself, that may take the same words


class Cell(NamedTuple):
    """A template with its variables set; `good` and `bad` are format strings over the slots."""

    slots: list[Slot]
    good: str
    bad: str

    def draw(self, rng: random.Random, words: str = "") -> list[Forms]:
        """One word a slot, no word twice: by frequency, or evenly from `words` of `halves`."""
        chosen: list[Forms] = []
        for slot in self.slots:
            fitting = slot.halves[words] if words else slot.words
            (word,) = rng.choices(fitting, cum_weights=None if words else slot.cumulative)
            if word in chosen:
                word = rng.choice([other for other in fitting if other not in chosen])
            chosen.append(word)
        return chosen

    def lacks(self, words: str) -> str:
        """What "all", the "first" or the "second" half of the words cannot fill; "" if nothing."""
        for slot in self.slots:
            found = len(slot.halves[words])
            if found < slot.rivals:
                fitting = ", ".join(forms[0] for forms in slot.words[:8])
                return f"{found} where {slot.rivals} are needed of {fitting}"
        return ""


def _texts(value: object, where: str, what: str) -> list[str]:
    fits = isinstance(value, list) and value and all(isinstance(part, str) for part in value)
    need(fits, where, f"{what} should be a list of texts (quote yes, no, on and off)")
    return value


def _check_name(name: object, where: str) -> None:
    fits = isinstance(name, str) and NAME.fullmatch(name)
    need(fits, where, f"{name!r} should be a name in a to z and _")


def _values(name: object, values: object, where: str) -> list[str]:
    for each in (name, *_texts(values, where, "its values")):
        _check_name(each, where)
    need(len(set(values)) == len(values), where, "one of its values stands twice")
    return values


class Lexicon:
    """Features, words by category, and classes (a category with some features) of one file."""

    def __init__(self, path: Path):
        content = read_yaml(path, dict)
        check_keys(content, str(path), ("features", "categories", "classes"))
        mappings = all(isinstance(part, dict) for part in content.values())
        need(mappings, path, "features, categories and classes should be mappings")
        self.features: dict[str, list[str]] = {
            name: _values(name, values, f"{path}: feature '{name}'")
            for name, values in content["features"].items()
        }
        self.used: set[str] = set()  # words that compiled templates can show
        self.forms: dict[str, list[list[Features]]] = {}
        self.inflected: dict[str, set[str]] = {}  # the features that a category's forms express
        self.words: dict[str, list[Word]] = {}
        for name, category in content["categories"].items():
            self._category(name, category, f"{path}: {name}")
        self.classes: dict[str, tuple[str, Features]] = {name: (name, {}) for name in self.words}
        for name, text in content["classes"].items():
            where = f"{path}: class '{name}'"
            _check_name(name, where)
            need(name not in self.words, where, "is the name of a category")
            fits = isinstance(text, str) and text.strip()
            need(fits, where, "should be a category, then feature=value texts")
            category, *features = text.split()
            need(category in self.words, where, f"unknown category '{category}'")
            self.classes[name] = (category, self.read(features, where))

    def read(self, parts: Sequence[str], where: str, variables: bool = False) -> Features:
        """`feature=value` texts as a mapping; feature and value must be declared."""
        found = {}
        for part in parts:
            name, _, value = part.partition("=")
            known = self.features.get(name)
            need(known, where, f"'{part}': no feature '{name}'; known: {', '.join(self.features)}")
            fits = VARIABLE.fullmatch(value) if variables else set(value.split("|")) <= set(known)
            need(fits or value in known, where, f"'{part}': '{name}' is one of {', '.join(known)}")
            need(name not in found, where, f"'{part}': '{name}' stands twice")
            found[name] = value
        return found

    def _category(self, name: str, category: dict, where: str) -> None:
        _check_name(name, where)
        check_keys(category, where, ["groups"], ["forms"])
        texts = _texts(category.get("forms", [""]), where, "'forms'")
        self.forms[name] = [
            [self.read(case.split(), where) for case in text.split("|")] for text in texts
        ]
        self.inflected[name] = {key for form in self.forms[name] for case in form for key in case}
        known, needed = self.words.setdefault(name, []), len(self.forms[name])
        need(isinstance(category["groups"], list), where, "'groups' should be a list")
        for group in category["groups"]:
            check_keys(group, where, ["words"], ["features"])
            own = group.get("features", {})
            need(isinstance(own, dict), where, "the features of a group should be a mapping")
            features = self.read([f"{key}={value}" for key, value in own.items()], where)
            both = ", ".join(self.inflected[name] & set(features))
            need(not both, where, f"its forms express {both}, so no group can have it")
            words = _texts(group["words"], where, "the words of a group")
            for rank, word in enumerate(words, 1):
                entry, forms = f"{where} '{word}'", tuple(word.split())
                need(len(forms) == needed, entry, f"has {len(forms)} forms, needs {needed}")
                need(re.fullmatch("[a-z ]+", word), entry, "should be letters a to z only")
                twice = any(forms[0] == other.forms[0] for other in known)
                need(not twice, entry, "stands twice in its category")
                half = HALVES[1 - rank % 2] if len(words) >= OPEN else ""
                known.append(Word(forms, features, 1 / rank, half))

    def fitting(self, category: str, wanted: Features, where: str) -> list[Word]:
        """The words that have the wanted features of their own."""
        words, tried = self.words[category], []
        for name, value in wanted.items():
            if name not in self.inflected[category]:
                tried.append(f"{name}={value}")
                words = [word for word in words if value in word.features.get(name, "").split("|")]
                need(words, where, f"no {category} has {' '.join(tried)}")
        return words

    def form(self, category: str, wanted: Features, where: str) -> int:
        """Which form expresses the wanted features."""
        for index, form in enumerate(self.forms[category]):
            if any(case.items() <= wanted.items() for case in form):
                return index
        needs = ", ".join(sorted(self.inflected[category]))
        raise InputError(f"{where}: no form of {category} for {wanted}; its forms need {needs}")


def _slot(words: list[Word], rivals: int) -> Slot:
    halves = {half: [w.forms for w in words if w.half in ("", half)] for half in HALVES}
    halves["all"] = [word.forms for word in words]
    return Slot(halves["all"], list(accumulate(word.share for word in words)), halves, rivals)


class Template:
    """The sides of a contrast (or the one side of a construction), with shared slots."""

    def __init__(self, lexicon: Lexicon, sides: Sequence[str], where: str):
        self.lexicon, self.where = lexicon, where
        self.slots: dict[str, tuple[str, Features]] = {}
        self.domains: dict[str, list] = {}  # variables, and optional slots as "Name?"
        self.sides = []
        for side in map(str, sides):
            need(TEMPLATE.fullmatch(side), where, f"'{side}' should be words, slots, then . or ?")
            tokens = re.findall(r"\{[^{}]+\}|\S+", side)
            self.sides.append([self._slot(t) if t[0] == "{" else t for t in tokens])

    def _slot(self, token: str) -> tuple[str, Features]:
        where = f"{self.where}, slot {token}"
        found = MENTION.fullmatch(token[1:-1])
        need(found, where, "should read {Name class feature=value}")
        name, optional, kind, features = found.groups()
        own = self.lexicon.read(features.split(), where, variables=True)
        for feature, value in own.items():
            if VARIABLE.fullmatch(value):
                values = self.lexicon.features[feature]
                same = self.domains.setdefault(value.lstrip("!"), values) is values
                need(same, where, f"'{value}' stands for another feature elsewhere")
                need(value[0] != "!" or len(values) == 2, where, f"'{feature}' has no opposite")
        if optional:
            self.domains[f"{name}?"] = [True, False]
        if kind:
            need(name not in self.slots, where, "a later mention has no class")
            need(kind in self.lexicon.classes, where, f"unknown class '{kind}'")
            category, features = self.lexicon.classes[kind]
            for feature in own.keys() & features.keys():
                has = f"{feature}={features[feature]}"
                need(has == f"{feature}={own[feature]}", where, f"'{kind}' has {has} already")
            self.slots[name] = (category, features | own)
        need(name in self.slots, where, "the first mention needs a class")
        category, features = self.slots[name]
        fixed = set() if kind else set(own) - self.lexicon.inflected[category]
        need(not fixed, where, f"{category} has no forms for {', '.join(fixed)}: use a new slot")
        return name, features | own

    def cells(self) -> list[Cell]:
        """Every setting of variables and optional slots, the first variable changing fastest."""
        count = math.prod(map(len, self.domains.values()))
        rule = f"its variables and optional slots have {count} settings; {MOST} are the most"
        need(count <= MOST, self.where, rule)
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
                words = self.lexicon.fitting(category, self._settle(features, setting), where)
                forms = {word.forms for word in words}
                rivals = 1 + sum(not forms.isdisjoint(slot.words) for slot in slots.values())
                need(len(words) >= rivals, where, f"only {len(words)} words fit")
                slots[name] = _slot(words, rivals)
        good, *bad = [" ".join(self._shown(side, setting, slots)) for side in self.sides]
        need(good not in bad, self.where, f"good and bad are the same where {setting}")
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
                self.lexicon.used |= {word[form] for word in slots[name].words}
                yield f"{{{list(slots).index(name)}[{form}]}}"
