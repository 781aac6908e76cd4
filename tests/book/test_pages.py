"""The built pages, as files: whole, executed, described, and leading nowhere that isn't there."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import matplotlib.pyplot as plt
import pytest
import yaml
from bs4 import BeautifulSoup

from taskspace_utils import store
from taskspace_utils.publishing import chapters, pages, redraw

CHAPTERS = [path.stem for path in chapters.chapters()]
MAY_LACK: set[str] = set()  # labels of figures that profile smoke has no table for


def in_the_book() -> list[str]:
    """All pages in the order of the table of contents, without suffixes."""
    toc = yaml.safe_load((store.project_root() / "_toc.yml").read_text(encoding="utf-8"))
    found = [toc["root"]]

    def visit(entry: dict) -> None:
        if "file" in entry:
            found.append(entry["file"])
        elif "glob" in entry:
            paths = sorted(store.project_root().glob(f"{entry['glob']}.md"))
            found.extend(f"notebooks/{path.stem}" for path in paths)
        for key in ("parts", "chapters", "sections"):
            for child in entry.get(key, []):
                visit(child)

    visit(toc)
    return found


PAGES = in_the_book()


@pytest.fixture(params=PAGES)
def page(request, smoke_book) -> tuple[Path, BeautifulSoup]:
    path = smoke_book / f"{request.param}.html"
    return path, BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_the_book_leads_through_all_pages_in_order(smoke_book):
    soup = BeautifulSoup((smoke_book / "book" / "intro.html").read_text("utf-8"), "html.parser")
    links = [a["href"] for a in soup.select("nav.bd-links li > a")]
    names = [link.removeprefix("../").removesuffix(".html") for link in links]
    expected = [name.removeprefix("book/") for name in PAGES[1:]]
    assert names == ["#", *expected]  # first, the page itself
    assert {f"notebooks/{name}" for name in CHAPTERS} <= set(PAGES)


def test_every_text_of_the_book_is_in_its_table_of_contents():
    root = store.project_root()
    texts = {
        path.relative_to(root).with_suffix("").as_posix()
        for path in [*(root / "book").rglob("*.md"), *(root / "notebooks").glob("*.md")]
    }
    assert texts == set(PAGES)


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name[:2].isdigit()])
def test_a_chapter_has_the_number_of_its_file(name, smoke_book):
    html = (smoke_book / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    soup = BeautifulSoup(html, "html.parser")
    numbers = [span.get_text().strip() for span in soup.select("article .section-number")]
    assert numbers[0] == f"{int(name[:2])}."
    assert all(number.startswith(numbers[0]) for number in numbers)
    assert all(e.get_text().strip("()#¶ ").startswith(numbers[0]) for e in soup.select(".eqno"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_cell_was_executed_without_error(name, smoke_store):
    (path,) = smoke_store.glob(f"chapters/smoke/*/{name}.ipynb")
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells if cell["source"])
    kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert "error" not in kinds


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_says_what_ran_and_shows_its_parameters_once(name, smoke_book):
    html = (smoke_book / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    text = BeautifulSoup(html, "html.parser").get_text()
    assert re.search(r"Profile smoke · ran in \d+ s · taskspace-utils [\d.]+, method \w+", text)
    assert len(re.findall(r'^profile: str = "smoke"  #', text, re.MULTILINE)) == 1
    assert not re.search(r"^# Parameters$", text, re.MULTILINE)  # papermill's second cell


def test_no_page_shows_a_traceback_or_a_warning(page):
    path, soup = page
    text = soup.get_text()
    assert "Traceback (most recent call last)" not in text, path
    assert "Warning:" not in text, path
    assert not soup.select(".output.traceback, .stderr, .system-message"), path


def test_every_picture_is_described_and_there(page):
    path, soup = page
    for image in soup.select("article img"):
        alt = image.get("alt", "").strip()
        assert len(alt) > 10, f"{path.name}: {image.get('src')} has no alt text"
        assert "_images/" not in alt, f"{path.name}: {alt} is a file's name, not a description"
        source = image["src"]
        assert source.startswith("data:") or (path.parent / unquote(source)).is_file()


def test_every_figure_of_every_chapter_is_drawn_again_from_its_table(smoke_book):
    labels = re.compile(r"^    name: (fig-\S+)", re.MULTILINE)
    named = {n for path in chapters.chapters() for n in labels.findall(path.read_text("utf-8"))}
    folder = smoke_book.parent / "figures"
    known = redraw.listing(folder)
    assert named - set(known["name"]) <= MAY_LACK
    for name in known["name"]:
        assert redraw.redraw(name, folder).axes, name
        plt.close("all")


@functools.cache
def anchors(path: Path) -> set[str]:
    """All places of a page that a link can lead to."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    return {tag.get("id") or tag.get("name") for tag in soup.select("[id], a[name]")}


def test_links_lead_somewhere(page):
    """To a file that is there and, where they name a place in a page, to that place."""
    path, soup = page
    for link in soup.select("[href], [src]"):
        parts = urlsplit(link.get("href") or link.get("src"))
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.exists(), f"{path.name} links to {parts.path}"
        if parts.fragment and target.suffix == ".html":
            place = unquote(parts.fragment)
            assert place in anchors(target), f"{path.name} links to {target.name}#{place}"


def test_nothing_is_loaded_from_elsewhere(page):
    path, soup = page
    for tag in soup.select("script[src], link[rel=stylesheet], img[src], iframe[src]"):
        address = tag.get("src") or tag.get("href")
        assert not urlsplit(address).netloc, f"{path.name} loads {address}"


def test_the_notice_of_plain_builds_is_gone(page):
    assert "without their results" not in page[1].get_text()


def soup_of(smoke_book: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((smoke_book / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def test_the_reference_leads_from_a_function_to_the_equations_behind_it(smoke_book):
    soup = soup_of(smoke_book, "book/api")
    for room, names in pages.public_names().items():
        for name in names:
            assert soup.find(id=f"taskspace_utils.{room}.{name}"), name
    about = soup.find(id="taskspace_utils.ftgd.tune").find_parent("dl")
    links = {a.get_text(): a["href"] for a in about.select("a.reference.internal")}
    assert links["(5.4)"] == "../notebooks/05_ftgd.html#equation-eq-5-4"
    assert links["chapter 5"].startswith("../notebooks/05_ftgd.html#")
    equations = soup.select('a[href*="#equation-eq-"]')
    assert len(equations) > 5
    for link in equations:  # the number that is shown is the one that the label promises
        number = link["href"].split("#equation-eq-")[1].replace("-", ".")
        assert link.get_text().strip("()") == number


def test_run_times_are_those_of_the_notebooks_that_are_shown(smoke_book, smoke_store):
    rows = soup_of(smoke_book, "book/run_times").select("table")[0].select("tbody tr")
    shown = [[cell.get_text() for cell in row.select("td")] for row in rows[:-1]]
    assert len(shown) == len(CHAPTERS)
    for name, row in zip(CHAPTERS, shown):
        (path,) = smoke_store.glob(f"chapters/smoke/*/{name}.ipynb")
        ran = json.loads(path.read_text())["metadata"]["papermill"]
        assert row[1:3] == [ran["parameters"]["profile"], f"{round(ran['duration'], 1):.0f}"]


def test_first_uses_lead_to_the_glossary(smoke_book):
    glossary = soup_of(smoke_book, "book/glossary")
    for name in CHAPTERS:
        soup = soup_of(smoke_book, f"notebooks/{name}")
        links = [a["href"] for a in soup.select('a[href*="glossary.html#term-"]')]
        assert len(links) > 3, name
        assert len(set(links)) == len(links), "a term is linked once a chapter"
        assert all(glossary.find(id=link.split("#")[1]) for link in links)


def test_no_mark_is_left_unfilled(page):
    assert not re.search(r"(?m)^@[a-z-]+$|@minutes\(", page[1].get_text())
