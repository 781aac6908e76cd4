"""The course that `make test` packs: whole, without the key for students, and its labs run."""

from __future__ import annotations

import base64
import html
import json
import os
import posixpath
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from taskspace_utils import exercises, store
from taskspace_utils.publishing import course, editions, labs, lesson_plans, slides
from taskspace_utils.publishing.chapters import chapters

from .browsing import complaints, visit

ROOT = store.project_root()
CHAPTERS = chapters()
LABS = labs.labs()
KEY = "The fault that overturns it"


@pytest.fixture(scope="module")
def packed(smoke_book) -> Path:
    """The folder of the course that was packed beside the smoke book."""
    folder = smoke_book.parent / "course"
    if not folder.is_dir():
        pytest.fail("the course is not there: run `make test`, which packs it first")
    return folder


def inside(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return {name.split("/", 1)[1]: opened.read(name) for name in opened.namelist()}


@pytest.fixture(scope="module")
def archives(packed) -> list[dict[str, bytes]]:
    """The lecturers' archive and the students', as their files."""
    return [inside(packed.parent / name) for name in course.ARCHIVES]


# ---------------------------------------------------------------------------------------- archives


def test_the_archive_holds_all_that_a_first_class_needs(archives):
    files = archives[0]
    folder = "assignments|book|handouts|instructor|project|slides|student|tables"
    for page in (ROOT / "book" / "course").glob("*.md"):
        named = re.findall(rf"`((?:{folder})/[\w./]*)[`#]", page.read_text("utf-8"))
        assert len(named) >= 10 or page.stem != "lesson_90"
        for name in set(named) - {"book/course/"}:
            assert [file for file in files if file.startswith(name)], (page.name, name)
    for name in ("index.html", "slides/index.html", "book/index.html", "instructor/key.html"):
        assert len(files[name]) > 50, name
    for name in ("lesson_90", "predictions", "report_2", "rubric", "projects", "no_computing"):
        assert b"<table>" in files[f"handouts/{name}.html"] or name in ("report_2", "projects")
    for name in ("handouts/be_the_model.html", "instructor/be_the_model.html"):
        assert b"Part 3" in files[name]
    assert b"wh_vs_that_no_gap" in files["instructor/sheet_a.html"]
    package = [p.relative_to(ROOT).as_posix() for p in (ROOT / "taskspace_utils").rglob("*")
               if p.is_file() and "__pycache__" not in p.parts]  # fmt: skip
    assert "taskspace_utils/publishing/report.md" in package  # what is no code is needed, too
    for name in ("Makefile", "pyproject.toml", "setup.py", "requirements.txt", *package):
        assert files[f"project/{name}"] == (ROOT / name).read_bytes()
    assert not [name for name in files if "__pycache__" in name or name.endswith(".key")]


def test_students_get_everything_but_the_key(archives):
    lecturers, students = archives
    missing = set(lecturers) - set(students)
    assert missing == {name for name in lecturers if name.startswith("instructor/")}
    assert set(students) < set(lecturers)
    key = (ROOT / "data/course/instructor" / "key.md").read_text("utf-8")
    assert KEY in key
    assert KEY.encode() in lecturers["instructor/key.html"]
    assert not [name for name, data in students.items() if KEY.encode() in data]
    answers = "Sheet A: what was measured"
    assert answers.encode() in lecturers["instructor/sheet_a.html"]
    assert not [name for name, data in students.items() if answers.encode() in data]


def anchors(page: bytes) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', page.decode()))


@pytest.mark.parametrize("which", list(course.ARCHIVES))
def test_links_of_handouts_lead_to_what_is_in_the_same_archive(packed, which):
    files = inside(packed.parent / which)
    ours = ("index.html", "slides/index.html", "handouts/", "instructor/")
    seen = set()
    for name in (n for n in files if n.endswith(".html") and n.startswith(ours)):
        if name.startswith("instructor/") and name.count("/") > 1:
            continue
        for link in re.findall(r'href="([^"]+)"', files[name].decode()):
            if link.startswith("http"):
                continue
            place, _, anchor = html.unescape(link).partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), place))
            if place.endswith("/"):
                assert [n for n in files if n.startswith(f"{target}/")], (name, link)
                continue
            assert target in files, (name, link)
            if anchor:
                assert anchor.removeprefix("/") in anchors(files[target]), (name, link)
                seen.add(target.split("/")[0])
    assert seen == {"book", "slides"}


def test_the_archives_project_works_where_it_lies(packed, tmp_path):
    """Its labs, its grammar and its commands: what a student or a lecturer calls in it."""
    project = packed / "project"
    assert not [p for p in project.rglob("*.md") if KEY in p.read_text("utf-8")]
    store.write_atomic(tmp_path / "ada" / "scores-lab_1.json", "{}")
    own = {**os.environ, "PYTHONPATH": str(project), "TASKSPACES_STORE": str(tmp_path / "store")}
    code = "import sys, taskspace_utils.cli as c; print(c.__file__); sys.exit(c.main(sys.argv[1:]))"
    for command in (["collect", str(tmp_path)], ["book", "--profile", "nowhere"]):
        done = subprocess.run([sys.executable, "-c", code, *command], env=own, cwd=tmp_path,
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.stdout.startswith(str(project)), done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode == (0 if command[0] == "collect" else 2), done.stderr
    assert "not the exercises of this lab, which are bigram-margin" in subprocess.run(
        [sys.executable, "-c", code, "collect", str(tmp_path)], env=own, cwd=tmp_path,
        capture_output=True, text=True, check=True).stdout  # fmt: skip


def test_cards_show_the_sixteen_tasks_and_not_their_groups(packed):
    cards = pd.read_csv(packed / "tables" / "small_tasks.csv")
    square = pd.read_csv(packed / "tables" / "small_cosine_step_1600.csv", index_col="task")
    assert list(cards.columns) == ["task", "good", "bad"]
    assert set(cards["task"]) == set(square.index)
    assert len(cards) == 16


def test_the_offline_book_is_the_book(packed, smoke_book):
    files = inside(packed.parent / course.BOOK)
    pages = {p.relative_to(smoke_book).as_posix() for p in smoke_book.rglob("*") if p.is_file()}
    assert set(files) == pages - {".key"}
    name = f"notebooks/{CHAPTERS[0].stem}.html"
    assert files[name] == (smoke_book / name).read_bytes()


def test_the_same_course_is_the_same_archive(packed, tmp_path):
    for name in ("slides", "assignments"):
        made = [course._pack(packed / name, tmp_path / f"{i}.zip", name) for i in range(2)]
        assert made[0].read_bytes() == made[1].read_bytes()
    assert len(inside(made[0])) == len(LABS)


def test_the_tables_are_squares_of_the_shipped_run(packed):
    cells = pd.read_csv(ROOT / "data" / "reference" / "blimp-8M" / "gradient.csv.xz")
    last = cells[cells["step"] == 1600].set_index(["a", "b"])["cosine"]
    wide = pd.read_csv(packed / "tables" / "cosine_step_1600.csv", index_col="task")
    assert wide.shape == (67, 67)
    assert (wide.index == wide.columns).all()
    for a, b in (("passive_1", "transitive"), ("npi_present_1", "npi_present_2")):
        assert wide.loc[a, b] == pytest.approx((last[a, b] + last[b, a]) / 2, abs=6e-4)
    moved = pd.read_csv(ROOT / "data" / "reference" / "blimp-8M" / "transfer.csv")
    one = moved.query("source == 'passive_1' and target == 'transitive'").iloc[0]
    taught = pd.read_csv(packed / "tables" / "transfer.csv", index_col="task")
    change = one["margin_after"] - one["margin_before"]
    assert taught.loc["passive_1", "transitive"] == pytest.approx(change, abs=6e-4)
    small = pd.read_csv(packed / "tables" / "small_cosine_step_1600.csv", index_col="task")
    assert small.shape == (16, 16)
    assert small.equals(wide.loc[small.index, small.columns])


def test_the_plans_have_time_for_the_chapters_of_the_book_beside_them(smoke_book):
    said = re.compile(r"ran in (\d+) s ·")
    pages = sorted((smoke_book / "notebooks").glob("[0-9]*.html"))
    rows = [(p.stem, "smoke", int(said.search(p.read_text("utf-8"))[1])) for p in pages]
    assert len(rows) > 10
    times = pd.DataFrame(rows, columns=["chapter", "profile", "seconds"])
    assert lesson_plans.too_long(lesson_plans.plans(), times) == []


# ---------------------------------------------------------------------------------- editions, labs


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_students_chapter_has_no_solution_and_an_instructors_has_all(packed, path):
    student = nbformat.read(packed / "student" / f"{path.stem}.ipynb", as_version=4)
    teacher = packed / "instructor" / "chapters" / f"{path.stem}.ipynb"
    teacher = nbformat.read(teacher, as_version=4)
    texts = ["\n".join(cell.source for cell in book.cells) for book in (student, teacher)]
    assert "{solution" not in texts[0]
    for one in editions.coded(path):
        assert one.stub in texts[0]
        assert one.solved not in texts[0]
        assert one.solved in texts[1]
        assert f"What `{one.name}` looks at" in texts[1]
    folded = editions.directives(path.read_text("utf-8"), "solution")
    for solution in folded:
        line = max(solution["body"].splitlines(), key=len)
        assert line not in texts[0]


def run(notebook: Path, folder: Path) -> None:
    """Run a notebook as a student would, in a kernel that works in this folder."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(folder / "ran.ipynb")]
    command += ["--cwd", str(folder), "--kernel", "python3", "--no-progress-bar"]
    own = {"JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_a_lab_runs_solved_and_unsolved_and_writes_its_scores(packed, lab, tmp_path):
    scores = {}
    for kind, folder in (("empty", "assignments"), ("solved", "instructor/assignments")):
        place = tmp_path / kind
        place.mkdir()
        run(packed / folder / f"{lab.name}.ipynb", place)
        scores[kind] = json.loads((place / f"scores-{lab.name}.json").read_text("utf-8"))
        assert list(scores[kind]) == list(lab.exercises)
        assert (place / f"predictions-{lab.name}.json").exists() == (kind == "solved")
    for name in lab.exercises:
        empty, solved = scores["empty"][name], scores["solved"][name]
        assert (empty["passed"], empty["of"]) == (0, len(exercises.stages(name)))
        assert empty["hint"]
        assert solved == {"passed": solved["of"], "of": empty["of"], "hint": ""}


# ------------------------------------------------------------------------------------------ slides

STEP = """
const page = Reveal.getCurrentSlide(), box = page.getBoundingClientRect();
const shown = [...page.querySelectorAll('h1, h2, p, li, td, img, mjx-container')]
  .filter(e => !e.closest('aside'));
const low = Math.max(...shown.map(e => e.getBoundingClientRect().bottom));
const wide = Math.max(...shown.map(e => e.getBoundingClientRect().right));
return {title: (page.querySelector('h1, h2') ?? {}).textContent, text: page.innerText,
  images: [...page.querySelectorAll('img')].map(i => [i.alt, i.naturalWidth]),
  low, wide, height: innerHeight, width: innerWidth, last: Reveal.isLastSlide(),
  raw: page.querySelectorAll('mjx-merror').length};
"""


@pytest.mark.browser
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_every_slide_of_a_deck_shows_something_and_fits(browser, packed, path):
    url = (packed / "slides" / f"{path.stem}.html").as_uri()
    asked = visit(browser, url)
    assert {address for address in asked if not address.startswith("file:")} == set()
    heading = re.search(r"^# (.+)$", path.read_text("utf-8"), re.MULTILINE)[1]
    seen = []
    while not seen or not seen[-1]["last"]:
        seen.append(browser.execute_script(STEP))
        browser.execute_script("Reveal.next()")
        assert len(seen) < 120
    assert seen[0]["title"] == heading
    assert len(seen) >= 4
    for slide in seen:
        assert slide["title"], slide
        words = slide["text"].removeprefix(slide["title"]).split()
        assert len(words) > 3 or slide["images"], f"{slide['title']}: a blank slide"
        assert slide["low"] <= slide["height"] + 1, f"{slide['title']}: too long"
        assert slide["wide"] <= slide["width"] + 1, f"{slide['title']}: too wide"
        assert slide["raw"] == 0
        for alt, width in slide["images"]:
            assert len(alt) > 10
            assert width > 0
        assert not re.search(r"\{[a-z:]+\}`|^:label:|\*\*Solution", slide["text"], re.MULTILINE)
    figures = re.findall(r"^    name: (fig-\S+)", path.read_text("utf-8"), re.MULTILINE)
    if figures:
        assert any(slide["images"] for slide in seen)
    assert complaints(browser) == []


@pytest.mark.browser
def test_a_deck_is_moved_by_the_keyboard_and_has_notes(browser, packed):
    visit(browser, (packed / "slides" / f"{CHAPTERS[-2].stem}.html").as_uri())
    first = browser.execute_script("return Reveal.getCurrentSlide().innerText")
    browser.find_element("tag name", "body").send_keys(" ")
    assert browser.execute_script("return Reveal.getCurrentSlide().innerText") != first
    notes = browser.execute_script(
        "return [...document.querySelectorAll('aside.notes')].map(e => e.textContent)"
    )
    assert sum(len(note.split()) for note in notes) > 300


@pytest.mark.browser
def test_the_plans_slides_are_where_their_addresses_say(browser, packed):
    plan = (ROOT / "book" / "course" / "lesson_90.md").read_text("utf-8")
    named = set(re.findall(r"`(slides/\w+\.html#/[\w-]+)`", plan))
    assert len(named) >= 5
    for address in named:
        visit(browser, "about:blank")
        visit(browser, f"{packed.as_uri()}/{address}")
        place = address.split("#/")[1]
        there = "return Reveal.getCurrentSlide().matches(`#${s}, :has(#${s})`)"
        assert browser.execute_script(f"const s = '{place}'; {there}"), address
        assert browser.execute_script(STEP)["text"].strip(), address


@pytest.mark.browser
def test_notes_open_from_a_file(browser, packed):
    visit(browser, (packed / "slides" / f"{CHAPTERS[-3].stem}.html").as_uri())
    own = browser.current_window_handle
    # the driver can't look into a window that was written by another, so that one does
    browser.execute_script(
        "const open = window.open.bind(window);"
        "window.open = (...given) => { window.view = open(...given); return window.view }"
    )
    browser.find_element("tag name", "body").send_keys("s")
    notes = (
        "const told = window.view?.document.querySelector('.speaker-controls-notes .value');"
        "return told?.textContent ?? ''"
    )
    told = "return Reveal.getCurrentSlide().querySelector('aside.notes').textContent"
    try:
        for _ in range(100):
            if (said := browser.execute_script(notes)).strip():
                break
            time.sleep(0.2)
        assert said.split() == browser.execute_script(told).split()
        assert len(said.split()) > 8
    finally:
        browser.execute_script("window.view?.close()")
        browser.switch_to.window(own)


@pytest.mark.browser
def test_a_sheet_of_predictions_prints_on_a_page_of_its_own(browser, packed):
    visit(browser, (packed / "handouts" / "predictions.html").as_uri())
    told = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": False})
    pages = base64.b64decode(told["data"]).count(b"/Type /Page\n")
    sheets = browser.execute_script("return document.querySelectorAll('.sheet').length")
    assert sheets == 4
    assert pages == sheets + 1  # what all sheets have in common comes first


@pytest.mark.browser
def test_the_list_of_decks_and_the_start_page_lead_somewhere(browser, packed):
    for page in ("slides/index.html", "index.html"):
        visit(browser, (packed / page).as_uri())
        links = browser.execute_script("return [...document.links].map(a => a.href)")
        files = [link for link in links if link.startswith("file:")]
        assert files
        for link in files:
            assert Path(link.removeprefix("file://").split("#")[0]).exists(), link
        assert complaints(browser) == []


def test_an_item_of_a_list_stays_whole_on_a_slide():
    items = ["1. **right**: F2a *consistent*. And more", "2. **wrong**: Step 200"]
    shown, rest = slides.cut("\n".join([*items, "One sentence. Another, left out."]), 14)
    assert shown.split("\n\n") == [*items, "One sentence."]
    assert rest == "Another, left out."
