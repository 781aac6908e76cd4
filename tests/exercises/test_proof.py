"""Every coded exercise: its solution passes, its stub doesn't, each known mistake gets its hint."""

from __future__ import annotations

import pytest

from taskspace_utils import exercises
from taskspace_utils.publishing import chapters, editions

CODED = {c.name: (path, c) for path in chapters.chapters() for c in editions.coded(path)}


def written(code: str):
    """The function that a cell defines last, run by itself as in an assignment."""
    space: dict = {}
    exec(compile(code, "the cell", "exec"), space)
    return next(v for v in reversed(space.values()) if getattr(v, "__code__", None))


def test_chapters_and_stages_know_the_same_exercises():
    assert sorted(CODED) == sorted(exercises.names())


@pytest.mark.parametrize("name", CODED)
def test_the_solution_in_the_chapter_passes(name):
    report = exercises.trial(name, written(CODED[name][1].solved))
    assert report.hint == ""
    assert report.passed == len(report.stages) >= 2


@pytest.mark.parametrize("name", CODED)
def test_the_stub_fails_kindly(name):
    report = exercises.trial(name, written(CODED[name][1].stub))
    assert report.passed == 0
    assert report.hint.startswith("nothing to check so far: write the body of ")


@pytest.mark.parametrize("name", CODED)
def test_at_least_three_plausible_mistakes_get_each_its_own_hint(name):
    known = exercises.mistakes(name)
    assert len(known) >= 3
    hints = [exercises.trial(name, wrong.answer).hint for wrong in known]
    for wrong in known:
        told = [other.says for other, hint in zip(known, hints) if wrong.hint in hint]
        assert told == [wrong.says], f"{wrong.hint!r} is said to {told}, of {hints}"


@pytest.mark.parametrize("name", CODED)
def test_every_stage_stops_somebody(name):
    stopped = {exercises.trial(name, w.answer).passed for w in exercises.mistakes(name)}
    assert stopped == set(range(len(exercises.stages(name))))


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("value", [None, 3.5, "text", [1, 2], dict])
def test_what_is_no_function_is_told_so(name, value):
    report = exercises.trial(name, value)
    assert report.passed == 0
    assert "the function itself" in report.hint


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("value", [None, "text", object(), [], {"a": 1}, float("nan")])
def test_a_function_that_gives_something_else_back_gets_a_sentence(name, value):
    report = exercises.trial(name, lambda *given, **named: value)
    assert report.passed < len(report.stages)
    assert len(report.hint) > 20
