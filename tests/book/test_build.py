"""Builds: what has changed is done, what has not is left, and what fails is never published."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup

from taskspace_utils import store
from taskspace_utils.publishing import book, chapters, drawing, pages, redraw

STOP = '\n```{code-cell} ipython3\nfirst = 1\nraise LookupError("no such task")\n```\n'


def said(capsys: pytest.CaptureFixture) -> str:
    return capsys.readouterr().err


def add(project, name: str, text: str) -> None:
    path = project / "notebooks" / f"{name}.md"
    path.write_text(path.read_text() + text)


def parameters_are_those_of_the_profile(first: str, second: str) -> None:
    assert "01_first ran with tiny 0.01" in first
    assert "02_second ran with tiny 0.5" in second
    assert "k: float = 0.5  # share of parameters" in second
    assert "injected-parameters" not in first + second
    assert "Profile <strong>tiny</strong>" in first


def test_only_what_changed_is_done_again(project, drawn, capsys):
    index = book.build("tiny", root=project)
    assert "2 to run, 0 unchanged" in said(capsys)
    parameters_are_those_of_the_profile(*drawn[0].values())

    assert book.build("tiny", root=project) == index
    assert "nothing has changed" in said(capsys)
    assert len(drawn) == 1

    add(project, "02_second", "\nOne more sentence.\n")
    book.build("tiny", root=project)
    assert "1 to run, 1 unchanged" in said(capsys)

    store.write_atomic(project / "book" / "intro.md", "# Another start\n")
    book.build("tiny", root=project)
    assert "0 to run, 2 unchanged" in said(capsys)

    (index.parent / "notebooks" / "01_first.html").unlink()  # a page that is gone
    book.build("tiny", root=project)
    assert "0 to run, 2 unchanged" in said(capsys)
    assert len(drawn) == 4

    store.write_atomic(project / "data" / "words.yml", "words: [a]\n")
    book.build("tiny", root=project)
    assert "2 to run, 0 unchanged" in said(capsys)


FIGURE = """
```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-of-two
    caption: Two tasks, and *nothing* else.
  image:
    alt: A heat map of two by two cells.
---
import pandas as pd
from taskspace_utils.figures import space

rows = [(a, b, 0.5, a, "cosine") for a in "xy" for b in "xy"]
columns = ["source", "target", "value", "phenomenon", "name"]
figure = space.plot(pd.DataFrame(rows, columns=columns))
```

See {numref}`fig-of-two`.
"""


def test_a_reader_can_go_from_a_figure_to_its_table_its_provenance_and_its_code(
    project, monkeypatch
):
    monkeypatch.delenv("MPLBACKEND")  # so that the notebook shows it
    add(project, "01_first", FIGURE)
    index = book.build("tiny", root=project)
    figures = project / "_build" / "figures"
    files = [f"fig-of-two{end}" for end in (".svg", ".png", ".csv", ".json")]
    assert {p.name for p in figures.iterdir()} == {*files, "fig-of-two-dark.svg", "space.py"}
    about = json.loads((figures / "fig-of-two.json").read_text())
    assert (about["chapter"], about["profile"]) == ("01_first", "tiny")
    assert about["parameters"] == {"profile": "tiny"}
    assert redraw.redraw("of-two", figures).axes
    page = (index.parent / "notebooks" / "01_first.html").read_text()
    soup = BeautifulSoup(page, "html.parser")
    assert "nothing" in soup.figcaption.em.get_text()
    links = {a.get_text(): a["href"] for a in soup.figcaption.select("a.download")}
    assert list(links) == ["svg", "png", "table", "provenance", "code"]
    for file, link in zip((*files, "space.py"), links.values()):
        assert (index.parent / "notebooks" / link).read_bytes() == (figures / file).read_bytes()
    assert "TASKSPACES_FIGURES" not in os.environ


def test_a_failing_chapter_names_its_place_and_leaves_no_book(project, drawn, capsys):
    index = book.build("tiny", root=project)
    add(project, "01_first", STOP)
    with pytest.raises(book.BuildError) as error:
        book.build("tiny", root=project)
    line = (project / "notebooks" / "01_first.md").read_text().splitlines().index("first = 1") + 1
    assert f"notebooks/01_first.md:{line}, cell 3 (`first = 1`)" in str(error.value)
    assert "LookupError: no such task" in str(error.value)
    assert (project / "_build" / "failed" / "01_first.ipynb").is_file()
    assert not index.exists()

    said(capsys)
    with pytest.raises(book.BuildError):  # a failure is never remembered as done
        book.build("tiny", root=project)
    assert "1 to run, 1 unchanged" in said(capsys)  # the other chapter ran in spite of it


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os._exit(3)", r"cell 3 \(`import os; os._exit\(3\)`\): .*Kernel died"),
        ("import warnings; warnings.warn('old')", "a warning, which no page may show: .*old"),
    ],
)
def test_a_dead_kernel_and_a_warning_are_failures(project, tmp_path, code, message):
    add(project, "01_first", f"\n```{{code-cell}} ipython3\n{code}\n```\n")
    with pytest.raises(book.BuildError, match=message):
        chapters.execute(project / "notebooks" / "01_first.md", {}, project, tmp_path / "failed")


def test_a_warning_of_jupyter_book_is_an_error(project):
    add(project, "01_first", "\nSee {ref}`nowhere`.\n")
    with pytest.raises(book.BuildError, match=r"notebooks/01_first.*undefined label: 'nowhere'"):
        book.build("tiny", root=project)
    assert not (project / "_build" / "html").exists()


def test_a_page_that_an_extension_refuses_is_said_with_its_reason(project):
    bibliography = project / "book" / "references.bib"
    bibliography.write_text("@book{a,\n  title = {A}\n\n@book{b,\n  title = {B}\n}\n")
    with pytest.raises(book.BuildError, match=r"syntax error in line 4: '}' expected"):
        book.build("tiny", root=project)


def test_unknown_chapters_and_parameters_stop_a_build_before_anything_runs(
    project, drawn, monkeypatch
):
    for given, message in [
        ({"02_second": {"kk": 1}}, "02_second has no parameter 'kk'"),
        ({"02_secnd": {}}, "no chapter '02_secnd' .did you mean 02_second"),
    ]:
        profile = SimpleNamespace(name="tiny", chapters=given)
        monkeypatch.setattr("taskspace_utils.runs.load_profile", lambda _, p=profile: p)
        with pytest.raises(store.InputError, match=message):
            book.build("tiny", root=project)
    assert not store.store_path().exists()


def test_a_killed_build_resumes_and_has_published_nothing(project, drawn, tmp_path, capsys):
    flag = tmp_path / "go on"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.1)"
    add(project, "02_second", f"\n```{{code-cell}} ipython3\n{wait}\n```\n")
    code = (
        "import sys, pathlib, types\n"
        "from taskspace_utils import runs\nfrom taskspace_utils.publishing import book, drawing\n"
        "profile = types.SimpleNamespace(name='tiny', chapters={'02_second': {'k': 0.5}})\n"
        "runs.load_profile = lambda name: profile\n"
        "runs.sweep = lambda *p: types.SimpleNamespace(folder=pathlib.Path('none'))\n"
        "drawing.vendored = lambda *packages: False\n"
        "book.build('tiny', root=pathlib.Path(sys.argv[1]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(project)],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(store.store_path().rglob("01_first.ipynb")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (project / "_build" / "html").exists()
    assert not list(store.store_path().rglob("02_second.ipynb"))

    flag.touch()
    book.build("tiny", root=project)
    assert "1 to run, 1 unchanged" in said(capsys)


def test_what_is_edited_while_it_runs_is_not_remembered_as_done(project, drawn, capsys):
    path = project / "notebooks" / "01_first.md"
    before = path.read_text()
    edit = f"import pathlib; pathlib.Path({str(path)!r}).write_text({before!r})"
    add(project, "01_first", f"\n```{{code-cell}} ipython3\n{edit}\n```\n")
    book.build("tiny", root=project)
    assert "01_first: ran in" in said(capsys)
    assert path.read_text() == before
    book.build("tiny", root=project)
    assert "1 to run, 1 unchanged" in said(capsys)


def test_without_npm_the_pages_keep_their_cdn(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path))
    monkeypatch.setattr(drawing.shutil, "which", lambda name: None)
    assert drawing.vendored() is False
    assert "npm is not installed" in said(capsys)

    monkeypatch.setattr(drawing.shutil, "which", lambda name: "false")
    assert drawing.vendored() is False
    assert "npm could not fetch mathjax" in said(capsys)
    assert not list(tmp_path.rglob("*"))  # no half-fetched cache


def test_run_chapter_writes_a_notebook_with_ones_own_parameters(project, tmp_path):
    path = project / "notebooks" / "01_first.md"
    out = chapters.run_chapter(path, "tiny", {"k": "0.25"}, out=tmp_path / "own")
    assert out == tmp_path / "own" / "01_first.ipynb"
    assert "01_first ran with tiny 0.25" in out.read_text()


WORK = """
```{code-cell} ipython3
import time
from taskspace_utils import jobs
work = jobs.run([jobs.Job(time.sleep, (0.7,))] * 2, workers=1)
print("computed", len(work))
```
"""


def test_a_chapter_that_had_to_compute_keeps_no_progress(project, tmp_path):
    add(project, "01_first", WORK)
    out = chapters.run_chapter(project / "notebooks" / "01_first.md", "tiny", out=tmp_path)
    text = out.read_text()
    assert "computed 2" in text
    assert "stderr" not in text
    assert "of 2 done" not in text


def test_an_unchanged_smoke_book_takes_seconds_and_no_torch(smoke_book, smoke_store):
    code = (
        "import sys; from taskspace_utils.publishing import book\n"
        "book.build('smoke', out=sys.argv[1])\n"
        "assert not {'torch', 'papermill', 'transformers'} & set(sys.modules)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, str(smoke_book.parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing has changed" in done.stderr
    assert time.monotonic() - began < 15


def launch_links(index) -> dict[str, dict[str, str]]:
    """Of each chapter, where the buttons of its rocket lead."""
    found = {}
    for name in ("01_first", "02_second"):
        soup = BeautifulSoup(
            (index.parent / "notebooks" / f"{name}.html").read_text(), "html.parser"
        )
        links = soup.select(".dropdown-launch-buttons a")
        found[name] = {a.get_text().strip(): a["href"] for a in links}
    return found


def test_launch_buttons_lead_to_the_published_notebooks_once_there_is_an_address(project):
    text = (project / "_config.yml").read_text()
    assert launch_links(book.build("tiny", root=project)) == {"01_first": {}, "02_second": {}}
    there = text.replace('url: ""', 'url: "https://github.com/some/where/"')
    store.write_atomic(project / "_config.yml", there)
    for name, links in launch_links(book.build("tiny", root=project)).items():
        path = f"notebooks/notebooks/{name}.ipynb"  # the branch, the folder on it
        assert links["Binder"].startswith("https://mybinder.org/v2/gh/some/where/notebooks?")
        assert links["Binder"].endswith(f"lab/tree/notebooks/{name}.ipynb")
        host = "https://colab.research.google.com"
        assert links["Colab"] == f"{host}/github/some/where/blob/{path}"


def test_only_github_has_a_colab_button():
    config = {"html": {}, "repository": {"url": "https://git.example.org/some/where"}}
    assert set(pages.with_launch_buttons(config)["launch_buttons"]) == {
        "notebook_interface", "binderhub_url"}  # fmt: skip
    empty = {"html": {}, "repository": {"url": " "}}
    assert pages.with_launch_buttons(empty) == empty
