"""The self-checks themselves: stages in order, kind sentences, a memory, a score file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import exercises
from taskspace_utils.exercises import Hint, compare, number, short
from taskspace_utils.store import InputError


@pytest.fixture
def doubling(monkeypatch):
    """An exercise that asks for a function that doubles: three stages, tried in their order."""
    monkeypatch.setattr(exercises, "_STAGES", {})
    monkeypatch.setattr(exercises, "_CHECKED", {})
    monkeypatch.setattr(exercises, "_load", lambda: None)
    tried = []

    @exercises.stage("doubling", "a number comes back")
    def shape(answer):
        tried.append("shape")
        number(answer(1))

    @exercises.stage("doubling", "it is twice as large")
    def core(answer):
        tried.append("core")
        compare(answer(3), 6, {"that is the square": 9}, "the double of 3")

    @exercises.stage("doubling", "also of what is negative")
    def subtle(answer):
        tried.append("subtle")
        compare(answer(-3), -6, what="the double of −3")

    return tried


def double(x):
    return 2 * x


def test_all_stages_are_tried_in_their_order_and_reported(doubling):
    report = exercises.check("doubling", double)
    assert doubling == ["shape", "core", "subtle"]
    assert repr(report).splitlines() == [
        "doubling: 3 of 3 stages passed",
        "  ✓ a number comes back",
        "  ✓ it is twice as large",
        "  ✓ also of what is negative",
    ]


def test_the_first_stage_that_is_not_passed_ends_it_with_its_hint(doubling):
    report = exercises.check("doubling", lambda x: x**2)
    assert doubling == ["shape", "core"]
    assert repr(report).splitlines() == [
        "doubling: 1 of 3 stages passed",
        "  ✓ a number comes back",
        "  ✗ it is twice as large",
        "    Hint: that is the square",
        "  · also of what is negative",
    ]


def raiser(x):
    raise ZeroDivisionError("division by zero")


def unwritten(x):
    raise NotImplementedError("write the body of double")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (raiser, "`raiser(1)` stopped with ZeroDivisionError: division by zero"),
        (unwritten, "nothing to check so far: write the body of double."),
        (lambda x: None, "gave nothing back: does it end with `return`?"),
        (lambda: 2, "takes other arguments than those it is called with, `<lambda>(1)`"),
        (lambda x: "2", "a single number is asked for, and it gave '2'"),
        (lambda x: [1, 2], "a single number is asked for, and it gave [1, 2]"),
        (lambda x: float("nan"), "it gave nan, which is no finite number"),
        (lambda x: np.log(x * 0.0), "it gave -inf, which is no finite number"),
        (lambda x: abs(2 * x), "the double of −3 should be -6, and is 6."),
        (double(3), "the function itself"),
        (None, "It was given None"),
        ("double", "`check('doubling', my_function)`"),
        (int, "the function itself"),
    ],
)
def test_whatever_goes_wrong_becomes_a_sentence_that_names_the_call(doubling, answer, hint):
    report = exercises.check("doubling", answer)
    assert report.passed < 3
    assert hint in report.hint


def test_a_result_that_a_stage_cannot_use_is_the_answers_fault(doubling):
    @exercises.stage("doubling", "it can be added to 1")
    def adds(answer):
        return answer(2)["key"]

    report = exercises.check("doubling", double)
    assert report.passed == 3
    assert "what `double(2)` gave back could not be used (TypeError" in report.hint


def test_an_unknown_exercise_is_named_with_the_nearest(doubling):
    with pytest.raises(InputError, match=r"no exercise 'dubling' .did you mean 'doubling'"):
        exercises.check("dubling", double)


def test_scores_are_of_the_last_check_and_of_what_was_never_checked(doubling, tmp_path):
    exercises.check("doubling", double)
    exercises.check("doubling", lambda x: x**2)
    exercises.trial("doubling", double)  # isn't remembered
    exercises._STAGES["other"] = {"one": double, "two": double}
    path = exercises.write_scores(tmp_path / "scores.json", ["doubling", "other"])
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "doubling": {"passed": 1, "of": 3, "hint": "that is the square"},
        "other": {"passed": 0, "of": 2, "hint": "it was never checked"},
    }
    path = exercises.write_scores(tmp_path / "scores.json")
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["doubling"]
    with pytest.raises(InputError, match="no exercise 'none'"):
        exercises.write_scores(tmp_path / "none.json", ["none"])
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    ("found", "right"),
    [
        (1 / 3, 0.33333333333),
        ([1, 2], (1, 2)),
        (np.array([[1, 2]]), [[1.0, 2.0]]),
        ([1, float("nan")], [1, np.nan]),
        ({"a", "b"}, {"b", "a"}),
        ([["a", 1], ["b"]], (("a", 1), ("b",))),
        (pd.Series([1, 2]), [1, 2]),
        ("one", "one"),
    ],
)
def test_values_are_the_same_up_to_rounding_and_to_how_they_are_grouped(found, right):
    compare(found, right)


@pytest.mark.parametrize(
    ("found", "right"),
    [(1, 2), ([1, 2], [2, 1]), ([1], 1), ("1", 1), (True, {1}), ([1, 2, 3], [1, 2]), (None, 0),
     (["a"], ["b"]), ({"a"}, ["a"])],
)  # fmt: skip
def test_values_that_differ_are_told_apart(found, right):
    with pytest.raises(Hint, match=r"it should be .*, and is"):
        compare(found, right)


def test_large_values_are_named_by_their_shape():
    assert short(pd.DataFrame({"a": [1, 2]})) == "DataFrame of shape (2, 1)"
    assert len(short("x" * 500)) < 70
    assert len(short({"key": list(range(500))})) < 70
    assert short("two\nlines") == "'two\\nlines'"


def test_self_checks_import_no_torch():
    code = (
        "import sys; from taskspace_utils import exercises; exercises.names()\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
