"""Chapters' parameters: read from their text, checked by name and type before anything runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskspace_utils import store
from taskspace_utils.publishing import chapters

TEXT = """# Title

```{{code-cell}} ipython3
:tags: [parameters]

{lines}
```
"""
LINES = """profile: str = "laptop"  # which grid
k: float = 0.01  # share of parameters
steps: tuple[int, ...] = (100, 200)  # of pre-training
names: list[str] = ["a"]  # of tasks
n: int = 3  # how many
strict: bool = False  # refuse faults"""


def chapter(folder, lines: str):
    return store.write_atomic(folder / "03_some.md", TEXT.format(lines=lines))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return chapter(tmp_path_factory.mktemp("chapter"), LINES)


def test_parameters_are_read_from_the_text(path):
    found = chapters.chapter_parameters(path)
    assert found["k"] == ("float", 0.01, "share of parameters")
    assert found["steps"] == ("tuple[int, ...]", (100, 200), "of pre-training")


def test_texts_from_the_command_line_become_values(path):
    given = {"k": "1e-3", "steps": "400, 800", "names": "x,y", "n": "7", "strict": "true"}
    expected = {"k": 0.001, "steps": (400, 800), "names": ["x", "y"], "n": 7, "strict": True}
    assert chapters.check_parameters(path, given) == expected
    assert chapters.check_parameters(path, {"k": 1, "steps": [5]}) == {"k": 1.0, "steps": (5,)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", "much"),
        ("k", "nan"),
        ("k", True),
        ("n", 1.5),
        ("n", "1.5"),
        ("n", None),
        ("profile", 3),
        ("strict", "perhaps"),
        ("strict", 1),
        ("steps", "1,b"),
        ("steps", 5),
    ],
)
def test_a_value_of_another_type_is_refused(path, name, value):
    with pytest.raises(store.InputError, match=rf"03_some: {name} is a ") as error:
        chapters.check_parameters(path, {name: value})
    assert "n: int = 3  # how many" in str(error.value)


def test_an_unknown_name_is_refused_with_the_nearest(path):
    with pytest.raises(store.InputError, match=r"no parameter 'step' \(did you mean steps\?\)"):
        chapters.check_parameters(path, {"step": 1})


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.booleans())
def test_a_value_and_its_text_are_the_same(path, k, n, strict):
    values = {"k": k, "n": n, "strict": strict}
    assert chapters.check_parameters(path, {a: str(b) for a, b in values.items()}) == values
    assert chapters.check_parameters(path, values) == values


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("k = 0.01  # no type", "line 6: write `name: type = default  # reason`"),
        ("k: float  # no default", "line 6: write"),
        ("n: int = 1  # one\nk: float = 0.01", "line 7: k needs a reason"),
        ("k: float = 'a'  # text", "the default of k is not a float"),
        ("k: complex = 1  # unknown type", "the default of k is not a complex"),
        ("k: int = 2 + 2  # a computation", "the default of k is not a int"),
    ],
)
def test_a_parameters_cell_that_is_not_in_order_is_refused(tmp_path, lines, message):
    with pytest.raises(store.InputError, match=message):
        chapters.chapter_parameters(chapter(tmp_path, lines))


def test_a_chapter_has_one_parameters_cell(tmp_path):
    two = chapter(tmp_path, LINES)
    two.write_text(two.read_text() * 2)
    with pytest.raises(store.InputError, match="2 cells are tagged `parameters`, not one"):
        chapters.chapter_parameters(two)


@pytest.mark.parametrize("path", chapters.chapters(), ids=lambda path: path.stem)
def test_each_chapter_begins_with_its_profile(path):
    found = chapters.chapter_parameters(path)
    assert next(iter(found)) == "profile"
    assert found["profile"][:2] == ("str", "laptop")


def test_chapters_are_found_by_number_name_and_path():
    warmups, (first, *_) = chapters.chapters()[:2], chapters.chapters()[2:]
    for name in (1, "1", "01", first.stem, first.stem[3:], first):
        assert chapters.find_chapter(name) == first
    for path in warmups:
        assert path.stem.startswith("warmup_")
        assert chapters.find_chapter(path.stem) == chapters.find_chapter(path) == path
    assert chapters.find_chapter("gradients") == chapters.find_chapter(7)
    for nobody in (77, "wa", "warmup"):
        with pytest.raises(store.InputError, match=f"no chapter '{nobody}'.*; there are warmup_"):
            chapters.find_chapter(nobody)
