"""Figures of the built book: each is its table, seen in light and dark, with a passport."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.image import imread

from taskspace_utils import dark, store
from taskspace_utils.publishing import chapters, passports, redraw

LABEL = re.compile(r"^    name: (fig-\S+)", re.MULTILINE)
WHERE = {n: p for p in chapters.chapters() for n in LABEL.findall(p.read_text("utf-8"))}


@pytest.fixture(params=WHERE)
def passport(request, smoke_book):
    """A figure's name, the folder of tables, and its provenance."""
    folder = smoke_book.parent / "figures"
    path = folder / f"{request.param}.json"
    if not path.is_file():
        pytest.skip("profile smoke has no table for it")
    return request.param, folder, json.loads(path.read_text("utf-8"))


def shown(smoke_store, name: str) -> np.ndarray:
    """The picture that the run itself showed."""
    (path,) = smoke_store.glob(f"chapters/smoke/*/{WHERE[name].stem}.ipynb")
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") == name:
            (data,) = [o["data"] for o in cell["outputs"] if "image/png" in o.get("data", {})]
            return imread(io.BytesIO(base64.b64decode(data["image/png"])))
    raise AssertionError(f"{name} is in no cell")


def test_what_its_table_draws_is_what_the_run_showed(passport, smoke_store):
    name, folder, _ = passport
    file = io.BytesIO()
    figure = redraw.redraw(name, folder)
    figure.canvas.draw()  # as a notebook does; the layout still moves a little at each drawing
    figure.savefig(file, format="png", bbox_inches="tight")
    again, then = imread(io.BytesIO(file.getvalue())), shown(smoke_store, name)
    assert again.shape == then.shape
    assert np.abs(again - then).mean() < 1e-3
    assert np.array_equal(imread(folder / f"{name}.png"), then)


def test_its_drawings_are_made_of_its_table_in_light_and_dark(passport):
    name, folder, _ = passport
    figure = redraw.redraw(name, folder)
    for ending, text in passports.drawings(figure).items():  # the figure is dark after it
        assert text == (folder / f"{name}{ending}").read_text("utf-8"), ending
    sizes = [
        ElementTree.parse(folder / f"{name}{end}.svg").getroot().attrib["viewBox"]
        for end in ("", "-dark")
    ]
    assert sizes[0] == sizes[1]  # a page does not jump when its theme changes
    for text in figure.findobj(plt.Text):
        if text.get_visible() and text.get_text().strip():
            assert dark.contrast(text.get_color(), dark.PAPER) >= 3.9, text.get_text()


def test_its_passport_says_where_it_came_from(passport):
    name, folder, about = passport
    table = (folder / f"{name}.csv").read_bytes()
    assert about["table_sha256"] == hashlib.sha256(table).hexdigest()
    assert about["chapter"] == WHERE[name].stem
    assert about["profile"] == about["parameters"]["profile"] == "smoke"
    assert about["inputs"]["text"] == store.file_hash(WHERE[name])
    assert {len(key) for key in about["inputs"].values()} == {64}
    assert about["method"] == store.method_version()
    assert about["code"] == store.code_version(
        f"figures/{about['figure']}", "figures/__init__", "likeness"
    )
    assert about["seconds"] > 0
    assert {"python", "matplotlib", "torch"} <= set(about["versions"])
    assert len(about["alt"]) > 10
    assert about["caption"]
    for run in about["runs"]:
        assert {len(key) for key in run["tables"].values()} <= {64}, run
    assert set(about["files"]) == {f"{name}{e}" for e in (".csv", ".svg", "-dark.svg", ".png")}
    assert all((folder / file).is_file() for file in about["files"])


def test_seeds_and_hashes_of_runs_are_those_of_the_runs(smoke_book):
    about = json.loads((smoke_book.parent / "figures" / "fig-blimp-space.json").read_text("utf-8"))
    run = next(r for r in about["runs"] if r["folder"] == "blimp-8M")
    folder = store.data_path("reference", "blimp-8M")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert run["tables"]
    for file, key in run["tables"].items():
        assert key == manifest["sha256"][file]
    assert about["seeds"] == manifest["parameters"]["seeds"]


@pytest.mark.parametrize("path", chapters.chapters(), ids=lambda path: path.stem)
def test_its_page_shows_both_pictures_and_leads_to_everything_behind_them(path, smoke_book):
    page = smoke_book / "notebooks" / f"{path.stem}.html"
    soup = BeautifulSoup(page.read_text("utf-8"), "html.parser")
    folder = smoke_book.parent / "figures"
    for name in LABEL.findall(path.read_text("utf-8")):
        if not (folder / f"{name}.json").is_file():
            continue
        figure = soup.find(id=name)
        images = figure.select(".ts-figure > img")
        assert [image["class"] for image in images] == [["only-light"], ["only-dark"]]
        assert [(page.parent / i["src"]).resolve().name for i in images] == [
            f"{name}.svg", f"{name}-dark.svg"]  # fmt: skip
        about = json.loads((folder / f"{name}.json").read_text("utf-8"))
        assert images[0]["alt"] == about["alt"]
        links = {a.get_text(): a["href"] for a in figure.select("figcaption a.download")}
        assert list(links) == ["svg", "png", "table", "provenance", "code"]
        for link in links.values():
            file = page.parent / link
            assert file.read_bytes() == (folder / file.name).read_bytes()
