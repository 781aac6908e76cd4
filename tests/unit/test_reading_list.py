"""The reading list: whole, sure of what it says of a paper, in sentences of its own, and shown."""

import copy
import hashlib
import re
import runpy
from itertools import combinations

import pytest
import yaml

from taskspace_utils.store import InputError, data_path, project_root

SCRIPT = runpy.run_path(str(project_root() / "scripts" / "reading_list.py"))
LIST = yaml.safe_load(data_path("reading.yml").read_text(encoding="utf-8"))
PAPERS, ANCESTORS = LIST["papers"], LIST["ancestors"]
ALL = [*ANCESTORS, *PAPERS]
BIBLIOGRAPHY = (project_root() / "book" / "references.bib").read_text(encoding="utf-8")
# of the list's identifiers, sorted, a line each
GIVEN = "4cab8c9463aca243"


def said(paper: dict) -> str:
    return paper.get("how") or paper["not_here"]


def sentences(text: str) -> int:
    return len(re.findall(r"[.?!](?=\s+[A-Z]|$)", text))


def likeness(one: str, other: str) -> float:
    """Share of the longer words of two texts that are in both."""
    a, b = (set(re.findall(r"[a-z]{4,}", text.lower())) for text in (one, other))
    return len(a & b) / len(a | b)


def labels() -> dict[str, int]:
    """The chapters' numbers by their labels."""
    files = (project_root() / "notebooks").glob("[0-9][0-9]_*.md")
    texts = {int(path.name[:2]): path.read_text("utf-8") for path in files}
    return {re.search(r"^\((ch-[\w-]+)\)=$", text, re.M)[1]: n for n, text in texts.items()}


def bibliography() -> dict[str, str]:
    """Titles by citation key, without braces and in lower case."""
    entries = re.findall(r"^@\w+\{(\w+),(.*?)^\}", BIBLIOGRAPHY, re.M | re.S)
    titles = {key: re.search(r"^ *title *= \{(.*)\},$", text, re.M)[1] for key, text in entries}
    return {key: re.sub(r"[{}]", "", t).replace("--", "–").lower() for key, t in titles.items()}


def test_the_page_is_what_the_script_makes_of_the_data():
    page = (project_root() / "book" / "reading_list.md").read_text(encoding="utf-8")
    assert page == SCRIPT["page"](SCRIPT["checked"](LIST)), "run `python scripts/reading_list.py`"
    for paper in ALL:
        assert page.count(f"**{SCRIPT['escaped'](paper['title'])}.**") == 1


def test_every_paper_of_the_list_is_there_once():
    ids = [paper["id"] for paper in PAPERS]
    assert len(ids) == len(set(ids)) == 43
    assert hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16] == GIVEN
    titles = [paper["title"].lower() for paper in ALL]
    assert len(titles) == len(set(titles))


def test_a_paper_bears_on_chapters_or_says_why_not():
    known = labels()
    for paper in ALL:
        assert ("how" in paper) != ("not_here" in paper), paper["title"]
        assert ("bears_on" in paper) == ("group" in paper) == ("how" in paper), paper["title"]
        chosen = paper.get("bears_on", [])
        assert set(chosen) <= set(known), paper["title"]
        assert len(chosen) == len(set(chosen))
    assert all("how" in paper for paper in ANCESTORS)
    assert {paper["group"] for paper in ALL if "group" in paper} == set(LIST["groups"])


def test_chapters_and_equations_that_are_named_are_those_it_bears_on():
    known = labels()
    for paper in ALL:
        named = re.findall(r"(?:[Cc]hapters?|[Ee]quation) (\d+)", said(paper))
        allowed = {known[label] for label in paper.get("bears_on", known)}
        assert {int(n) for n in named} <= allowed, paper["title"]


def test_one_or_two_sentences_each_unlike_the_others():
    for paper in ALL:
        assert sentences(said(paper)) in (1, 2), paper["title"]
        assert 15 <= len(said(paper).split()) <= 60, paper["title"]
    for one, other in combinations(ALL, 2):
        alike = likeness(said(one), said(other))
        assert alike < 0.25, f"{one['title']} and {other['title']}: {alike:.2f}"
    openings = [tuple(said(paper).split()[:3]) for paper in ALL]
    assert len(openings) == len(set(openings))


def test_of_a_paper_that_is_not_verified_only_title_and_identifier_are_given():
    about = {"authors", "year", "cite"}
    for paper in PAPERS:
        if "verified" in paper:
            assert paper["verified"] is False, paper["title"]
            assert not about & set(paper), paper["title"]
        else:
            given = about & set(paper)
            assert given in ({"cite"}, {"authors", "year"}), paper["title"]


def test_years_are_those_of_the_identifiers():
    for paper in PAPERS:
        number = re.search(r"arXiv:(\d\d)\d\d\.\d{4,5}$", paper["id"])
        year = 2000 + int(number[1]) if number else int(re.search(r" (\d{4})$", paper["id"])[1])
        assert paper.get("year", year) == year, paper["title"]


def test_citations_are_of_the_papers_with_these_titles():
    titles = bibliography()
    assert len(titles) == len(re.findall(r"^@", BIBLIOGRAPHY, re.M))  # each entry once, each read
    for paper in ALL:
        if "cite" in paper:
            assert titles[paper["cite"]] == paper["title"].lower()
    assert all("cite" in paper for paper in ANCESTORS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": "method of sorts"}, "no group 'method of sorts'"),
        ({"year": None, "authors": "Somebody"}, "authors and year"),
        ({"how": ""}, "'how' is missing or empty"),
        ({"planned": True}, "unknown key 'planned'"),
    ],
)
def test_what_the_page_cannot_show_is_refused(change, message):
    data = copy.deepcopy(LIST)
    paper = next(p for p in data["papers"] if "how" in p and "cite" not in p)
    paper.update(change)
    data["papers"] = [{k: v for k, v in p.items() if v is not None} for p in data["papers"]]
    with pytest.raises(InputError, match=message):
        SCRIPT["checked"](data)


def test_text_from_the_data_is_text_on_the_page():
    paper = {"id": "A_b 2020", "title": "<script>*a*{ref}`x`", "not_here": "$x$ [a](b) & c"}
    shown = SCRIPT["entry"](paper | {"verified": False}, paper["not_here"])
    assert "\\<script\\>\\*a\\*\\{ref\\}\\`x\\`" in shown
    assert "\\$x\\$ \\[a\\](b) &amp; c" in shown
    assert "A\\_b 2020" in shown
