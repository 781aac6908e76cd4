"""The book as an EPUB: a file that readers of electronic books can open, read and leaf through."""

from __future__ import annotations

import posixpath
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup

from taskspace_utils import store
from taskspace_utils.cli import main
from taskspace_utils.publishing import chapters, drawing, epub
from taskspace_utils.publishing.chapters import BuildError

OPF, CONTAINER = (
    "{http://www.idpf.org/2007/opf}",
    "{urn:oasis:names:tc:opendocument:xmlns:container}",
)
XHTML, MATHML = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/1998/Math/MathML}"


@pytest.fixture(scope="module")
def archive(smoke_book, tmp_path_factory):
    """The EPUB of the smoke book, made with the store that the book was built with."""
    target = tmp_path_factory.mktemp("epub") / "book.epub"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(smoke_book.parent / "store"))
        epub.build(smoke_book.parent, target)
    with zipfile.ZipFile(target) as opened:
        yield opened


def pages(archive) -> dict[str, ElementTree.Element]:
    """Every page, parsed as XML, which is how readers parse it."""
    names = [name for name in archive.namelist() if name.endswith(".xhtml")]
    return {name: ElementTree.fromstring(archive.read(name)) for name in names}


@pytest.mark.slow
def test_it_is_an_epub_and_whole(archive):
    first = archive.infolist()[0]
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    assert archive.read("mimetype") == b"application/epub+zip"
    assert archive.testzip() is None
    container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
    [rootfile] = container.iter(f"{CONTAINER}rootfile")
    package = ElementTree.fromstring(archive.read(rootfile.attrib["full-path"]))
    items = list(package.iter(f"{OPF}item"))
    listed = {unquote(item.attrib["href"]) for item in items}
    there = set(archive.namelist()) - {"mimetype", "META-INF/container.xml", "content.opf"}
    assert listed == there
    title = package.find(f"{OPF}metadata/{{http://purl.org/dc/elements/1.1/}}title")
    assert title.text == "Task Spaces"
    marked = {i.attrib["href"] for i in items if "mathml" in i.attrib.get("properties", "")}
    assert marked == {
        n for n, page in pages(archive).items() if page.find(f".//{MATHML}math") is not None
    }


@pytest.mark.slow
def test_it_is_read_in_the_order_of_the_book(archive):
    package = ElementTree.fromstring(archive.read("content.opf"))
    where = {i.attrib["id"]: i.attrib["href"] for i in package.iter(f"{OPF}item")}
    order = [where[entry.attrib["idref"]] for entry in package.iter(f"{OPF}itemref")]
    assert order[0] == "book/intro.xhtml"
    assert [n for n in order if n.startswith("notebooks/")] == [
        f"notebooks/{path.stem}.xhtml" for path in chapters.chapters()]  # fmt: skip
    assert set(order) | {"nav.xhtml"} == {n for n in archive.namelist() if n.endswith(".xhtml")}
    nav = BeautifulSoup(archive.read("nav.xhtml"), "html.parser")
    contents = list(dict.fromkeys(a["href"].split("#")[0] for a in nav.select("nav a")))
    assert contents == order


@pytest.mark.slow
def test_its_pages_are_xhtml_without_scripts_and_every_link_and_picture_is_there(archive):
    parsed = pages(archive)
    ids = {name: {e.attrib["id"] for e in page.iter() if "id" in e.attrib}
           for name, page in parsed.items()}  # fmt: skip
    for name, page in parsed.items():
        found = [e.attrib["id"] for e in page.iter() if "id" in e.attrib]
        assert len(found) == len(set(found)), name
        for tag in ("script", "style", "iframe", "button", "input", "select", "noscript"):
            assert page.find(f".//{XHTML}{tag}") is None, (name, tag)
        assert not [a for e in page.iter() for a in e.attrib if a.startswith("on")], name
        for image in page.iter(f"{XHTML}img"):
            assert len(image.attrib["alt"]) > 10, name
        for element in page.iter():
            address = element.attrib.get("src") or element.attrib.get("href")
            parts = urlsplit(address or "https:")
            if parts.scheme in ("http", "https", "mailto", "data"):
                assert element.tag in (f"{XHTML}a", f"{XHTML}img", *([element.tag] * (not address)))
                assert parts.scheme == "data" or element.tag != f"{XHTML}img", name
                continue
            here = posixpath.join(posixpath.dirname(name), unquote(parts.path))
            target = posixpath.normpath(here) if parts.path else name
            assert target in archive.namelist(), (name, address)
            assert not parts.fragment or unquote(parts.fragment) in ids[target], (name, address)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_its_formulas_are_mathml_and_keep_their_numbers(archive, smoke_book):
    if not (smoke_book / "_static" / "es5").is_dir():
        pytest.skip("the book was built without MathJax")
    for name, page in pages(archive).items():
        text = "".join(page.itertext())
        assert r"\(" not in text, name
        assert r"\[" not in text, name
        assert page.find(f".//{MATHML}merror") is None, name
    page = pages(archive)["notebooks/05_ftgd.xhtml"]
    assert len(list(page.iter(f"{MATHML}math"))) > 20
    assert all(math.attrib["alttext"] for math in page.iter(f"{MATHML}math"))
    html = (smoke_book / "notebooks" / "05_ftgd.html").read_text("utf-8")
    numbers = [
        e.get_text().strip("()#¶ ") for e in BeautifulSoup(html, "html.parser").select(".eqno")
    ]
    shown = [
        "".join(e.itertext()).strip("() ")
        for e in page.iter(f"{XHTML}span")
        if e.attrib.get("class") == "eqno"
    ]
    assert shown == numbers


@pytest.mark.slow
def test_every_figure_is_in_it_as_the_run_drew_it(archive, smoke_book):
    pictures = {archive.read(n) for n in archive.namelist() if n.endswith(".png")}
    for path in (smoke_book.parent / "figures").glob("fig-*.png"):
        assert path.read_bytes() in pictures, path.name


def test_what_moves_on_a_page_is_left_out_and_its_words_stay():
    soup = BeautifulSoup(
        '<p class="ts-provenance">ran · <a href="../_sources/x.ipynb">executed notebook</a></p>'
        '<div class="ts-explorer a"><style>p {}</style><div class="bar">bar</div>'
        "<p>first <b>pair</b></p><script>run()</script></div>"
        '<div class="ts-explorer b"><div class="live">live</div><div class="still">a table</div>'
        "<script>run()</script></div>"
        '<img class="only-dark" src="x" alt="dark"><p onclick="x()">text</p>',
        "html.parser",
    )
    epub._still(soup)
    words = " ".join(soup.get_text(" ").split())
    assert words == (
        "ran first pair On its web page, this can be moved. a table "
        "On its web page, this can be moved. text"
    )
    assert not soup.select("script, style, img, [onclick]")


def test_a_formula_that_cannot_be_read_is_an_error(tmp_path, monkeypatch, smoke_store):
    mathjax = drawing.tarball(next(n for n in drawing.VENDORED if n.startswith("mathjax")))
    if shutil.which("node") is None or not mathjax.is_file():
        pytest.skip("node or MathJax is missing")
    good = BeautifulSoup(r'<span class="math">\(\tau_{AB} < 1\)</span>', "html.parser")
    epub._formulas([good])
    assert good.math["alttext"] == r"\tau_{AB} < 1"
    assert good.math.find("msub").get_text(strip=True) == "τAB"
    ElementTree.fromstring(str(good))
    bad = BeautifulSoup(r'<span class="math">\(\unknown{x}\)</span>', "html.parser")
    with pytest.raises(BuildError, match=r"\\unknown\{x\}.*Undefined control sequence"):
        epub._formulas([bad])


def test_without_node_formulas_stay_and_it_is_said(monkeypatch, capsys):
    monkeypatch.setattr(epub.shutil, "which", lambda name: None)
    soup = BeautifulSoup(r'<span class="math">\(x\)</span>', "html.parser")
    epub._formulas([soup])
    assert soup.get_text() == r"\(x\)"
    assert "node or MathJax is missing" in capsys.readouterr().err


def test_without_a_book_there_is_none_of_it(tmp_path, capsys):
    assert main(["epub", "--book", str(tmp_path)]) == 2
    assert "has no book: build one first" in capsys.readouterr().err
    store.write_atomic(tmp_path / "stage" / "_config.yml", "title: half\n")
    assert main(["epub", "--book", str(tmp_path)]) == 2  # staged, but never drawn
    assert not list(Path(tmp_path).glob("*.epub"))
