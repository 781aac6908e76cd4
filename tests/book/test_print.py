"""Pages on paper: white also from a dark theme, without menus, and nothing cut off."""

from __future__ import annotations

import base64
import re
import zlib

import pytest

from .browsing import visit
from .test_pages import CHAPTERS

pytestmark = pytest.mark.browser


@pytest.fixture
def on_paper(browser):
    """The browser, showing pages as they are printed."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    yield browser
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_is_white_and_shows_the_pictures_for_white_paper(on_paper, address, theme):
    visit(on_paper, f"{address}notebooks/04_teaching_one_task.html", width=700)
    on_paper.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
    colours = on_paper.execute_script(
        "const style = (s) => getComputedStyle(document.querySelector(s));"
        "return [style('body').backgroundColor, style('article p').color,"
        " style('article h1').color, style('article pre span').color]"
    )
    assert colours[0] == "rgb(255, 255, 255)"
    for colour in colours[1:]:
        assert max(int(part) for part in re.findall(r"\d+", colour)[:3]) < 100, colours
    shown = on_paper.execute_script(
        "return ['light', 'dark'].map((mode) => [...document.querySelectorAll('article .only-'"
        " + mode)].map((e) => e.getBoundingClientRect().width > 50))"
    )
    assert shown[0]
    assert set(shown[0]) == {True}
    assert set(shown[1]) == {False}


@pytest.mark.parametrize("name", CHAPTERS)
def test_nothing_is_cut_off_and_nothing_is_there_to_be_clicked(on_paper, address, name):
    visit(on_paper, f"{address}notebooks/{name}.html", width=700)
    width = on_paper.execute_script("return document.documentElement.scrollWidth")
    wide = on_paper.execute_script(
        "return [...document.querySelectorAll('article :is(pre, p, img, h2, figure)')]"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth + 1"
        " || e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible')"
        ".map((e) => e.outerHTML.slice(0, 100))"
    )
    assert (width <= 700, wide) == (True, [])
    left = on_paper.execute_script(
        "return [...document.querySelectorAll("
        "'nav:not(#print-main-content nav), button, select, input, .headerlink, .copybtn')]"
        ".filter((e) => e.getBoundingClientRect().width > 1).map((e) => e.outerHTML.slice(0, 100))"
    )
    assert left == []


def test_a_chapter_becomes_a_pdf_of_some_pages(browser, address):
    visit(browser, f"{address}notebooks/07_gradients.html")
    options = {"printBackground": False, "paperWidth": 8.27, "paperHeight": 11.69}
    data = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", options)["data"])
    assert data.startswith(b"%PDF")
    streams = re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL)
    unpacked = [zlib.decompressobj().decompress(s) for s in streams if s[:1] == b"x"]
    assert 5 < len(re.findall(rb"/Type\s*/Page\b", data + b"".join(unpacked))) < 60
