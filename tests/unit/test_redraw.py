"""Figures leave their tables behind, and come out the same when drawn from these alone."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import figures
from taskspace_utils.cli import main
from taskspace_utils.figures import process, slopes, space
from taskspace_utils.publishing import redraw
from taskspace_utils.store import InputError

from .test_scale_figures import planted

CELLS = pd.DataFrame(
    [(a, b, 1.0 if a == b else 0.3, a, "cosine") for a in "xy" for b in "xy"],
    columns=["source", "target", "value", "phenomenon", "name"],
)
SLOPES = pd.DataFrame(
    {"space": ["1", "2"], "hypothesis": "h", "slope": [0.5, np.nan], "low": np.nan,
     "high": np.nan, "p": 0.01, "r2": 0.1, "vif": np.inf, "n_tasks": 9}
)  # fmt: skip


def pixels(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Two figures as a chapter leaves them, and as they were drawn."""
    monkeypatch.setenv("TASKSPACES_FIGURES", str(tmp_path / "drawn"))
    known = {"fig-one": space.plot(CELLS, limit=0.5), "fig-two": slopes.plot(SLOPES)}
    monkeypatch.delenv("TASKSPACES_FIGURES")
    for number, path in enumerate(sorted((tmp_path / "drawn").glob("*.json"))):
        about = json.loads(path.read_text()) | {"cell": number + 1}
        path.write_text(json.dumps(about))
    cells = [
        SimpleNamespace(cell_type="code", execution_count=number,
                        metadata={"mystnb": {"figure": {"name": name}}} if name else {})
        for number, name in enumerate(["", *known])
    ]  # fmt: skip
    notebook = SimpleNamespace(cells=cells)
    found = redraw.collect(tmp_path / "drawn", notebook, chapter="09_x", profile="some")
    redraw.write(tmp_path / "figures", found)
    return tmp_path / "figures", known


def test_a_figure_drawn_from_its_table_is_the_same_to_the_pixel(left):
    folder, known = left
    for name, figure in known.items():
        again = redraw.redraw(name, folder)
        assert np.array_equal(pixels(figure), pixels(again)), name
    assert redraw.redraw("one", folder).axes  # without fig-
    assert redraw.redraw("slopes", folder).axes  # by its module, which drew no other


def test_the_table_keeps_its_kinds(left):
    folder, _ = left
    pd.testing.assert_frame_equal(redraw.read(folder / "fig-two"), SLOPES)
    pd.testing.assert_frame_equal(redraw.read(folder / "fig-one"), CELLS)


def test_what_lies_there_says_where_it_came_from(left, tmp_path):
    folder, _ = left
    about = json.loads((folder / "fig-one.json").read_text())
    assert about["figure"] == "space"
    assert about["options"] == {"limit": 0.5}
    assert (about["chapter"], about["profile"]) == ("09_x", "some")
    assert {"code", "method", "runs", "columns"} <= set(about)
    assert (folder / "space.py").read_text().startswith('"""A task space as a heat map')
    listed = redraw.listing(folder)
    assert listed["name"].tolist() == ["fig-one", "fig-two"]
    assert listed["module"].tolist() == ["space", "slopes"]


def test_a_second_figure_of_a_cell_has_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKSPACES_FIGURES", str(tmp_path))
    space.plot(CELLS)
    space.plot(CELLS)
    notebook = SimpleNamespace(cells=[])
    found = redraw.collect(tmp_path, notebook, chapter="07_y")
    assert list(found) == ["07_y-space-000", "07_y-space-001"]
    redraw.write(tmp_path / "figures", found)
    with pytest.raises(InputError, match="module space drew 07_y-space-000, 07_y-space-001: name"):
        redraw.redraw("space", tmp_path / "figures")


def test_the_command_lists_draws_and_says_what_is_wrong(left, tmp_path, capsys, monkeypatch):
    folder, _ = left
    monkeypatch.chdir(tmp_path)
    own = ["--tables", str(folder)]
    assert main(["redraw", *own]) == 0
    assert "fig-two slopes" in " ".join(capsys.readouterr().out.split())
    assert main(["redraw", "fig-two", *own]) == 0
    assert (tmp_path / "fig-two.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["redraw", "fig-two", *own, "--out", "x/two.svg"]) == 0
    assert "<svg" in (tmp_path / "x" / "two.svg").read_text()
    for arguments, message in [
        (["fig-three", *own], "no figure 'fig-three' in .*; there are fig-one, fig-two"),
        (["fig-two", *own, "--out", "two.gif"], "must end in .png, .svg, .pdf"),
        (["fig-two", *own, "-p", "step=3"], "give --run too"),
        (["one", "--tables", str(tmp_path / "none")], "has no figures: build the book"),
        (["space", "--run", str(tmp_path)], "is not a run folder"),
    ]:
        capsys.readouterr()
        assert main(["redraw", *arguments]) == 2
        assert pd.Series(capsys.readouterr().err).str.contains(message).all(), message


def test_a_figure_of_a_run_folder_is_drawn_by_its_module(left, tmp_path):
    folder, _ = left
    run = planted(tmp_path / "run").folder
    assert redraw.redraw("space", folder, run, {"scale": "S", "step": 200}).axes
    assert redraw.redraw("one", folder, run, {"scale": "S", "step": 200}).axes  # a space too
    assert redraw.redraw("stability", folder, run).axes
    with pytest.raises(InputError, match=r"Name what it shows(.|\n)*M +0 +200"):
        redraw.redraw("space", folder, run)
    with pytest.raises(InputError, match=r"made of more than a run \(row, pairs\)"):
        redraw.redraw("process", folder, run)
    with pytest.raises(InputError, match="no figure 'no'; there are aligned_maps"):
        redraw.redraw("no", folder, run)


def test_a_broken_table_is_said_so(left):
    folder, _ = left
    (folder / "fig-one.csv").write_text("source,target\nx,y\n")
    with pytest.raises(InputError, match="Build the book or chapter again"):
        redraw.redraw("fig-one", folder)


@pytest.mark.parametrize("name", redraw.modules())
def test_every_module_has_a_load_and_a_plot_that_leaves_its_table(name, tmp_path, monkeypatch):
    module = importlib.import_module(f"taskspace_utils.figures.{name}")
    assert callable(module.load)
    monkeypatch.setenv("TASKSPACES_FIGURES", str(tmp_path))
    module.plot(pd.DataFrame({"x": []}))  # nothing to draw, but drawn
    assert json.loads((tmp_path / "000.json").read_text())["figure"] == name


def test_badges_name_runs_profiles_and_seeds():
    rows = [("live", "laptop", 0), ("reference", "reference", 1), ("reference", "reference", 2)]
    table = pd.DataFrame(rows, columns=["run", "profile", "seed"])
    assert figures.badge(table) == (
        "live run, profile laptop, 1 seed · reference run, profile reference, 2 seeds"
    )


def test_outside_a_chapter_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TASKSPACES_FIGURES", raising=False)
    process.plot(pd.DataFrame({"x": []}))
    assert not list(tmp_path.iterdir())
