"""The pages of the course: minutes add up and suffice, points add up, numbers were computed."""

from __future__ import annotations

import re
import runpy
from collections import defaultdict

import pandas as pd
import pytest

from taskspace_utils import store
from taskspace_utils.publishing import chapters, labs, lesson_plans

ROOT = store.project_root()
PAGES = ROOT / "book" / "course"
ROWS = lesson_plans.plans()
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "faulty_reports.py"))


def test_the_minutes_of_each_class_add_up_to_what_its_heading_says():
    classes = defaultdict(list)
    for row in ROWS:
        classes[row.plan, row.session, row.total].append(row.minutes)
    lengths = [total for _, _, total in classes]
    assert sorted(lengths) == [90] * 7 + [120] * 2  # one class; 4 and 2 labs; 2 without computing
    for (plan, session, total), minutes in classes.items():
        assert sum(minutes) == total, (plan, session)


def test_what_runs_in_class_takes_at_most_a_third_of_its_minutes():
    run = {name for row in ROWS for name in row.runs if name.startswith("chapter")}
    assert len(run) >= 8
    shipped = lesson_plans.measured(ROOT / "nowhere")
    assert {f"chapter {name[:2]}" for name in shipped["chapter"]} >= run
    assert {chapters.find_chapter(name) for name in shipped["chapter"]}  # none was renamed
    assert lesson_plans.too_long(ROWS, shipped) == []


def test_a_plan_that_is_too_short_is_noticed():
    times = pd.DataFrame({"chapter": ["03_x", "03_x"], "profile": "p", "seconds": [100.0, 250.0]})
    row = lesson_plans.Row("plan", "Class 1", 90, 12, ("chapter 03",))
    assert lesson_plans.too_long([row], times) == [
        "plan, Class 1: 12 minutes for chapter 03, which ran 4.2"
    ]
    assert lesson_plans.too_long([row._replace(minutes=13)], times) == []
    assert lesson_plans.too_long([row._replace(runs=())], times) == []


def test_a_lab_has_the_minutes_that_its_exercises_say_they_take():
    by_name = {lab.name.replace("_", " "): lab for lab in labs.labs()}
    rows = [row for row in ROWS for name in row.runs if name in by_name]
    assert [row.runs for row in rows] == [("lab 1",), ("lab 2",)]
    for row in rows:
        lab = by_name[row.runs[0]]
        assert len(lab.exercises) >= 3
        assert labs.minutes(lab) <= row.minutes


@pytest.mark.parametrize("session", ["Class 2", "Class 3", "Class 4", "Lab 1", "Lab 2"])
def test_predictions_are_written_before_anything_runs(session):
    text = (PAGES / "lesson_weeks.md").read_text(encoding="utf-8")
    part = text.split(f"## {session}")[1].split("\n## ")[0]
    rows = [row for row in part.splitlines() if re.match(r"\| \d+ \|", row)]
    assert re.search(r"[Ss]heet|[Pp]rediction|[Ww]ritten down", rows[0]), rows[0]
    assert rows[0].endswith("| – |")


def test_points_of_each_rubric_add_up_and_no_row_asks_which_way_it_came_out():
    text = (PAGES / "rubric.md").read_text(encoding="utf-8")
    tables = re.findall(r"\| what \|.*?\n\|[-| ]+\n((?:\|.*\n)+)", text)
    assert len(tables) == 3
    for table in tables:
        assert sum(int(row.split("|")[-2]) for row in table.splitlines()) == 100
        assert not re.search(r"significan|positive result|confirm|p <|finds? (an|a large)", table)
    assert "A null result with full marks" in text


def test_six_briefs_each_say_what_a_good_null_would_be():
    text = (PAGES / "projects.md").read_text(encoding="utf-8")
    briefs = re.split(r"^## \d\. ", text, flags=re.MULTILINE)[1:]
    assert len(briefs) == 6
    for brief in briefs:
        for part in ("Question", "Materials", "Steps", "Rival", "A null worth having", "Trap"):
            assert f"**{part}.**" in brief, brief.splitlines()[0]


# -------------------------------------------------------------------------------------- the reports


@pytest.fixture(scope="module")
def known():
    return SCRIPT["numbers"]()


def test_reports_and_key_have_the_numbers_of_the_shipped_tables(known):
    made = SCRIPT["targets"]()
    assert len(made) == 5
    for template, target in made.items():
        text = SCRIPT["filled"](template.read_text(encoding="utf-8"), known)
        assert target.read_text(encoding="utf-8") == text, "run scripts/faulty_reports.py"
        assert "<<" not in text
    # by another way: the plain mean over both directions, and one cell
    cells = pd.read_csv(ROOT / "data" / "reference" / "blimp-8M" / "gradient.csv.xz")
    group = pd.read_csv(ROOT / "data" / "hypotheses" / "blimp.csv").set_index("task")["phenomenon"]
    some = cells[(cells["step"] == 1600) & (cells["a"] != cells["b"])]
    kin = some["a"].map(group) == some["b"].map(group)
    assert known["a_within_1600"] == pytest.approx(some.loc[kin, "cosine"].mean(), abs=1e-9)
    pair = some.set_index(["a", "b"])["cosine"]["wh_vs_that_no_gap", "wh_vs_that_with_gap"]
    assert known["b_pair_now"] == pytest.approx(pair, abs=5e-3)


def test_no_result_is_typed_into_a_report():
    for template in SCRIPT["targets"]():
        text = re.sub(r"<<.*?>>", "", template.read_text(encoding="utf-8"))
        text = text.replace("between −0.1 and 0.1", "")  # what is counted as 0
        assert not re.search(r"\d\.\d", text), template.name


def test_the_planted_faults_are_there(known):
    """What the key says of each report holds in the numbers, so the faults are real."""
    n = known
    # 1: raw likeness grows, reliability grows, and what can be corrected doesn't grow
    assert n["a_within_1600"] > 2 * n["a_within_0"]
    assert n["a_reliability_1600"] > n["a_reliability_0"] + 0.2
    assert abs(n["a_corrected_both_1600"] - n["a_corrected_both_400"]) < 0.02
    assert abs(n["a_corrected_all_1600"] - n["a_corrected_all_0"]) < 0.02
    assert n["a_beyond_1600_low"] < 0 < n["a_beyond_1600_high"]
    # 2: words say so, and so does a model that has learnt nothing
    assert n["b_words_max"] < -0.9
    assert n["b_start_mean"] < n["b_now_mean"] < -0.5
    assert n["b_acc_wh_vs_that_with_gap"] < 0.1 < 0.9 < n["b_acc_wh_vs_that_no_gap"]
    # 3: the second witness adds nothing, and words take a good part
    assert n["c_residual_alone_low"] < 0 < n["c_residual_alone_high"]
    assert n["c_gradient_mixed"] == n["c_transfer_mixed"] == 0
    assert 0 < n["c_gradient_words_low"] < n["c_gradient_words"] < 0.7 * n["c_gradient_alone"]


def test_the_key_is_on_no_page_of_the_book():
    key = (ROOT / "data/course/instructor" / "key.md").read_text(encoding="utf-8")
    said = [line for line in key.splitlines() if len(line) > 60 and not line.startswith("|")]
    assert len(said) > 20
    for page in (ROOT / "book").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert not [line for line in said if line in text], page.name
