"""Doubts about neighbours: shares of rivals, verdicts, what a page carries, and the widget."""

from __future__ import annotations

import base64
import io
import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib import image

from taskspace_utils import explore
from taskspace_utils.figures import shams
from taskspace_utils.store import InputError

EVIL = "</script><img src=x onerror=alert(1)> & <b>"
TASKS = [f"t_{i}" for i in range(8)]
LABELS = pd.DataFrame({"task": TASKS, "phenomenon": ["q", EVIL] * 4})


def square(seed: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(8, 8)).round(1)  # with ties
    return pd.DataFrame((values + values.T) / 2, TASKS, TASKS)


def some_cells(seed: int) -> pd.DataFrame:
    chosen = np.random.default_rng(seed).random((8, 8)) < 0.4
    return pd.DataFrame(chosen | chosen.T, TASKS, TASKS)


def test_a_share_is_a_count_of_rivals_below():
    space, rivals, strata = square(1), some_cells(2), some_cells(3)
    space.loc["t_0", "t_1"] = space.loc["t_1", "t_0"] = np.nan
    turned = rivals.loc[TASKS[::-1], TASKS[::-1]]  # the order of tasks does not matter
    found = {None: explore.above(space, turned), "strata": explore.above(space, rivals, strata)}
    for a, b in combinations(TASKS, 2):
        value = space.loc[a, b]
        for kind, shares in found.items():
            among = [
                space.loc[c, d] < value
                for c, d in combinations(TASKS, 2)
                if rivals.loc[c, d] and np.isfinite(space.loc[c, d]) and (a, b) != (c, d)
                and (kind is None or strata.loc[c, d] == strata.loc[a, b])
            ]  # fmt: skip
            wanted = np.nan if np.isnan(value) else np.mean(among)
            assert shares.loc[a, b] == pytest.approx(wanted, nan_ok=True)
            assert shares.loc[b, a] == pytest.approx(wanted, nan_ok=True)
    assert np.diag(found[None]) == pytest.approx(np.full(8, np.nan), nan_ok=True)


def test_without_rivals_nothing_can_be_told():
    nobody = pd.DataFrame(False, TASKS, TASKS)
    assert explore.above(square(1), nobody).isna().all(axis=None)


def test_shams_are_ranked_as_in_their_figure():
    """Chapter 8 ranks each sham among pairs of other phenomena, and then doubts all pairs alike."""
    facts = pd.DataFrame({"task": TASKS, "phenomenon": list("abcdaabs"), "sham_of": ""})
    facts.loc[7, "sham_of"] = "t_0"
    space, nothing, frame = square(1), square(2) * 0, some_cells(3).astype(float)
    table = shams.load(space, nothing + square(4), facts, frame).set_index(["a", "b"])
    line = pd.DataFrame(np.nan, TASKS, TASKS)
    rivals = line.isna() & False
    for (a, b), row in table.iterrows():
        line.loc[a, b] = line.loc[b, a] = row["excess"]
        rivals.loc[a, b] = rivals.loc[b, a] = row["kind"] == shams.KINDS[0]
    shares = explore.above(line, rivals, frame)
    assert ("t_0", "t_7") in table.index
    once = rivals & np.triu(np.ones((8, 8), dtype=bool), 1)
    for (a, b), row in table.iterrows():
        among = (once & (frame == frame.loc[a, b])).to_numpy().sum()
        itself = bool(rivals.loc[a, b])  # which the figure counts as one of its rivals
        wanted = row["share_below"] * among / (among - itself)
        assert shares.loc[a, b] == pytest.approx(wanted)


SPACE = pd.DataFrame(
    [[1, 0.5, 0.4, np.nan], [0.5, 1, 0.1, 0.1], [0.4, 0.1, 1, 0.1], [np.nan, 0.1, 0.1, 1]],
    TASKS[:4], TASKS[:4],
)  # fmt: skip
SHARES = pd.DataFrame(
    [[np.nan, 0.95, 0.9499, 1], [0.95, np.nan, 1, 1], [0.9499, 1, np.nan, 1], [1, 1, 1, np.nan]],
    TASKS[:4], TASKS[:4],
)  # fmt: skip
DOUBTS = {f"one {EVIL}": SHARES, "two": SHARES.where(SHARES != 0.95)}
FOUR = LABELS.head(4).set_index("task", drop=False)  # as chapter 8 has them


def test_a_neighbourhood_by_hand():
    found = explore.neighbourhood(SPACE, DOUBTS, "t_0")
    assert list(found.index) == ["t_1", "t_2"]  # t_3 has no cosine
    assert list(found["cosine"]) == [0.5, 0.4]
    assert list(found["verdict"]) == ["can't be told", "falls"]
    one = {"one": SHARES}
    assert list(explore.neighbourhood(SPACE, one, "t_0")["verdict"]) == ["stands", "falls"]
    assert list(explore.neighbourhood(SPACE, one, "t_0", 1, 0.96)["verdict"]) == ["falls"]
    assert list(explore.neighbourhood(SPACE, {}, "t_0")["verdict"]) == ["stands", "stands"]
    equal = explore.neighbourhood(SPACE, one, "t_3")
    assert list(equal.index) == ["t_1", "t_2"]  # equally near: in their order


def parts(html: str) -> tuple[BeautifulSoup, dict]:
    soup = BeautifulSoup(html, "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


def test_a_page_carries_shares_rounded_down_and_text_stays_text():
    planted = pd.DataFrame(EVIL, TASKS[:4], TASKS[:4])
    soup, data = parts(explore.doubt(SPACE, DOUBTS, FOUR, planted))
    assert data["tasks"] == ["t 1", "t 3", "t 0", "t 2"]  # phenomena side by side
    assert data["doubts"][0] == [f"one {EVIL}", [100, 95, 100, 100, 100, 94]]
    assert data["doubts"][1][1][1] is None
    assert data["cosines"][1] == 0.5
    assert data["planted"] == [[EVIL], [0] * 6]
    assert soup.find_all("img") == soup.select(".still img")
    assert soup.find("b") is None
    assert EVIL in soup.select_one(".still").get_text()


def test_on_paper_there_is_each_nearest_neighbour_and_how_many_withstand():
    soup, _ = parts(explore.doubt(SPACE, DOUBTS, FOUR))
    rows = [[cell.text for cell in row.select("th, td")] for row in soup.select(".still tbody tr")]
    # nearest: t_1 (0.95 of t_0, nothing told by the second doubt), t_0, t_0 (falls), t_1
    assert [[name, held] for name, _, held in rows] == [
        [f"one {EVIL}", "3 of 4"], ["two", "1 of 2"], ["all of them", "1 of 2"]
    ]  # fmt: skip
    strips = soup.select(".still img")
    assert strips[2]["alt"] == "1 red, 1 blue, 2 grey marks"
    seen = image.imread(io.BytesIO(base64.b64decode(strips[0]["src"].split(",")[1])))
    marks = seen[0, 3 :: seen.shape[1] // 4]
    # t_1, t_3, t_0, t_2: only the last has a nearest neighbour that falls
    assert list(marks[:, 0] > marks[:, 2]) == [True, True, True, False]


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="name at least one"):
        explore.doubt(SPACE, {}, FOUR)
    with pytest.raises(InputError, match="`labels` has no row for t_3"):
        explore.doubt(SPACE, DOUBTS, LABELS.head(3))
    with pytest.raises(InputError, match="doubt 'less' has no row for t_3"):
        explore.doubt(SPACE, DOUBTS | {"less": SHARES.iloc[:3, :3]}, FOUR)


def test_the_widget_raises_doubts_one_by_one():
    planted = pd.DataFrame(f"kin {EVIL}", TASKS[:4], TASKS[:4])
    box = explore.doubt_widget(SPACE, DOUBTS, FOUR, planted)
    (task, level, shown), raised, said = (
        part.children if hasattr(part, "children") else part for part in box.children
    )

    def verdicts() -> list[str]:
        rows = BeautifulSoup(said.value, "html.parser").select("tbody tr")
        return [row.select("td")[1 + sum(one.value for one in raised)].text for row in rows]

    task.value = "t_0"
    assert verdicts() == ["stands", "stands"]
    raised[0].value = True
    assert verdicts() == ["stands", "falls"]
    level.value = 94
    assert verdicts() == ["stands", "stands"]
    raised[1].value = True
    assert verdicts() == ["can't be told", "stands"]
    assert "kin" not in said.value
    shown.value = True
    assert "kin" in said.value
    assert "<b>" not in said.value
    assert "<img" not in said.value
