"""Chapter 14's language, judged by a parser that shares nothing with its generator."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from taskspace_utils import inventory, load_model, trainings
from taskspace_utils.pretraining import Corpus
from taskspace_utils.publishing import chapters

RULES = ("types", "names", "closing", "leaving", "habit")
NUMBERS = {"one", "two", "three", "four", "five", "six"}
TEXTS = {"red", "blue", "green", "black", "white", "brown"}


@pytest.fixture(scope="module")
def language() -> dict:
    """What the chapter's cells define, up to its table of pairs: nothing is trained there."""
    space: dict = {}
    for cell in chapters.read_chapter(chapters.find_chapter("14")).cells:
        if cell.cell_type == "code":
            exec(cell.source, space)
            if "\npairs = " in cell.source:
                return space
    raise AssertionError("the chapter makes no pairs")


class Parser:
    """The rules that a program breaks: a plain reader of statements, with a scope a block."""

    def __init__(self, program: str) -> None:
        self.words, self.broken = program.split(), set()
        self.scopes: list[dict] = [{}]
        self.kinds: list[str] = []
        while self.words:
            self.statement()
        if self.kinds:
            self.broken.add("closing")

    def take(self, *wanted: str) -> str:
        word = self.words.pop(0)
        assert not wanted or word in wanted, (word, wanted)
        return word

    def statement(self) -> None:
        word = self.take()
        if word in ("do", "if"):
            self.kinds.append(word)
            self.scopes.append({})
        elif word in ("od", "fi"):
            if not self.kinds or self.kinds.pop() != word[::-1]:
                self.broken.add("closing")
            if len(self.scopes) > 1:
                self.scopes.pop()
        elif word in ("stop", "skip"):
            if {"stop": "do", "skip": "if"}[word] != (self.kinds or [""])[-1]:
                self.broken.add("leaving")
            self.take(";")
        elif word == "print":
            left = self.value()
            if self.words[0] == "equals":
                self.take("equals")
                right = self.value()
                if None not in (left, right) and left != right:
                    self.broken.add("types")
            self.end("now")
        else:
            assert word == "let", word
            name = self.take()
            assert len(name) == 1, name
            self.take("be")
            self.scopes[-1][name] = self.value()
            self.end("soon")

    def end(self, usual: str) -> None:
        if self.take("now", "soon", ";") not in (usual, ";"):
            self.broken.add("habit")
        if self.words and self.words[0] == ";":
            self.take(";")

    def value(self) -> str | None:
        word = self.take()
        if word in NUMBERS | TEXTS:
            return "number" if word in NUMBERS else "text"
        assert len(word) == 1, word
        for scope in reversed(self.scopes):
            if word in scope:
                return scope[word]
        self.broken.add("names")
        return None


def test_the_corpus_keeps_all_rules_and_shows_all_words(language):
    text = language["programs"](2000, seed=3)
    assert not [program for program in text if Parser(program).broken]
    assert max(len(program.split()) for program in text) <= 26
    used = Counter(word for program in text for word in program.split())
    pairs = language["pairs"]
    shown = {word for text in (*pairs["good"], *pairs["bad"]) for word in text.split()}
    assert shown <= set(used)
    assert min(used.values()) >= 20


def test_a_good_program_has_no_fault_and_a_bad_one_has_that_of_its_rule(language):
    pairs = language["pairs"]
    assert pairs.groupby("task").size().eq(language["n_pairs"]).all()
    assert pairs["task"].nunique() == 15
    for row in pairs.itertuples():
        assert not Parser(row.good).broken, row.good
        assert Parser(row.bad).broken == {row.phenomenon}, row.bad


def test_the_judge_finds_every_kind_of_fault():
    faults = {
        "types": "let x be one ; print x equals red ;",
        "names": "do let x be one ; od print x ;",
        "closing": "if do print one ; fi od",
        "leaving": "if do print one ; skip ; od fi",
        "habit": "let x be one now ;",
    }
    assert {rule: Parser(program).broken for rule, program in faults.items()} == {
        rule: {rule} for rule in RULES
    }
    assert Parser("do print one ;").broken == {"closing"}


def test_pairs_are_crossed_one_word_apart_and_the_same_again(language):
    pairs = language["pairs"]
    for _, two in pairs.groupby(["task", "item"]):
        assert len(two) == 2
        assert two["split"].nunique() == 1
        total = Counter()
        for good, bad in zip(two["good"], two["bad"], strict=True):
            one, other = good.split(), bad.split()
            assert sum(a != b for a, b in zip(one, other, strict=True)) == 1
            total.update(one)
            total.subtract(other)
        assert not any(total.values())
    again = language["task_pairs"]("types", "rival", 20)
    assert again.equals(language["task_pairs"]("types", "rival", 20))
    assert not again.equals(language["task_pairs"]("types", "rival", 20, seed=1))


def test_programs_depend_on_their_seed_and_leave_out_what_they_are_told_to(language):
    programs = language["programs"]
    first = programs(50, 0)
    assert programs(50, 0) == first != programs(50, 1)
    assert not set(programs(200, 0, {first[0], first[7]})) & {first[0], first[7]}
    rng = random.Random(0)
    for rule in language["RULES"]:
        for frame in language["FRAMES"]:
            assert len({s for pair in language["item"](rng, rule, frame) for s in pair}) == 4


def test_a_model_of_a_text_of_ones_own_is_kept_and_trained_once(language, tmp_path, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    text = Corpus(language["programs"](300, 0), {"held-out": language["programs"](40, 1)})
    folder = trainings.kept("programs", text, "XS", 2, seed=0)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert len(before) == 2
    assert trainings.kept("programs", text, "XS", 2, seed=0) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    assert trainings.kept("programs", text, "XS", 2, seed=1) != folder
    assert load_model(folder / "step-000002").encode(["do print one ; od"])
    kinds = {(entry.kind, entry.why) for entry in inventory.entries()}
    assert kinds == {("model", "")}  # nothing for `store prune` to remove
