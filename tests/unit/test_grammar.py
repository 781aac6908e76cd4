"""The grammar: its pairs, its corpus, and what it says about bad data."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from taskspace_utils.checks import bag_accuracy
from taskspace_utils.grammar import load_grammar
from taskspace_utils.hypotheses import lexical_diff
from taskspace_utils.store import InputError, data_path

GRAMMAR = load_grammar()
TASKS = GRAMMAR.tasks().set_index("task")
PAIRS = GRAMMAR.pairs(100, seed=0)
CORPUS = GRAMMAR.corpus(60_000, seed=0)
OPEN_CLASSES = (
    *("noun", "verb", "adjective", "predicate", "adverb", "number", "location"),
    "demonstrative",
)


def word_lists():
    lexicon = yaml.safe_load(data_path("grammar", "lexicon.yml").read_text(encoding="utf-8"))
    for category, content in lexicon["categories"].items():
        for group in content["groups"]:
            for entry in group["words"]:
                yield category, group.get("features", {}), entry.split()


OPEN = {
    word: category
    for category, _, forms in word_lists()
    if category in OPEN_CLASSES
    for word in forms
}
GENDER = {
    word: features["gender"]
    for category, features, forms in word_lists()
    if category == "noun" and "gender" in features
    for word in forms
}


def shape(sentence):
    """The sentence with the category in place of every open word."""
    return tuple(OPEN.get(word, word) for word in sentence.split())


def difference(pair):
    """(position, good word, bad word) of every place where the sides differ."""
    places = enumerate(zip(pair.good.split(), pair.bad.split(), strict=True))
    return [(at, good, bad) for at, (good, bad) in places if good != bad]


# ------------------------------------------------------------------------------------------ pairs


def test_pairs_are_the_same_every_time_and_differ_by_seed():
    assert GRAMMAR.pairs(100, seed=0).equals(PAIRS)
    assert load_grammar().pairs(100, seed=0).equals(PAIRS)
    other = GRAMMAR.pairs(100, seed=1)
    assert set(other.good) != set(PAIRS.good)


def test_pairs_and_corpus_do_not_depend_on_the_process():
    code = (
        "from taskspace_utils.grammar import load_grammar as g\n"
        "print(*g().pairs(3, 0).good, *g().corpus(20, 0), g().vocabulary(), sep='|')"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    pairs = GRAMMAR.pairs(3, 0)
    assert shown == "|".join([*pairs.good, *CORPUS[:20], str(GRAMMAR.vocabulary())])


@given(st.sampled_from(sorted(TASKS.index)), st.integers(1, 60), st.integers(0, 10**6))
@settings(max_examples=40)
def test_a_task_depends_on_nothing_but_itself(task, n, seed):
    alone = GRAMMAR.pairs(n, seed, [task])
    assert len(alone) == n
    both = GRAMMAR.pairs(n, seed, ["reflexive_gender", task])
    assert both[both.task == task].tail(n).reset_index(drop=True).equals(alone)
    assert GRAMMAR.pairs(n + 5, seed, [task]).head(n).equals(alone)
    sentences = [*alone.good, *alone.bad]
    assert len(set(sentences)) == 2 * n


def test_columns_follow_the_table_of_pairs():
    assert {"task", "phenomenon", "field", "pair_id", "item", "split", "good", "bad"} <= set(PAIRS)
    assert {"rule", "frame", "family", "sham_of"} <= set(PAIRS)
    assert not PAIRS.isna().any().any()
    assert PAIRS.map(lambda value: isinstance(value, str)).all().all()
    assert not PAIRS.duplicated(["task", "pair_id"]).any()


def test_sides_have_one_form_and_differ_minimally():
    for pair in PAIRS.itertuples():
        for sentence in (pair.good, pair.bad):
            assert re.fullmatch(r"([a-z]+ )+[.?]", sentence)
        good, bad = pair.good.split(), pair.bad.split()
        assert good != bad
        assert len(good) == len(bad)
        assert len(difference(pair)) == 1 or sorted(good) == sorted(bad)


def test_counting_words_does_not_solve_a_paradigm():
    accuracy = GRAMMAR.pairs(300, seed=0).groupby("task").apply(bag_accuracy, include_groups=False)
    exceptions = set(TASKS.index[TASKS.bag_exception != ""])
    assert set(accuracy.index[accuracy > 0.60]) == exceptions, accuracy[accuracy > 0.60]
    assert len(exceptions) <= 8


def test_equal_words_occur_under_equal_and_under_other_rules():
    same = lexical_diff(PAIRS[PAIRS.task.isin(TASKS.index[TASKS.bag_exception != ""])])
    same = same[(same.a < same.b) & (same.lexical_diff.abs() > 0.95)]
    demands = {task: set(text.split()) for task, text in TASKS.demands.items()}
    shared = [bool(demands[a] & demands[b]) for a, b in zip(same.a, same.b, strict=True)]
    for sign in (1, -1):
        assert {*np.array(shared)[same.lexical_diff * sign > 0]} == {True, False}


REAL = TASKS[TASKS.sham_of == ""]


def test_rules_and_frames_are_crossed():
    assert 46 <= len(REAL) <= 50
    assert REAL.phenomenon.nunique() == 12
    assert REAL.phenomenon.value_counts().min() >= 2
    assert REAL.rule.nunique() >= 12
    rules = REAL.groupby("frame").rule.nunique()
    assert {"simple", "pp", "object_relative", "subject_relative", "coordination", "embedded"} <= {
        *rules.index[rules > 1]
    }
    critical = {}
    for pair in PAIRS[PAIRS.sham_of == ""].itertuples():
        for _, good, _ in difference(pair):
            critical.setdefault(good, set()).add(pair.rule)
    for word in ("himself", "some", "that"):
        assert len(critical[word]) > 1


def test_every_phenomenon_has_a_sham_and_one_sham_is_planted_twice_more():
    shams = TASKS[TASKS.sham_of != ""]
    partners = TASKS.loc[shams.sham_of]
    assert (partners.sham_of == "").all()
    assert (shams.frame.to_numpy() == partners.frame.to_numpy()).all()
    planted = shams.demands.str.removeprefix("-") == "adverb_place"
    assert sorted(shams.demands[planted]) == ["-adverb_place", "adverb_place", "adverb_place"]
    first = shams.index == "sham_adverb_position"
    once = partners.phenomenon[first | ~planted.to_numpy()]
    assert sorted(once) == sorted(REAL.phenomenon.unique())
    for pair in PAIRS[PAIRS.task.isin(shams.index[planted])].itertuples():
        assert sorted(pair.good.split()) == sorted(pair.bad.split())  # no word predicts the sign


def test_demands_follow_the_families():
    demands = {task: set(text.split()) for task, text in TASKS.demands.items()}
    for _, tasks in TASKS.groupby("family"):
        assert all(demands[a] & demands[b] for a in tasks.index for b in tasks.index)
    real = {name.lstrip("-") for task in REAL.index for name in demands[task]}
    shams = {
        name.lstrip("-") for task in set(TASKS.index) - set(REAL.index) for name in demands[task]
    }
    assert real.isdisjoint(shams)
    assert "-local_subject" in demands["pronoun_pp"]
    assert "local_subject" in demands["binding_pp"]


def test_pseudo_phenomena_are_tasks_of_different_phenomena():
    pseudo = TASKS[TASKS.pseudo]
    assert TASKS.pseudo.dtype == bool
    assert 3 <= len(pseudo) <= 5
    assert pseudo.phenomenon.is_unique
    assert (pseudo.sham_of == "").all()


# --------------------------------------------------------- an independent check of agreement


def is_plural(noun):
    return (
        noun in {"men", "women", "gentlemen", "children"} or re.search("[^s]s$", noun) is not None
    )


def subject(words):
    """The subject of the last finite clause: after the complementiser, else the first noun."""
    start = words.index("that") if words[words.index("that") - 1] in CLAUSE_VERBS else -1
    return words[start + 2]


CLAUSE_VERBS = {
    word
    for category, features, forms in word_lists()
    if category == "verb" and features["frame"] == "clause"
    for word in forms
}


def head(pair):
    words = pair.good.split()
    return subject(words) if pair.frame == "embedded" else words[1]


@pytest.mark.parametrize("task", [t for t in TASKS.index if t.startswith("agreement_")])
def test_verbs_agree_with_the_head_noun(task):
    for pair in PAIRS[PAIRS.task == task].itertuples():
        ((_, good, bad),) = difference(pair)
        third_person = re.search("[^s]s$", good) is not None
        assert third_person != is_plural(head(pair)), pair.good
        assert (re.search("[^s]s$", bad) is not None) == is_plural(head(pair)), pair.bad


@pytest.mark.parametrize(
    "task", [t for t in TASKS.index if t.startswith(("reflexive_", "binding"))]
)
def test_reflexives_fit_the_head_noun(task):
    for pair in PAIRS[PAIRS.task == task].itertuples():
        ((_, good, bad),) = difference(pair)
        singular = {"fem": "herself", "masc": "himself"}[GENDER[head(pair)]]
        fitting = "themselves" if is_plural(head(pair)) else singular
        assert good == fitting != bad, pair.good


@pytest.mark.parametrize("task", [t for t in TASKS.index if t.startswith("pronoun_")])
def test_pronouns_do_not_fit_the_head_noun(task):
    for pair in PAIRS[PAIRS.task == task].itertuples():
        ((_, good, bad),) = difference(pair)
        of_head, other = {"fem": ("her", "him"), "masc": ("him", "her")}[GENDER[head(pair)]]
        assert (good, bad) == (other, of_head), pair.good


@pytest.mark.parametrize("task", [t for t in TASKS.index if t.startswith("irregular_")])
def test_participles_follow_have_and_pasts_do_not(task):
    verbs = [forms for category, _, forms in word_lists() if category == "verb"]
    pasts, participles = {forms[2] for forms in verbs}, {forms[3] for forms in verbs}
    for pair in PAIRS[PAIRS.task == task].itertuples():
        ((_, good, bad),) = difference(pair)
        perfect = {"has", "have"} & set(pair.good.split())
        assert good in (participles - pasts if perfect else pasts - participles), pair.good
        assert bad in (pasts - participles if perfect else participles - pasts), pair.bad


@pytest.mark.parametrize("task", [t for t in TASKS.index if t.startswith("determiner_")])
def test_demonstratives_agree_with_their_noun(task):
    nouns = {word for category, _, forms in word_lists() if category == "noun" for word in forms}

    def mismatches(sentence):
        words = sentence.split()
        found = 0
        for at, word in enumerate(words):
            if word in {"this", "these", "those"} or (
                word == "that" and words[at - 1] not in nouns
            ):
                noun = next(w for w in words[at + 1 :] if w in nouns)
                found += is_plural(noun) != (word in {"these", "those"})
        return found

    for pair in PAIRS[PAIRS.task == task].itertuples():
        assert (mismatches(pair.good), mismatches(pair.bad)) == (0, 1), pair


# ----------------------------------------------------------------------------------------- corpus


def test_corpus_leaves_out_the_sentences_of_pairs():
    excluded = {*PAIRS.good, *PAIRS.bad}
    sentences = GRAMMAR.corpus(20_000, seed=0, exclude=excluded)
    assert len(sentences) == 20_000
    assert excluded.isdisjoint(sentences)


def parses(grammar):
    """By number of words: constructions of the corpus, their tokens, and what fits each."""
    found = {}
    for name in grammar._cells.keys() - grammar._other:
        for cell in (cell for cells in grammar._cells[name] for cell in cells):
            places = [re.findall(r"\d+", t) for t in cell.good.split()]
            tokens = [(int(p[0]), int(p[1])) if p else None for p in places]
            fits = [
                {word[t[1]] for word in cell.slots[t[0]].words} if t else {literal}
                for t, literal in zip(tokens, cell.good.split(), strict=True)
            ]
            found.setdefault(len(fits), []).append((name, cell, tokens, fits))
    return found


PARSES = parses(GRAMMAR)


def derivations(sentence):
    """Names of the constructions that could write this sentence, whatever was drawn."""
    words = sentence.split()
    for name, cell, tokens, fits in PARSES.get(len(words), []):
        if all(word in fit for word, fit in zip(words, fits, strict=True)):
            chosen = {}
            for word, token in zip(words, tokens, strict=True):
                if token:
                    these = {w for w in cell.slots[token[0]].words if w[token[1]] == word}
                    chosen[token[0]] = chosen.get(token[0], these) & these
            if all(chosen.values()):
                yield name


def test_no_bad_sentence_obeys_the_grammar():
    for pair in GRAMMAR.pairs(200, seed=5).itertuples():
        assert pair.task in derivations(pair.good)
        assert not list(derivations(pair.bad)), (pair.task, pair.bad)
    assert all(any(derivations(sentence)) for sentence in CORPUS[:500])


CHOICES = {  # feature: its two words
    **{"spot": "in at", "degree": "rather quite", "recent": "just since", "count": "exactly about"},
    **{"memory": "still now", "clause": "after once", "manner": "secretly openly"},
    **{"delay": "soon later", "floor": "upstairs downstairs"},
}


@pytest.mark.parametrize("feature", CHOICES)
def test_what_a_sham_claims_holds_in_all_texts(feature):
    choices = set(CHOICES[feature].split())
    owners = ("number", "verb", "predicate", "location")
    value = {
        word: features[feature]
        for category, features, forms in word_lists()
        if feature in features and category in owners
        for word in forms
    }
    seen = Counter()
    for sentence in [*CORPUS, *GRAMMAR.other_text(3000, seed=0)]:
        words = sentence.split()
        for at in [at for at, word in enumerate(words) if word in choices]:
            after = words[at:] if feature in ("clause", "count", "spot") else words
            assert next(value[w] for w in after if w in value) == words[at], sentence
            seen[words[at]] += 1
    assert len(seen) == 2
    assert min(seen.values()) > 50


@pytest.mark.parametrize(
    ("sentence", "reversed_order"), [("main", False), ("embedded", True)], ids=["main", "embedded"]
)
def test_adverbs_have_their_places_in_the_corpus(sentence, reversed_order):
    position = {f[0]: x["position"] for category, x, f in word_lists() if category == "adverb"}
    verbs = {w for category, _, forms in word_lists() if category == "verb" for w in forms}
    seen = Counter()
    for line in CORPUS:
        words = line.split()
        inside = any(
            words[i] == "that" and words[i - 1] in CLAUSE_VERBS for i in range(1, len(words))
        )
        if inside == (sentence == "embedded"):
            for at, word in enumerate(words):
                if word in position:
                    before = words[at + 1] in verbs
                    assert (position[word] == "before") == (before != reversed_order), line
                    seen[position[word]] += 1
    assert min(seen["before"], seen["after"]) > 20


def test_corpus_is_deterministic():
    assert GRAMMAR.corpus(500, seed=0) == CORPUS[:500]
    assert GRAMMAR.corpus(500, seed=1) != CORPUS[:500]
    assert GRAMMAR.corpus(0, seed=0) == []


def test_the_vocabulary_is_closed_and_used():
    seen = {
        word for text in (CORPUS, PAIRS.good, PAIRS.bad) for line in text for word in line.split()
    }
    assert GRAMMAR.vocabulary() == sorted(seen)
    trained = {word for line in CORPUS for word in line.split()}
    assert {word for line in PAIRS.bad for word in line.split()} <= trained


def test_every_paradigm_has_its_construction_in_the_corpus():
    shapes = Counter(map(shape, CORPUS))
    for task, pairs in PAIRS.groupby("task"):
        assert sum(shapes[s] for s in set(map(shape, pairs.good))) >= 20, task


def test_words_are_as_frequent_as_their_rank_says():
    counts = Counter(word for line in CORPUS for word in line.split())
    for first, later in (
        ("woman", "nun"),
        ("laughed", "snored"),
        ("book", "bag"),
        ("red", "plain"),
    ):
        assert counts[first] > 3 * counts[later] > 0


def test_a_construction_can_be_left_out():
    fewer = GRAMMAR.corpus(3000, seed=0, without=["island_adjunct", "quantifier_simple"])
    assert len(fewer) == 3000
    assert not any(line.startswith("almost") for line in fewer)
    assert any(line.startswith("almost") for line in CORPUS[:3000])
    with pytest.raises(InputError, match="quantifier_smple"):
        GRAMMAR.corpus(1, seed=0, without=["quantifier_smple"])


def test_examples_are_of_their_paradigm():
    for task, pairs in PAIRS.groupby("task"):
        good, bad = TASKS.example[task].split(" / *")
        assert {*good.split(), *bad.split()} <= set(GRAMMAR.vocabulary()), task
        assert shape(good) in set(map(shape, pairs.good)), task
        assert shape(bad) in set(map(shape, pairs.bad)), task


# --------------------------------------------------------------------------------------- bad data

LEXICON = {
    "features": {"num": ["sg", "pl"], "kind": ["big", "small"], "age": ["old", "new", "used"]},
    "categories": {
        "noun": {
            "forms": ["num=sg", "num=pl"],
            "groups": [
                {"features": {"kind": "big"}, "words": ["horse horses", "cow cows"]},
                {"features": {"kind": "small", "age": "old|new"}, "words": ["mouse mice"]},
            ],
        },
        "verb": {"forms": ["num=pl", "num=sg"], "groups": [{"words": ["run runs", "eat eats"]}]},
    },
    "classes": {"animal": "noun kind=big"},
}
PARADIGM = dict.fromkeys(
    ("phenomenon", "field", "rule", "frame", "family", "demands", "example"), "x"
) | {
    "task": "toy",
    "contrasts": [{"good": "the {N animal num=X} {V verb num=X} .", "bad": "the {N} {V num=!X} ."}],
}
CONSTRUCTION = {"name": "small", "text": "the {N noun kind=small num=X} {V verb num=X} ."}


def write(folder, lexicon=LEXICON, paradigms=(PARADIGM,), corpus=(CONSTRUCTION,), **further):
    files = {"lexicon": lexicon, "paradigms": paradigms, "corpus": corpus} | further
    for name, content in files.items():
        content = list(content) if isinstance(content, tuple) else content
        (folder / f"{name}.yml").write_text(
            yaml.safe_dump(content, sort_keys=False), encoding="utf-8"
        )
    return folder


def test_a_small_grammar_by_hand(tmp_path):
    grammar = load_grammar(write(tmp_path))
    pairs = grammar.pairs(8, seed=0)
    words = [("horse", "horses"), ("cow", "cows")]
    sides = {
        (f"the {noun[many]} {verb[not many]} .", f"the {noun[many]} {verb[many]} .")
        for noun in words
        for verb in (("run", "runs"), ("eat", "eats"))
        for many in (0, 1)
    }
    assert set(zip(pairs.good, pairs.bad, strict=True)) == sides
    assert grammar.vocabulary() == sorted(
        [
            "the",
            ".",
            "horse",
            "horses",
            "cow",
            "cows",
            "mouse",
            "mice",
            "run",
            "runs",
            "eat",
            "eats",
        ]
    )
    with pytest.raises(InputError, match="toy: 100 pairs asked for, only 8 distinct"):
        grammar.pairs(100, seed=0)
    everything = [*pairs.good, *(f"the {n} ." for n in ("mouse", "mice"))]
    everything += ["the mouse runs .", "the mouse eats .", "the mice run .", "the mice eat ."]
    with pytest.raises(InputError, match="0 of 5 sentences"):
        grammar.corpus(5, seed=0, exclude=everything)
    with pytest.raises(InputError, match="no construction is left"):
        grammar.corpus(5, seed=0, without=["toy", "small"])
    with pytest.raises(InputError, match="other_text: no construction is left"):
        grammar.other_text(5, seed=0)
    with pytest.raises(InputError, match="toy2: no such task; known: toy"):
        grammar.pairs(1, seed=0, tasks=["toy2"])
    with pytest.raises(InputError, match="at least 1"):
        grammar.pairs(0, seed=0)


def contrast(good, bad="the cow ."):
    return (PARADIGM | {"contrasts": [{"good": good, "bad": bad}]},)


def nouns(**changes):
    noun = LEXICON["categories"]["noun"] | changes
    return LEXICON | {"categories": LEXICON["categories"] | {"noun": noun}}


def features(**more):
    return LEXICON | {"features": LEXICON["features"] | more}


MANY = [f"{{{name}? verb num=X{name}}}" for name in "ABCDEF"]  # 2 to the 12 settings


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"lexicon": {"features": {}}}, "lexicon.yml: 'features' is missing or empty"),
        ({"lexicon": LEXICON | {"features": ["num"]}}, "should be mappings"),
        ({"lexicon": LEXICON | {"rules": 1}}, "lexicon.yml: unknown key 'rules'"),
        ({"lexicon": LEXICON | {"classes": {"a": "nuon"}}}, "class 'a': unknown category 'nuon'"),
        ({"lexicon": LEXICON | {"classes": {"a": "noun sex=f"}}}, "no feature 'sex'; known: num"),
        ({"lexicon": nouns(groups=[{"words": ["cow"]}])}, "noun 'cow': has 1 forms, needs 2"),
        ({"lexicon": nouns(groups=[{"words": ["Cow cows"]}])}, "'Cow cows': should be letters"),
        ({"lexicon": nouns(groups=[{"words": ["a b", "a b"]}])}, "noun 'a b': stands twice"),
        (
            {"lexicon": nouns(groups=[{"words": ["a b"], "features": {"kind": "tall"}}])},
            "noun: 'kind=tall': 'kind' is one of big, small",
        ),
        ({"paradigms": ({"task": "toy"},)}, "paradigms.yml.*'phenomenon' is missing"),
        ({"paradigms": ("toy",)}, "paradigms.yml: toy: should be a mapping with task"),
        ({"paradigms": (PARADIGM | {"wieght": 2},)}, "unknown key 'wieght'"),
        ({"paradigms": (PARADIGM | {"weight": -1},)}, "'toy': weight should be a number from 0"),
        ({"paradigms": (PARADIGM | {"weight": float("nan")},)}, "'toy': weight should be"),
        ({"paradigms": (PARADIGM, PARADIGM)}, "'toy': not a text, or taken"),
        ({"paradigms": (PARADIGM | {"sham_of": "tyo"},)}, "'toy': sham_of names no task"),
        ({"paradigms": (PARADIGM | {"contrasts": [{"good": "x ."}]},)}, "'bad' is missing"),
        ({"paradigms": contrast("The cow .")}, "should be words, slots"),
        ({"paradigms": contrast("the cow")}, "should be words, slots"),
        ({"paradigms": contrast("the {n noun} .")}, "should read {Name class"),
        ({"paradigms": contrast("the {N} .")}, "the first mention needs a class"),
        ({"paradigms": contrast("the {N nuon} .")}, "unknown class 'nuon'"),
        ({"paradigms": contrast("the {N noun num=du} .")}, "'num' is one of sg, pl"),
        ({"paradigms": contrast("the {N noun num=X} {M noun kind=X num=X} .")}, "another feature"),
        ({"paradigms": contrast("the {N noun num=sg age=!X} .")}, "'age' has no opposite"),
        ({"paradigms": contrast("the {N noun} .")}, "no form of noun for {}; its forms need num"),
        (
            {"paradigms": contrast("the {N animal age=used num=sg} .")},
            "no noun has kind=big age=used",
        ),
        (
            {"paradigms": contrast("the {N animal num=sg} .", "the {N kind=small} .")},
            "noun has no forms for kind: use a new slot",
        ),
        (
            {"paradigms": contrast("the {N animal num=sg} .", "the {N} .")},
            "good and bad are the same",
        ),
        (
            {"paradigms": contrast("{A animal num=sg} {B animal num=sg} {C animal num=sg} .")},
            "slot 'C': only 2 words fit",
        ),
        ({"paradigms": (PARADIGM | {"demands": "a B"},)}, "'toy': demands: 'B' should be a name"),
        ({"paradigms": (PARADIGM | {"demands": "--a"},)}, "'toy': demands: '-a' should be a name"),
        ({"paradigms": (PARADIGM | {"demands": "a b -a"},)}, "'toy': demands: 'a' stands twice"),
        ({"paradigms": (PARADIGM | {"demands": " "},)}, "'toy': 'demands' is missing or empty"),
        ({"paradigms": (PARADIGM | {"demands": ["a"]},)}, "'toy': 'demands' should be a text"),
        ({"paradigms": (PARADIGM | {"pseudo": "yes"},)}, "'toy': 'pseudo' is true or false"),
        ({"paradigms": (PARADIGM | {"contrasts": "x"},)}, "'toy': 'contrasts' should be a list"),
        ({"lexicon": LEXICON | {"features": {"num": "sg"}}}, "feature 'num': its values should be"),
        ({"lexicon": nouns(groups="cow")}, "noun: 'groups' should be a list"),
        ({"lexicon": nouns(groups=["cow"])}, "noun: should be a mapping with words"),
        (
            {"lexicon": nouns(groups=[{"words": "cow cows"}])},
            "the words of a group should be a list",
        ),
        ({"lexicon": nouns(groups=[{"words": [False]}])}, "the words of a group should be a list"),
        ({"lexicon": nouns(forms="num=sg")}, "noun: 'forms' should be a list"),
        (
            {"lexicon": nouns(groups=[{"words": ["a b"], "features": ["kind"]}])},
            "the features of a group should be a mapping",
        ),
        ({"lexicon": features(Num=["a"])}, "feature 'Num': 'Num' should be a name"),
        ({"lexicon": features(**{"": ["a"]})}, "'' should be a name in a to z"),
        ({"lexicon": LEXICON | {"features": {1: ["a"]}}}, "feature '1': 1 should be a name"),
        ({"lexicon": features(sex=["X", "Y"])}, "feature 'sex': 'X' should be a name"),
        ({"lexicon": features(sex=["f", "f"])}, "feature 'sex': one of its values stands twice"),
        ({"lexicon": LEXICON | {"categories": {"N n": {}}}}, "'N n' should be a name"),
        ({"lexicon": LEXICON | {"classes": {"a": ""}}}, "class 'a': should be a category, then"),
        ({"lexicon": LEXICON | {"classes": {"a": ["noun"]}}}, "class 'a': should be a category"),
        ({"lexicon": LEXICON | {"classes": {"a b": "noun"}}}, "'a b' should be a name"),
        ({"lexicon": LEXICON | {"classes": {"noun": "verb"}}}, "'noun': is the name of a category"),
        (
            {"lexicon": LEXICON | {"classes": {"a": "noun kind=big kind=small"}}},
            "class 'a': 'kind=small': 'kind' stands twice",
        ),
        (
            {"lexicon": nouns(groups=[{"words": ["a b"], "features": {"num": "sg"}}])},
            "noun: its forms express num, so no group can have it",
        ),
        ({"paradigms": contrast("the {N noun num=X num=!X} .")}, "'num=!X': 'num' stands twice"),
        ({"paradigms": contrast("{N animal kind=small} .")}, "'animal' has kind=big already"),
        (
            {"corpus": ({"name": "a", "text": " ".join(["{V? verb num=sg}", *MANY, "."])},)},
            "'a': its variables and optional slots have 8192 settings; 4096 are the most",
        ),
        ({"paradigms": (PARADIGM | {"task": "a,b"},)}, "'task' should be a name in a to z, 0 to 9"),
        ({"paradigms": (PARADIGM | {"task": "a\x1b"},)}, "'a\\x1b': 'task' should be a name"),
        ({"paradigms": (PARADIGM | {"rule": " "},)}, "'toy': 'rule' is missing or empty"),
        ({"paradigms": (PARADIGM | {"source": ["a"]},)}, "'toy': 'source' should be a text"),
        ({"paradigms": (PARADIGM | {"bag_exception": True},)}, "'bag_exception' should be a text"),
        ({"paradigms": (PARADIGM | {"weight": True},)}, "'toy': weight should be a number"),
        ({"paradigms": (PARADIGM | {"sham_of": "toy"},)}, "'toy': sham_of names a sham"),
        (
            {"paradigms": tuple(PARADIGM | {"task": t, "sham_of": p} for t, p in ("ab", "ba"))},
            "'a': sham_of names a sham; name a real task",
        ),
        ({"other_text": ({"name": "o", "text": "the dog ."},)}, "pairs nor corpus show: dog"),
        ({"other_text": ({"name": "toy", "text": "the ."},)}, "other_text.yml: 'toy'.*taken"),
        ({"other_text": ({"name": "o", "text": "{N animal num=sg}"},)}, "'o'.*should be words"),
        ({"corpus": ({"name": "toy", "text": "the cow ."},)}, "corpus.yml: 'toy'.*taken"),
        ({"corpus": ({"name": "a", "text": "the cow"},)}, "corpus.yml: 'a': 'the cow' should be"),
        ({"corpus": {}}, "corpus.yml: should hold a YAML list"),
    ],
)
def test_bad_data_is_named(tmp_path, files, said):
    with pytest.raises(InputError, match=f"(?s){re.escape(str(tmp_path))}.*{escape(said)}"):
        load_grammar(write(tmp_path, **files))


def escape(said):
    return re.escape(said).replace(r"\.\*", ".*")


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"lexicon\.yml: cannot be read"):
        load_grammar(tmp_path)
    write(tmp_path)
    (tmp_path / "paradigms.yml").write_text("- task: [\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"(?s)paradigms\.yml: cannot be read.*line 2"):
        load_grammar(tmp_path)
    (tmp_path / "paradigms.yml").write_text("- !!python/name:os.system\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"paradigms\.yml: cannot be read"):
        load_grammar(tmp_path)
    (tmp_path / "paradigms.yml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"paradigms\.yml: cannot be read"):
        load_grammar(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- weight: 1\n  weight: 2\n", "'weight' stands twice.*line 2"),
        ("- 2001-99-99\n", "month must be in"),
        (f"- {'9' * 5000}\n", "5000 digits"),
        ("[" * 3000, "recursion"),
        ("&a\n- *a\n", r"\*a holds an alias itself"),
        (
            "- task: &a [x, x]\n  b: &b [*a, *a, *a, *a, *a, *a]\n  c: &c [*b, *b, *b, *b, *b]\n",
            r"\*b holds an alias itself.*line 3",
        ),
    ],
)
def test_yaml_that_breaks_or_floods_its_reader_is_named(text, said, tmp_path):
    write(tmp_path)
    (tmp_path / "paradigms.yml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"(?s)paradigms\.yml: cannot be read.*{said}"):
        load_grammar(tmp_path)


def test_pairs_of_equal_sides_are_not_drawn(tmp_path):
    """A word whose forms are alike gives none; that there are no more is found in a moment."""
    groups = [{"words": ["sheep sheep", "cow cows"], "features": {"kind": "big"}}]
    groups.append({"words": ["mouse mice"], "features": {"kind": "small"}})
    paradigms = contrast("the {N animal num=X} .", "the {N num=!X} .")
    grammar = load_grammar(write(tmp_path, nouns(groups=groups), paradigms))
    (pair,) = grammar.pairs(1, seed=0).itertuples()
    assert {pair.good, pair.bad} == {"the cow .", "the cows ."}
    with pytest.raises(InputError, match="pairs asked for, only 1 distinct"):
        grammar.pairs(10**15, seed=0)


def test_a_task_named_twice_is_drawn_once():
    assert len(GRAMMAR.pairs(2, 0, ["agreement_pp", "agreement_pp"])) == 2
    with pytest.raises(InputError, match="no task is named"):
        GRAMMAR.pairs(2, 0, [])
    with pytest.raises(InputError, match="n should be at least 0, not -1"):
        GRAMMAR.corpus(-1, 0)


SLOTS = ["{N animal num=X}", "{V? verb num=!X}", "{M noun age=Y num=X}", "{N noun num=pl}"]
PIECES = [*SLOTS, "{V verb num=X}", "{N num=sg}", "{N}", "{V}", "the", "é", "{", "}", "{?}", ". ?"]


@given(st.lists(st.sampled_from(PIECES), max_size=6), st.sampled_from([" ", ""]))
@settings(max_examples=100)
def test_any_template_works_or_is_refused(tmp_path_factory, pieces, gap):
    folder = tmp_path_factory.mktemp("grammar")
    text = gap.join(pieces) + " ."
    write(folder, corpus=({"name": "any", "text": text},))
    try:
        sentences = load_grammar(folder).corpus(20, seed=0, without=["toy"])
    except InputError as error:
        sentences = [str(error)]
    form = rf"([a-z]+ )*[.?]|{re.escape(str(folder / 'corpus.yml'))}: (?s:.)+"
    assert all(re.fullmatch(form, sentence) for sentence in sentences)


# ------------------------------------------------------------------- halves of the lexicon, demands


def open_words(pairs):
    return {w for text in (*pairs.good, *pairs.bad) for w in text.split()} & HALVED


HALVED = {
    word
    for _, content in yaml.safe_load(data_path("grammar", "lexicon.yml").read_text())[
        "categories"
    ].items()
    for group in content["groups"]
    if len(group["words"]) >= 4
    for entry in group["words"]
    for word in entry.split()
}


def test_halves_of_the_lexicon_share_no_open_word():
    first, second = (GRAMMAR.pairs(80, seed=0, lexicon=half) for half in ("first", "second"))
    assert open_words(first).isdisjoint(open_words(second))
    for task in TASKS.index:
        a, b = (pairs[pairs.task == task] for pairs in (first, second))
        assert len(open_words(a)) > 5 < len(open_words(b))
        closed = [{w for line in x.good for w in line.split()} - HALVED for x in (a, b)]
        assert closed[0] == closed[1], task
        numbers = {*a.pair_id}, {*b.pair_id}, {*PAIRS.pair_id}
        assert len(set.union(*numbers)) == sum(map(len, numbers))
        items = {*a["item"]}, {*b["item"]}, {*PAIRS["item"]}
        assert len(set.union(*items)) == sum(map(len, items))
    with pytest.raises(InputError, match="lexicon is one of all, first, second, not 'third'"):
        GRAMMAR.pairs(1, seed=0, lexicon="third")


def test_a_template_that_half_the_words_cannot_fill(tmp_path):
    words = [f"{letter} {letter}s" for letter in "abcd"]
    several = "the {A noun num=sg} the {B noun num=sg} the {C noun num=sg} "
    paradigms = (PARADIGM | {"contrasts": [{"good": several + "x .", "bad": several + "y ."}]},)
    paradigms[0]["contrasts"][0]["bad"] = "the {A} the {B} the {C} y ."
    grammar = load_grammar(
        write(tmp_path, nouns(groups=[{"words": words, "features": {"kind": "small"}}]), paradigms)
    )
    assert len(grammar.pairs(24, seed=0)) == 24
    with pytest.raises(InputError, match="second half of the words: 2 where 3 are needed of a, b"):
        grammar.pairs(1, seed=0, lexicon="second")


def test_halves_are_alike_in_frequency():
    counts = Counter(word for line in CORPUS for word in line.split())
    for half in ("first", "second"):
        words = open_words(GRAMMAR.pairs(80, seed=0, lexicon=half))
        share = sum(counts[word] for word in words) / sum(counts[word] for word in HALVED)
        assert 0.3 < share < 0.7, half


# ----------------------------------------------------------- a second text, a paradigm of one's own


def test_other_text_has_other_constructions_in_known_words():
    other = GRAMMAR.other_text(3000, seed=0)
    assert GRAMMAR.other_text(100, seed=0) == other[:100] != GRAMMAR.other_text(100, seed=1)
    assert len(set(map(shape, other)) - set(map(shape, CORPUS))) >= 12
    assert set(map(shape, other)).isdisjoint(map(shape, CORPUS))
    assert not any(name for line in other for name in derivations(line))
    assert {w for line in other for w in line.split()} <= {
        w for line in CORPUS for w in line.split()
    }
    assert set(GRAMMAR.other_text(100, seed=0, exclude=other[:50])).isdisjoint(other[:50])
    names = yaml.safe_load(data_path("grammar", "other_text.yml").read_text(encoding="utf-8"))
    assert len(names) >= 12
    with pytest.raises(InputError, match="other_passive: no such construction in the corpus"):
        GRAMMAR.corpus(1, seed=0, without=["other_passive"])


MINE = """
- task: agreement_my_own
  phenomenon: subject_verb_agreement
  field: morphology
  rule: verb agrees with its subject
  frame: tomorrow
  family: verb_number
  demands: verb_number
  example: the teacher laughs tomorrow . / *the teacher laugh tomorrow .
  contrasts:
    - good: the {N person num=X} {V acts num=X} tomorrow .
      bad: the {N} {V num=!X} tomorrow .
"""


def test_a_paradigm_can_be_added(tmp_path):
    folder = Path(shutil.copytree(data_path("grammar"), tmp_path / "grammar"))
    with (folder / "paradigms.yml").open("a", encoding="utf-8") as file:
        file.write(MINE)
    grammar = load_grammar(folder)
    pairs = grammar.pairs(100, seed=0, tasks=["agreement_my_own"])
    assert len(pairs) == 100
    assert pairs.good.str.fullmatch(r"the [a-z]+ [a-z]+ tomorrow \.").all()
    lines = grammar.corpus(10_000, seed=0, exclude=set(pairs.good))
    mine = [line for line in lines if "tomorrow" in line]
    assert 50 < len(mine) < 400
    assert set(mine).isdisjoint([*pairs.good, *pairs.bad])
    assert set(grammar.vocabulary()) - set(GRAMMAR.vocabulary()) == {"tomorrow"}
    assert grammar.pairs(9, seed=0, tasks=["gap_pp"]).equals(GRAMMAR.pairs(9, 0, ["gap_pp"]))


def test_pairs_of_a_copied_language_by_the_command(tmp_path):
    from taskspace_utils import cli, read_pairs

    folder = Path(shutil.copytree(data_path("grammar"), tmp_path / "grammar"))
    with (folder / "paradigms.yml").open("a", encoding="utf-8") as file:
        file.write(MINE)
    command = ["generate", "--out", str(tmp_path / "mine.jsonl"), "--pairs-per-task", "8"]
    command += ["--tasks", "agreement_my_own"]
    assert cli.main(command) == 2
    assert cli.main([*command, "--grammar", str(folder)]) == 0
    pairs = read_pairs(tmp_path / "mine.jsonl")
    assert len(pairs) == 8
    assert pairs["good"].str.endswith("tomorrow .").all()
