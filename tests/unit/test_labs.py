"""Labs are made of the chapters' exercises, and each of these stands alone."""

from __future__ import annotations

import ast

import pytest

from taskspace_utils import exercises, store
from taskspace_utils.publishing import labs

CHAPTER = """# One

```{{code-cell}} ipython3
import math as m
from collections import Counter
table = 1
```

```{{exercise}} A title
:label: ex-a
*(★☆☆ · 10 minutes · after it you can do it)*
Write it, as {{ref}}`there` says.
```

```{{code-cell}} ipython3
:tags: [exercise, hide-input]

def double(x):
    # SOLUTION
    return {body}
    # END
```

```{{code-cell}} ipython3
exercises.check("doubled", double)
```
"""
LAB = """lab_1:
  title: A lab
  exercises: [{name}]
  predictions:
    first: What?
"""


@pytest.fixture
def project(tmp_path):
    def make(body="m.floor(sum(Counter([x] * 2).values()))", name="doubled"):
        store.write_atomic(tmp_path / "notebooks" / "01_one.md", CHAPTER.format(body=body))
        store.write_atomic(tmp_path / "data/course/labs.yml", LAB.format(name=name))
        return tmp_path

    return make


def test_a_lab_has_statement_stub_check_and_scores_and_imports_what_it_uses(project):
    root = project()
    (lab,) = labs.labs(root)
    sources = [cell.source for cell in labs.notebook(lab, root=root).cells]
    assert sources[1].splitlines() == [
        "from collections import Counter",
        "from taskspace_utils import exercises",
        "from taskspace_utils.exercises.predictions import write_down",
        "import math as m",
    ]
    assert "`first`: What?" in sources[2]
    assert sources[3] == 'write_down(\n    "predictions-lab_1.json",\n    first="",\n)'
    assert "*there*" in sources[4]
    assert "raise NotImplementedError" in sources[5]
    assert "Counter" not in sources[5]
    assert sources[6] == 'exercises.check("doubled", double)'
    assert sources[-1] == "exercises.write_scores(\"scores-lab_1.json\", ['doubled'])"
    solved = [cell.source for cell in labs.notebook(lab, solved=True, root=root).cells]
    assert "Counter([x] * 2)" in solved[5]
    assert 'first="written by the instructor"' in solved[3]
    assert labs.minutes(lab, root) == 10


def test_an_exercise_that_needs_its_chapter_is_refused(project):
    root = project(body="x * table")
    (lab,) = labs.labs(root)
    with pytest.raises(store.InputError, match="'doubled' uses 'table', which only its chapter"):
        labs.notebook(lab, root=root)


def test_a_lab_of_an_exercise_that_is_not_there_says_what_there_is(project):
    with pytest.raises(store.InputError, match="lab_1 wants 'tripled'; there are doubled"):
        labs.labs(project(name="tripled"))


def test_all_coded_exercises_of_the_book_are_in_exactly_one_lab():
    found = [name for lab in labs.labs() for name in lab.exercises]
    assert sorted(found) == sorted(exercises.names())
    for lab in labs.labs():
        for cell in labs.notebook(lab).cells:
            if cell.cell_type == "code":
                ast.parse(cell.source)
                assert "# SOLUTION" not in cell.source
