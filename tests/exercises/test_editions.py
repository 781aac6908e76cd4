"""One solved chapter, two editions: nothing of the solutions in the one, all in the other."""

from __future__ import annotations

import re

import pytest

from taskspace_utils.publishing import chapters, editions
from taskspace_utils.store import InputError

CHAPTER = '''---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{exercise} To be coded
:label: ex-coded
*(★☆☆ · 5 minutes · after it you can score)*
Write `bigram_margin(table, good, bad)`.
```

```{code-cell} ipython3
---
mystnb:
  code_prompt_show: A solution
tags: [exercise, hide-input]
---
import math

def bigram_margin(table, good, bad):
    """The margin."""
    # SOLUTION
    secret = math.pi
    return secret
    # END
```

```{code-cell} ipython3
from taskspace_utils import exercises

exercises.check("bigram-margin", bigram_margin)
```

```{code-cell} ipython3
found = bigram_margin({}, "a", "b")
```

```{code-cell} ipython3
twice = 2 * found
```

```{code-cell} ipython3
math.sqrt(4)
```

```{exercise} To be thought about
:label: ex-thought
*(★☆☆ · 5 minutes · after it you can think)*
Why?
```

````{solution} ex-thought
:class: dropdown
Because of this:

```python
secret = 2
```
````

:::{solution} ex-thought
A second secret.
:::

Some last words.
'''


@pytest.fixture
def chapter(tmp_path):
    path = tmp_path / "01_one.md"
    path.write_text(CHAPTER, encoding="utf-8")
    return path


def text_of(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def test_the_students_edition_has_a_stub_and_no_solution(chapter):
    notebook = editions.student(chapter)
    text = text_of(notebook)
    assert "secret" not in text
    assert "solution" not in text.lower()
    assert "Some last words." in text
    assert "To be thought about" in text
    (cell,) = [c for c in notebook.cells if "exercise" in c.metadata.get("tags", [])]
    assert cell.source == (
        "import math\n\ndef bigram_margin(table, good, bad):\n"
        '    """The margin."""\n    raise NotImplementedError("write the body of bigram_margin")'
    )
    assert not [c for c in notebook.cells if "hide-input" in str(c.metadata)]
    assert not [c for c in notebook.cells if "code_prompt_show" in str(c.metadata)]


def test_what_uses_an_unwritten_function_may_fail_and_the_notebook_runs_on(chapter):
    cells = [c for c in editions.student(chapter).cells if c.cell_type == "code"]
    may_fail = ["raises-exception" in c.metadata.get("tags", []) for c in cells]
    # the stub is only defined, and its check never raises; a value that depends on it is missing
    assert may_fail == [False, False, True, True, False]


def test_the_instructors_edition_has_everything_open_and_what_the_check_looks_at(chapter):
    text = text_of(editions.instructor(chapter))
    assert "secret = math.pi" in text
    assert "secret = 2" in text
    assert "A second secret." in text
    assert "dropdown" not in text
    assert "1. a pair whose second word differs" in text
    assert "return sum(good) / len(good) - sum(bad) / len(bad)" in text  # a wrong answer's code
    assert "> the first word is left out" in text
    assert "@mistake" not in text


def test_coded_exercises_are_read_with_their_titles(chapter):
    (found,) = editions.coded(chapter)
    assert found[:3] == (
        "bigram-margin",
        "To be coded",
        "*(★☆☆ · 5 minutes · after it you can score)*\nWrite `bigram_margin(table, good, bad)`.",
    )
    assert "secret" in found.solved
    assert "secret" not in found.stub
    assert found.check.endswith('exercises.check("bigram-margin", bigram_margin)')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    # END\n", "", "holds one `# SOLUTION` … `# END` or more"),
        ("    # SOLUTION\n", "", "`# END` stands alone"),
        ("    # END\n", "    # SOLUTION\n", "`# SOLUTION` stands alone"),
        ("exercises.check(", "print(", "its check after"),
        ("{exercise}", "{note}", "comes before it"),
    ],
)
def test_a_faulty_exercise_is_named(chapter, old, new, message):
    chapter.write_text(CHAPTER.replace(old, new), encoding="utf-8")
    with pytest.raises(
        InputError, match=f"01_one.md, the exercise that begins `import math`.*{message}"
    ):
        editions.coded(chapter)


EVERY = chapters.chapters()


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
def test_no_solution_of_the_book_reaches_a_student(path):
    text = path.read_text(encoding="utf-8")
    notebook = editions.student(path)
    given = text_of(notebook)
    assert "{solution" not in given  # nor the form with a start and an end
    assert "# SOLUTION" not in given
    for solution in editions.directives(text, "solution"):
        lines = [line for line in solution["body"].splitlines() if len(line) > 40]
        assert not [line for line in lines if line in given]
    for exercise in editions.coded(path):
        own = re.search(r"# SOLUTION\n(.*?)# END", exercise.solved, re.DOTALL)[1]
        assert not [line for line in own.splitlines() if len(line) > 30 and line in given]


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
def test_every_exercise_says_how_hard_how_long_and_what_for(path):
    text = path.read_text(encoding="utf-8")
    found = editions.directives(text, "exercise")
    assert found or "quiz(" in text, f"{path.name} has no exercise"
    first = r"\*\((★☆☆|★★☆|★★★) · \d+ minutes\b[^·]* · after it you can .+\)\*\n"
    bad = [e["title"] for e in found if not re.match(rf"(:\w+:.*\n)+\n?{first}", e["body"])]
    assert not bad
    labels = re.findall(r"\{exercise\}.*\n:label: (\S+)", text)
    answered = {e["title"] for e in editions.directives(text, "solution")}
    checked = {e.title for e in editions.coded(path)}
    open_ones = {e["title"] for e, label in zip(found, labels) if label not in answered}
    assert open_ones <= checked  # each has a model answer, or checks itself


def test_the_book_has_enough_of_them():
    texts = [path.read_text(encoding="utf-8") for path in EVERY]
    assert sum(len(editions.directives(text, "exercise")) for text in texts) >= 30
    assert sum(len(editions.coded(path)) for path in EVERY) >= 15
