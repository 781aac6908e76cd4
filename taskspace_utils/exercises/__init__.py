"""Exercises that check themselves: stages from shape to subtle, each naming the likely mistake.

A module a chapter registers stages (`@stage`), in the order in which they are tried, and the
mistakes that they are there for (`@mistake`), which tests and the instructor's edition read.
`check` runs the stages on a student's function and remembers how far it came; `write_scores`
writes that down. What a stage expects comes from another computation than the chapter's own
solution: numbers worked by hand, or a slow and plain loop. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from taskspace_utils import store
from taskspace_utils.exercises.watched import Hint, Watched, compare, number, short
from taskspace_utils.store import InputError

__all__ = [
    "Hint",
    "Mistake",
    "Report",
    "check",
    "compare",
    "mistake",
    "mistakes",
    "names",
    "number",
    "short",
    "stage",
    "stages",
    "trial",
    "write_scores",
]


class Mistake(NamedTuple):
    """A plausible wrong answer: what it does, the hint that it gets (a part of it), its code."""

    says: str
    hint: str
    answer: Callable


_STAGES: dict[str, dict[str, Callable]] = {}
_MISTAKES: dict[str, dict[str, Mistake]] = {}
_CHECKED: dict[str, Report] = {}


# ------------------------------------------------------------------------------------ registration


def stage(exercise: str, looks_at: str) -> Callable:
    """Register a function as the next stage of an exercise.

    It takes the answer, calls it, and raises `Hint` if something is wrong.

    Args:
        exercise: name of the exercise, as in `check`.
        looks_at: what the stage looks at, as one line for the student.
    """

    def register(function: Callable) -> Callable:
        _STAGES.setdefault(exercise, {})[looks_at] = function
        return function

    return register


def mistake(exercise: str, hint: str) -> Callable:
    """Register a function as a plausible wrong answer; its docstring says what it does wrong.

    Args:
        exercise: name of the exercise.
        hint: a part of the hint that this answer must get, and no other mistake of the exercise.
    """

    def register(function: Callable) -> Callable:
        says = inspect.cleandoc(function.__doc__).splitlines()[0]
        _MISTAKES.setdefault(exercise, {})[hint] = Mistake(says, hint, function)
        return function

    return register


def _load() -> None:
    """Import the modules of all chapters, once: names of exercises are known only to them."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


def names() -> list[str]:
    """The names of all exercises with stages."""
    _load()
    return list(_STAGES)


def _known(exercise: str) -> str:
    if exercise not in names():
        close = difflib.get_close_matches(str(exercise), _STAGES, n=1)
        asked = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(f"no exercise {exercise!r}{asked}; there are {', '.join(sorted(_STAGES))}")
    return exercise


def stages(exercise: str) -> dict[str, Callable]:
    """The stages of an exercise in their order: what each looks at, and its function."""
    return dict(_STAGES[_known(exercise)])


def mistakes(exercise: str) -> list[Mistake]:
    """The plausible wrong answers that an exercise knows."""
    return list(_MISTAKES.get(_known(exercise), {}).values())


# ----------------------------------------------------------------------------------------- checking


@dataclass(frozen=True)
class Report:
    """How far an answer came.

    Attributes:
        exercise: its name.
        stages: what each stage looks at.
        passed: the number of stages that were passed, in their order.
        hint: what to look at next; "" when all was passed.
    """

    exercise: str
    stages: tuple[str, ...]
    passed: int
    hint: str = ""

    def __repr__(self) -> str:
        lines = [f"{self.exercise}: {self.passed} of {len(self.stages)} stages passed"]
        for place, looks_at in enumerate(self.stages):
            done = place < self.passed
            sign = "✓" if done else "✗" if place == self.passed else "·"
            lines.append(f"  {sign} {looks_at}")
            if place == self.passed:
                lines.append(f"    Hint: {self.hint}")
        return "\n".join(lines)


def check(exercise: str, answer: Callable) -> Report:
    """Try an answer, stage by stage, up to the first that it doesn't pass.

    Args:
        exercise: name of the exercise.
        answer: the function that was asked for, not its result.

    Returns:
        A report, a line a stage. It is remembered for `write_scores`; a later one replaces it.

    Raises:
        InputError: there is no such exercise.
    """
    _CHECKED[exercise] = report = trial(exercise, answer)
    return report


def trial(exercise: str, answer: Callable) -> Report:
    """The same as `check`, but it isn't remembered: for tests and for the instructor's edition."""
    tests = stages(exercise)
    passed, hint = 0, ""
    try:
        if isinstance(answer, type) or not callable(answer):
            raise Hint(
                "give `check` the function itself, by its name and without calling it: "
                f"`check({exercise!r}, my_function)`. It was given {short(answer)}."
            )
        watched = Watched(answer)
        for test in tests.values():
            watched.try_stage(test)
            passed += 1
    except Hint as found:
        hint = str(found)
    return Report(exercise, tuple(tests), passed, hint)


def write_scores(path: str | Path, exercises: Iterable[str] | None = None) -> Path:
    """Write how far each answer came as JSON: {exercise: {passed, of, hint}}.

    Args:
        path: the file.
        exercises: which to write, also if they were never checked; all checked ones by default.

    Raises:
        InputError: one of the names is no exercise.
    """
    scores: dict[str, Mapping] = {}
    for name in _CHECKED if exercises is None else exercises:
        tests = stages(name)
        report = _CHECKED.get(name) or Report(name, tuple(tests), 0, "it was never checked")
        scores[name] = {"passed": report.passed, "of": len(report.stages), "hint": report.hint}
    text = json.dumps(scores, indent=1, ensure_ascii=False)
    return store.write_atomic(Path(path), text + "\n")
