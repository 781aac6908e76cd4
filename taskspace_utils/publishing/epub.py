"""The book as an EPUB: the pages of the last build in one file, for readers of electronic books.

Sphinx writes the file; it is then mended, since few such readers run scripts: formulas become
MathML, what only moves on a page is left out, as is every script, and links that lead out of the
file to something that isn't in it become text.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import yaml
from bs4 import BeautifulSoup, Tag

from taskspace_utils import store
from taskspace_utils.publishing import drawing
from taskspace_utils.publishing.chapters import BuildError
from taskspace_utils.store import InputError

# what Sphinx is told beside the book's own configuration
SETTINGS = {
    "epub_basename": "task-spaces",
    "epub_identifier": "task-spaces",
    "epub_uid": "task-spaces",
    "epub_scheme": "ID",
    "epub_description": "Task spaces of language models, rebuilt from the idea up.",
    "epub_publisher": "the Task Spaces contributors",
    "epub_title": "Task Spaces",
    "project": "Task Spaces",
    "epub_tocscope": "includehidden",  # all chapters are in the book's hidden table of contents
    "epub_show_urls": "no",  # an address under each link would fill the pages
    "epub_css_files": ["ebook.css"],
    "epub_use_index": False,
    "html_domain_indices": False,  # a list of definitions in no reading order
    "html_static_path": ["book/assets"],
    "html_extra_path": [],
    # files of the toolchain that no electronic book knows, and pages that are named twice
    "suppress_warnings": ["epub.unknown_project_files", "epub.duplicated_toc_entry"],
}
SPACES = {"": "http://www.idpf.org/2007/opf", "dc": "http://purl.org/dc/elements/1.1/"}
KEPT = re.compile(r"mimetype$|^META-INF/|\.(opf|ncx)$")  # beside pages, and what they show
STYLES = ("pygments.css", "ebook.css")
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n'
# MathJax, from the package that pages use in a browser; a formula that it cannot read is an error
SCRIPT = """
const [folder] = process.argv.slice(2), tex = JSON.parse(require("fs").readFileSync(0));
require(folder + "/es5/node-main.js").init({
  loader: {load: ["input/tex"], paths: {mathjax: folder + "/es5"}},
  tex: {packages: {"[-]": ["noundefined", "noerrors"]}, formatError: (_, error) => { throw error }},
}).then((mathjax) => console.log(JSON.stringify(
  tex.map(([text, display]) => {
    try { return mathjax.tex2mml(text, {display}); }
    catch (error) { throw new Error(`${text}: ${error.message}`); }
  }))
)).catch((error) => { console.error(String(error.message || error)); process.exit(1); });
"""


def build(out: str | Path | None = None, target: str | Path | None = None) -> Path:
    """Make an EPUB of the pages that were last built.

    Args:
        out: the folder that the book was built in; `_build/` in the project by default.
        target: the file to write; `task-spaces.epub` in that folder by default.

    Raises:
        InputError: no book was built there.
        BuildError: Sphinx has a warning, or a formula cannot be read.
    """
    out = Path(out).resolve() if out else store.project_root() / "_build"
    stage = out / "stage"
    if not (out / "html" / ".key").is_file() or not (stage / "_config.yml").is_file():
        raise InputError(f"{out} has no book: build one first (`taskspaces book`)")
    store.say("writing the EPUB")
    with tempfile.TemporaryDirectory(prefix="taskspaces-") as folder:
        config = yaml.safe_load((stage / "_config.yml").read_text(encoding="utf-8"))
        settings = config["sphinx"]["config"]
        for name in ("mathjax_path", "nb_ipywidgets_js"):
            settings.pop(name, None)
        settings |= SETTINGS | {"version": store.versions()["taskspace-utils"]}
        # pictures rather than what moves
        settings["nb_mime_priority_overrides"] = [
            ["epub", "image/png", 0],
            ["epub", "application/vnd.jupyter.widget-view+json", None],
        ]
        own = store.write_atomic(Path(folder) / "_config.yml", yaml.safe_dump(config))
        options = ["--builder", "custom", "--custom-builder", "epub", "--config", own]
        drawing.jupyter_book(stage, Path(folder), options)
        [made] = (Path(folder) / "_build" / "epub").glob("*.epub")
        mended = _mended(made, Path(folder) / "mended.epub")
        target = Path(target) if target else out / "task-spaces.epub"
        store.write_atomic(target, mended.read_bytes())
    store.say(f"the EPUB is {target}")
    return target


def _mended(made: Path, target: Path) -> Path:
    """The file without scripts, with formulas as MathML, and with links that lead somewhere."""
    with zipfile.ZipFile(made) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    pages = {
        name: BeautifulSoup(_body(files[name]), "html.parser")
        for name in files
        if name.endswith(".xhtml")
    }
    _formulas(pages.values())
    for soup in pages.values():
        _still(soup)
    ids = {name: {tag["id"] for tag in soup.select("[id]")} for name, soup in pages.items()}
    for name, soup in pages.items():
        _links(name, soup, files.keys(), ids)
    wanted = {src for name, soup in pages.items() for src in _sources(name, soup)}
    for name in list(files):
        if name not in pages and name not in wanted and not KEPT.search(name):
            del files[name]
    order = list(
        dict.fromkeys(a["href"].split("#")[0] for a in pages["nav.xhtml"].select("a[href]"))
    )
    for name, soup in pages.items():
        files[name] = (HEAD + soup.decode(formatter="minimal").strip() + "\n").encode()
    files["content.opf"] = _manifest(files["content.opf"], files, pages, order)
    files["toc.ncx"] = re.sub(
        rb'(?<= src=")[^"#]+', lambda found: posixpath.normpath(found[0]), files["toc.ncx"]
    )
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        first = files.pop("mimetype")  # uncompressed at the head: so the file's kind is known
        archive.writestr("mimetype", first, zipfile.ZIP_STORED)
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return target


def _body(page: bytes) -> str:
    """A page without its XML declaration and document type, which `HEAD` puts back."""
    return re.sub(r"^\s*(<\?xml[^>]*\?>|<!DOCTYPE[^>]*>)\s*", "", page.decode()).split(
        "<!DOCTYPE html>", 1
    )[-1]


def _sources(name: str, soup: BeautifulSoup) -> Iterable[str]:
    """The files that a page shows or is styled by."""
    for tag in soup.select("img[src], link[href]"):
        address = unquote(tag.get("src") or tag.get("href"))
        yield posixpath.normpath(posixpath.join(posixpath.dirname(name), address))


def _formulas(pages: Iterable[BeautifulSoup]) -> None:
    """Replace TeX by MathML, as MathJax reads it; where node or MathJax is missing, TeX stays."""
    found = []
    for soup in pages:
        for tag in soup.select("span.math, div.math"):
            text = next(
                (t for t in tag.find_all(string=True) if t.strip()[:2] in (r"\(", r"\[")), 0
            )
            if text:
                found.append((text, text.strip()[2:-2].strip(), tag.name == "div"))
    tarball = drawing.tarball(next(name for name in drawing.VENDORED if name.startswith("mathjax")))
    node = shutil.which("node")
    if node is None or not tarball.is_file():
        store.say("node or MathJax is missing: formulas of the EPUB stay as TeX")
        return
    with tempfile.TemporaryDirectory(prefix="taskspaces-") as folder:
        with tarfile.open(tarball) as tar:
            tar.extractall(folder, filter="data")
        script = store.write_atomic(Path(folder) / "tex.js", SCRIPT)
        done = subprocess.run(
            [node, script, f"{folder}/package"],
            input=json.dumps([[tex, display] for _, tex, display in found]),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise BuildError(f"a formula of the EPUB cannot be read: {done.stderr.strip()[-500:]}")
    for (text, tex, _), mathml in zip(found, json.loads(done.stdout), strict=True):
        math = BeautifulSoup(re.sub(r' (data-[\w-]+|id)="[^"]*"', "", mathml), "html.parser").math
        math["alttext"] = tex
        text.replace_with(math)


def _still(soup: BeautifulSoup) -> None:
    """Leave out what only lives in a browser; an explorer keeps what can be read of it."""
    for explorer in soup.select(".ts-explorer"):
        moving = "[hidden], .bar, svg"
        if explorer.select_one(":scope > .still"):  # what is there for paper
            moving = ":scope > :not(.still)"
        for tag in explorer.select(moving):
            tag.decompose()
        note = soup.new_tag("p", attrs={"class": "ts-note"})
        note.string = "On its web page, this can be moved."
        explorer.append(note)
    for tag in soup.select(".legend:has(code.download)"):  # links to files that are not here
        tag.decompose()
    for tag in soup.select("script, style, noscript, button, .headerlink, .only-dark"):
        tag.decompose()
    for link in soup.select("link"):
        if not link.get("href", "").endswith(STYLES):
            link.decompose()
    for tag in soup.select("[role=doc-biblioentry]"):  # of an older standard
        del tag["role"]
    for tag in soup.select(".ts-provenance a[href*=_sources]"):
        before = tag.previous_sibling  # the notebook is not in the file, nor the dot before it
        before.replace_with(before.rstrip(" ·"))
        tag.decompose()
    for tag in soup.find_all(True):
        for name in [n for n in tag.attrs if n.startswith(("on", "aria-live", "tabindex"))]:
            del tag[name]
    for table in soup.select("table[border]"):
        del table["border"]
    for cell in soup.select("[align], [valign]"):
        cell.attrs = {k: v for k, v in cell.attrs.items() if k not in ("align", "valign")}


def _links(name: str, soup: BeautifulSoup, files: Iterable[str], ids: dict[str, set]) -> None:
    """Make text of links that lead to a file or an anchor that isn't there."""
    for link in soup.select("a[href]"):
        parts = urlsplit(link["href"])
        if parts.scheme or parts.netloc:
            continue
        target = posixpath.join(posixpath.dirname(name), unquote(parts.path))
        target = posixpath.normpath(target) if parts.path else name
        missing = parts.fragment and unquote(parts.fragment) not in ids.get(target, ())
        if target not in files or target not in ids or missing:
            link.name = "span"
            del link["href"]
        elif parts.path:  # Sphinx has detours in its table of contents
            anchor = f"#{parts.fragment}" if parts.fragment else ""
            link["href"] = posixpath.relpath(target, posixpath.dirname(name) or ".") + anchor
    seen: set[str] = set()
    for tag in soup.select("[id]"):  # an id is there once
        if tag["id"] in seen:
            del tag["id"]
        else:
            seen.add(tag["id"])


def _manifest(opf: bytes, files: Iterable[str], pages: dict[str, Tag], order: list[str]) -> bytes:
    """The list of files without those that were left out, with what pages hold and their order."""
    for prefix, space in SPACES.items():
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.fromstring(opf)
    manifest, spine = root.find("{*}manifest"), root.find("{*}spine")
    known = {}
    for item in list(manifest):
        name = unquote(item.attrib["href"])
        if name not in files:
            manifest.remove(item)
            continue
        known[name] = item.attrib["id"]
        holds = set(item.attrib.pop("properties", "").split()) - {"scripted"}
        holds |= {"mathml"} if name in pages and pages[name].find("math") else set()
        if holds:
            item.attrib["properties"] = " ".join(sorted(holds))
    for entry in list(spine):
        spine.remove(entry)
    for name in order:
        ElementTree.SubElement(spine, f"{{{SPACES['']}}}itemref", idref=known[name])
    for entry in root.findall("{*}metadata/{*}contributor"):  # Sphinx writes one that is empty
        root.find("{*}metadata").remove(entry)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
