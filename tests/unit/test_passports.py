"""What a figure carries with it: whose seeds, which picture, and how a page shows it."""

from __future__ import annotations

from copy import deepcopy

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_output

from taskspace_utils.publishing import passports

PNG = new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})
ABOUT = {"figure": "space", "alt": "A heat map of <two> tasks.", "columns": {}, "runs": []}


def cell(*outputs):
    options = {"figure": {"name": "fig-a", "caption": "A caption."}, "image": {"alt": "Alt."}}
    return new_code_cell("plot()", outputs=list(deepcopy(outputs)), metadata={"mystnb": options})


@pytest.mark.parametrize(
    ("columns", "table", "runs", "seeds"),
    [
        (["seed", "x"], "seed,x\n2,1\n0,1\n2,3\n", [{"seeds": [7]}], [0, 2]),
        (["x"], "x\n1\n", [{"seeds": [1, 0]}, {"seeds": [0]}, {}], [0, 1]),
        (["seed", "x"], "seed,x\n", [{"seeds": [5]}], [5]),
        (["x"], "x\n1\n", [], []),
    ],
    ids=["of the table", "of the runs", "of the runs, as the table is empty", "none"],
)
def test_seeds(columns, table, runs, seeds):
    about = {"columns": dict.fromkeys(columns, "int64"), "runs": runs}
    assert passports._seeds(about, table) == seeds


def test_a_page_shows_one_picture_by_theme_and_links_to_what_there_is():
    made, files = cell(PNG), ["fig-a.csv", "fig-a.svg", "fig-a-dark.svg"]
    passports.show(made, "fig-a", {"about": ABOUT | {"files": files}})
    caption = made.metadata["mystnb"]["figure"]["caption"]
    assert caption.startswith("A caption.\n\n")
    assert "fig-a.svg" in caption
    assert "fig-a.png" not in caption  # this run has none
    [output] = made.outputs
    images = BeautifulSoup(output["data"]["text/html"], "html.parser").select("img")
    assert [i["src"] for i in images] == ["../figures/fig-a.svg", "../figures/fig-a-dark.svg"]
    assert images[0]["alt"] == ABOUT["alt"]
    assert output["data"]["image/png"] == PNG["data"]["image/png"]  # for what knows no themes


def test_a_cell_with_two_pictures_shows_both_as_they_are():
    made = cell(PNG, PNG)
    assert passports._shown(made) is None
    passports.show(made, "fig-a", {"about": ABOUT | {"files": ["fig-a-dark.svg"]}})
    assert all("text/html" not in output["data"] for output in made.outputs)
