"""A student's function under watch: whatever goes wrong with it becomes a kind sentence.

Also what stages compare with: a right value, and the values that known mistakes would give.
"""

from __future__ import annotations

import inspect
import math
import reprlib
import warnings
from collections.abc import Callable, Mapping
from numbers import Number

import numpy as np


class Hint(Exception):
    """What a stage tells the student: the likely mistake, and where to look."""


_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother = 60, 60


def short(value) -> str:
    """A value in a few words, whatever it is: `2.5`, `a list of 3`, `a DataFrame of shape …`."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{kind} of shape {tuple(shape)}"
    return " ".join(_SHORT.repr(value).split())


class Watched:
    """A function that remembers its last call, so that a hint can name it."""

    def __init__(self, answer: Callable) -> None:
        self.answer = answer
        self.name = getattr(answer, "__name__", "the answer")
        self.call = self.name
        self.inside = False

    def __call__(self, *arguments, **named):
        """Call the answer.

        Raises:
            Hint: it doesn't take these arguments, isn't written yet, or returns nothing.
        """
        parts = [*map(short, arguments), *(f"{n}={short(v)}" for n, v in named.items())]
        self.call = f"{self.name}({', '.join(parts)})"
        try:
            inspect.signature(self.answer).bind(*arguments, **named)
        except TypeError:
            raise Hint(
                f"`{self.name}` takes other arguments than those it is called with, "
                f"`{self.call}`: keep the first line as it was given."
            ) from None
        except ValueError:  # a function written in C has no signature to read
            pass
        self.inside = True
        found = self.answer(*arguments, **named)
        self.inside = False
        if found is None:
            raise Hint(f"`{self.call}` gave nothing back: does it end with `return`?")
        return found

    def try_stage(self, test: Callable) -> None:
        """Run a stage; every exception becomes a hint that names the call.

        Warnings are silenced: what leads to them, such as log(0), must show in what comes back,
        and a student sees the same hint wherever warnings are errors and where they aren't.
        """
        self.inside = False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                test(self)
        except Hint:
            raise
        except NotImplementedError as error:
            text = str(error) or "there is no answer yet"
            raise Hint(f"nothing to check so far: {text}.") from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            if self.inside:
                raise Hint(f"`{self.call}` stopped with {what}") from error
            raise Hint(
                f"what `{self.call}` gave back could not be used ({what}): "
                "is it of the kind that was asked for?"
            ) from error


def number(value) -> float:
    """A value as a float.

    Raises:
        Hint: it is no single number, or none that is finite.
    """
    if isinstance(value, bool | np.bool_ | str) or np.size(value) != 1:
        raise Hint(f"a single number is asked for, and it gave {short(value)}.")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise Hint(f"a single number is asked for, and it gave {short(value)}.") from None
    if not math.isfinite(found):
        raise Hint(f"it gave {found}, which is no finite number: a division by 0, or log(0)?")
    return found


def compare(found, right, mistakes: Mapping[str, object] | None = None, what: str = "it") -> None:
    """Hold a value against the right one, and against those that known mistakes give.

    Args:
        found: what the answer gave; numbers may differ by rounding.
        right: what it should be.
        mistakes: hint to value, for each mistake that gives another value than the right one.
        what: name of the value, for the sentence that is said when no mistake is recognised.

    Raises:
        Hint: of the mistake whose value was found, else the right value beside the one found.
    """
    if same(found, right):
        return
    for hint, value in (mistakes or {}).items():
        if same(found, value):
            raise Hint(hint)
    raise Hint(f"{what} should be {_say(right)}, and is {_say(found)}.")


def same(one, other) -> bool:
    """Are two values the same, numbers up to rounding (1e-6 of their size) and NaN with NaN?"""
    try:
        a, b = np.asarray(one), np.asarray(other)
    except ValueError:  # lists of unequal lengths
        return _as_lists(one) == _as_lists(other)
    if a.dtype.kind not in "biuf" or b.dtype.kind not in "biuf":
        return _as_lists(one) == _as_lists(other)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True))


def _as_lists(value):
    """Tuples and arrays as lists, at any depth: how a student groups things is no mistake."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_as_lists(v) for v in value] if isinstance(value, list | tuple) else value


def _say(value) -> str:
    if isinstance(value, Number) and not isinstance(value, bool):
        return f"{float(value):.4g}"
    return short(value)
