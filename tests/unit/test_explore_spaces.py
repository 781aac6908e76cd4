"""Explorers of spaces, groups and verdicts: what they carry, refuse and compute, and as widgets."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib import image

from taskspace_utils import claims, explore
from taskspace_utils.store import InputError
from taskspace_utils.tables import reference_run

EVIL = "</script><img src=x onerror=alert(1)> & <b>"
PHENOMENON = pd.Series({"a one": "p", "a two": "p", "b one": EVIL, "b two": EVIL})


def square(values) -> pd.DataFrame:
    return pd.DataFrame(np.array(values, dtype=float), PHENOMENON.index, PHENOMENON.index)


SPACE = square([[1, 0.5, 0.1, 0], [0.5, 1, -0.2, 0.3], [0.1, -0.2, 1, 0.8], [0, 0.3, 0.8, 1]])
LOPSIDED = square([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, np.nan]])
PAIRS = pd.DataFrame({"task": ["a one"] * 3, "good": ["x y", "x z", EVIL], "bad": ["x v"] * 3})


def parts(html: str) -> tuple[BeautifulSoup, dict]:
    soup = BeautifulSoup(html, "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


# ---------------------------------------------------------------------------------------- the atlas


def test_a_space_travels_in_thousandths_and_by_half_where_it_is_symmetric():
    views = {("S", 8, "cosine"): SPACE, ("S", 8, "transfer"): LOPSIDED}
    soup, data = parts(explore.space(views, PHENOMENON, PAIRS, n=2))
    names = sorted(PHENOMENON.index, key=lambda task: (PHENOMENON[task], task))
    assert data["tasks"] == names
    upper = SPACE.loc[names, names].to_numpy()[np.triu_indices(4)]
    assert data["cells"][0] == [round(1000 * x) for x in upper]
    whole = LOPSIDED.loc[names, names].to_numpy().ravel()
    assert data["cells"][1] == [None if np.isnan(x) else round(1000 * x) for x in whole]
    assert data["maps"][1] is None
    assert [len(some) for some in data["pairs"]] == [2 * (task == "a one") for task in names]
    assert data["measures"][0][2] == 1.0
    assert soup.find_all("img") == soup.select(".still img")
    assert soup.find("b") is None


def test_the_picture_that_stands_still_has_the_colours_of_the_heat_map():
    soup, data = parts(explore.space({("S", 8, "cosine"): SPACE}, PHENOMENON))
    shown = soup.select_one(".still img")
    assert "cosine, scale S, step 8; 4 tasks by 4 tasks" in shown["alt"]
    seen = image.imread(io.BytesIO(base64.b64decode(shown["src"].split(",")[1])))
    first, size = np.round(255 * seen[..., :3]).astype(int), len(seen) // 4
    kept = iter(data["cells"][0])
    for i in range(4):
        for j in range(i, 4):
            colour = data["colours"][round(32 * (next(kept) / 1000 + 1))]
            wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
            for a, b in ((i, j), (j, i)):
                assert first[a * size, b * size] == pytest.approx(wanted, abs=8)


def test_tasks_without_a_phenomenon_stay_out_and_nothing_is_refused_by_name():
    _, data = parts(explore.space({("S", 8, "cosine"): SPACE}, PHENOMENON.drop("a two")))
    assert "a two" not in data["tasks"]
    assert data["maps"] == [None]  # three tasks make no map worth the name
    with pytest.raises(InputError, match="no space to show"):
        explore.space({}, PHENOMENON)
    with pytest.raises(InputError, match="no task of these spaces"):
        explore.space({("S", 8, "cosine"): SPACE}, pd.Series({"other": "p"}))


def test_views_are_means_over_seeds():
    class Run:
        def table(self, name):
            rows = [("S", seed, step, a, b, seed + step + 10 * (a > b))
                    for seed in (1, 3) for step in (0, 8) for a in "xy" for b in "xy"]  # fmt: skip
            return pd.DataFrame(rows, columns=["scale", "seed", "step", "a", "b", "cosine"])

    found = explore.views(Run(), ("cosine",), step=8)
    assert list(found) == [("S", 8, "cosine")]
    assert found["S", 8, "cosine"].to_numpy().tolist() == [[10, 10], [20, 10]]


def test_a_reference_of_many_tasks_stays_a_small_page():
    run = reference_run("blimp-8M")
    phenomenon = run.table("tasks").drop_duplicates("task").set_index("task")["phenomenon"]
    html = explore.space(explore.views(run, ("cosine",)), phenomenon)
    assert len(html) < 100_000
    asked = re.findall(r"https?:[^\"\s]*|import\(|fetch\(|innerHTML", html)
    assert set(asked) == {"http://www.w3.org/2000/svg"}  # a name, not an address that is visited


# ---------------------------------------------------------------------------------- groups of tasks

TASKS = [f"t{i}" for i in range(10)]
FAMILY = pd.Series([f"f{i // 2}" for i in range(10)], TASKS)


def alike(seed: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(10, 10))
    return pd.DataFrame((values + values.T) / 2, TASKS, TASKS)


def test_a_grouping_by_hand():
    """Nine tasks are alone or like no other; of one group of three the rest is worked out here."""
    space, words = alike(1), alike(2)
    groups = pd.Series(["x", "x", "", "", "x", "a", "b", "c", "d", "e"], TASKS)
    found = explore.grouping(space, words, groups, FAMILY, 99)
    inside = [space.loc[a, b] for a, b in (("t0", "t1"), ("t0", "t4"), ("t1", "t4"))]
    assert found["n_within"] == 3
    assert found["within"] == pytest.approx(np.mean(inside))
    everything = space.to_numpy()[np.triu_indices(10, 1)].sum()
    assert found["between"] == pytest.approx((everything - sum(inside)) / 42)
    # the slope by Cramer's rule on correlations
    same = [
        float({a, b} <= {"t0", "t1", "t4"}) for i, a in enumerate(TASKS) for b in TASKS[i + 1 :]
    ]
    cells = [one.to_numpy()[np.triu_indices(10, 1)] for one in (space, words)]
    r = np.corrcoef([*cells, same])
    assert found["slope"] == pytest.approx((r[0, 2] - r[0, 1] * r[1, 2]) / (1 - r[1, 2] ** 2))
    assert 0.01 <= found["p"] <= 1


def test_a_grouping_of_families_has_no_p_and_few_families_have_none():
    assert np.isnan(explore.grouping(alike(1), alike(2), FAMILY, FAMILY, 9)["p"])
    few = pd.Series([f"f{i // 3}" for i in range(10)], TASKS)  # four families
    groups = pd.Series(list("abababcdcd"), TASKS)
    assert np.isnan(explore.grouping(alike(1), alike(2), groups, few, 9)["p"])
    assert np.isfinite(explore.grouping(alike(1), alike(2), groups, FAMILY, 9)["p"])


def test_groups_that_words_contain_have_no_slope():
    groups = pd.Series(list("aabbccddef"), TASKS)
    same = groups.to_numpy()[:, None] == groups.to_numpy()
    words = pd.DataFrame(np.where(same, 0.9, 0.1), TASKS, TASKS)
    found = explore.grouping(alike(1), words, groups, FAMILY, 9)
    assert np.isnan([found["slope"], found["p"]]).all()


def labelled() -> pd.DataFrame:
    table = pd.DataFrame({"task": TASKS, "phenomenon": [EVIL, "p"] * 5, "family": list(FAMILY)})
    return table.assign(frame=["x", None] * 5)


def test_hypotheses_start_from_columns_and_show_their_numbers_on_paper():
    soup, data = parts(
        explore.hypothesis(alike(1), alike(2), labelled(), ("phenomenon", "frame"), 99)
    )
    names = labelled().sort_values("phenomenon", kind="stable")["task"]
    assert data["tasks"] == list(names)
    assert data["presets"]["frame"] == [1] * 5 + [0] * 5  # no label is like no other
    rows = soup.select(".still tbody tr")
    assert [row.th.text for row in rows] == ["phenomenon", "frame"]
    groups = labelled().set_index("task")["frame"].fillna("")
    found = explore.grouping(alike(1), alike(2), groups, FAMILY, 99)
    assert rows[1].td.text == f"{found['within']:.3f}".replace("-", "−")
    assert soup.find("img") is None


def test_faulty_labels_are_named():
    with pytest.raises(InputError, match="no column family, field"):
        explore.hypothesis(alike(1), alike(2), labelled().drop(columns="family"), ("field",))
    with pytest.raises(InputError, match="0 tasks have values"):
        explore.hypothesis(alike(1) * np.nan, alike(2), labelled())


# ---------------------------------------------------------------------------- verdicts, other rules


def judged(**changes) -> tuple[pd.DataFrame, list[claims.Claim]]:
    ledger = claims.ledger()
    first = next(claim for claim in ledger if claim.rule == "positive")
    row = {"claim": first.id, "estimate": 3.0, "low": 1.5, "high": 5.0, "unit": "nats",
           "smallest": 1.0, "verdict": "consistent"} | changes  # fmt: skip
    return pd.DataFrame([row]), ledger


def test_verdicts_under_other_rules_by_hand():
    table = explore.rules_of(*judged())
    assert list(explore.under(table)) == ["consistent"]
    assert list(explore.under(table, 2.0)) == ["undetermined"]  # 1.5 < 2
    assert list(explore.under(table, 8.0)) == ["negligible"]  # all within ±8
    assert list(explore.under(table, 2.0, 0.5)) == ["consistent"]  # 3 − 0.75 > 2
    soup = BeautifulSoup(explore.verdict_rules(*judged()), "html.parser")
    cells = [cell.text for cell in soup.select(".still tbody td")][1:]
    assert cells == ["consistent", "consistent", "undetermined"]


def test_nothing_attempted_is_nothing_to_turn():
    with pytest.raises(InputError, match="no claim was attempted"):
        explore.verdict_rules(*judged(verdict="not attempted"))


# ---------------------------------------------------------------------------------- with a kernel


def test_the_widget_of_a_space_follows_its_lists():
    views = {("S", 0, "cosine"): SPACE, ("S", 8, "cosine"): -SPACE, ("M", 8, "transfer"): LOPSIDED}
    box = explore.space_widget(views, PHENOMENON, PAIRS)
    (scale, step, measure), picture, (row, column), said = (
        part.children if hasattr(part, "children") else part for part in box.children
    )
    assert step.value == 8
    before = picture.value
    assert said.value.startswith("b one and b two: -0.80")
    step.value = 0
    assert picture.value != before
    assert said.value == "b one and b two: 0.80; from column to row: 0.80"
    row.value = "a one"
    assert said.value.startswith("a one and b two: 0.00; from")
    assert "x y / x v" in said.value
    scale.value = "M"
    assert said.value == "not measured"
    measure.value = "transfer"
    row.value, column.value = "a two", "b one"
    assert "7.00; from column to row: 10.00" in said.value
    column.value = "b two"
    row.value = "a one"
    assert "<b>" not in said.value


def test_the_widget_of_a_hypothesis_regroups():
    box = explore.hypothesis_widget(alike(1), alike(2), labelled(), ("phenomenon", "frame"), 9)
    begin, said, *texts = box.children
    found = explore.grouping(
        alike(1), alike(2), labelled().set_index("task")["phenomenon"], FAMILY, 9
    )
    assert f"within: {found['within']:.3f}" in said.value
    begin.value = "frame"
    assert [text.value for text in texts] == ["x", ""] * 5
    texts[1].value = "x"
    groups = pd.Series(["x", "x", "x", "", "x", "", "x", "", "x", ""], TASKS)
    found = explore.grouping(alike(1), alike(2), groups, FAMILY, 9)
    assert f"within: {found['within']:.3f}" in said.value


def test_the_widget_of_verdicts_turns_them():
    (factor, _), said = (
        part.children if hasattr(part, "children") else part
        for part in explore.verdict_rules_widget(*judged()).children
    )
    assert "undetermined" not in said.value
    factor.value = 2.0
    assert "undetermined" in said.value
