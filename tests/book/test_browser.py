"""The built pages in a real browser: no request to elsewhere, no error, no overflow."""

from __future__ import annotations

import pytest

from .browsing import complaints, visit
from .test_pages import PAGES

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(browser, address, name):
    asked = visit(browser, f"{address}{name}.html")
    assert {url for url in asked if not url.startswith(address)} == set()
    assert complaints(browser) == []
    broken = browser.execute_script(
        "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    )
    assert broken == []
    raw = browser.execute_script(
        "return [...document.querySelectorAll('.math')].filter(m => !m.querySelector("
        "'mjx-container')).length + document.querySelectorAll('mjx-merror').length"
    )
    assert raw == 0, "mathematics that was not drawn"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(browser, address, name):
    visit(browser, f"{address}{name}.html", width=390)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    wide = browser.execute_script(
        "return [...document.querySelectorAll('article *')].filter(e => "
        "e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("
        "'pre, .cell_output, .math, .pst-scrollable-table-container'"
        ")).slice(0, 5).map(e => e.outerHTML.slice(0, 120))"
    )
    assert (width, wide) == (390, [])


def test_pages_are_read_from_disk_without_a_server(browser, smoke_book):
    name = PAGES[1]
    asked = visit(browser, f"file://{smoke_book}/{name}.html")
    assert {url for url in asked if not url.startswith("file://")} == set()
    assert browser.execute_script("return document.querySelectorAll('article h1').length") == 1


def test_dark_pages_have_light_text(browser, address):
    visit(browser, f"{address}{PAGES[1]}.html")
    light = browser.execute_script(
        "document.documentElement.dataset.theme = 'dark';"
        "const colours = e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number);"
        "return [...document.querySelectorAll('article p, article h1, .ts-provenance')]"
        ".map(e => Math.max(...colours(e)))"
    )
    assert light
    assert min(light) > 140


def test_a_chapter_can_be_printed(browser, address):
    visit(browser, f"{address}{PAGES[1]}.html")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert len(printed) > 10_000
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = browser.execute_script(
        "return getComputedStyle(document.querySelector('.bd-sidebar-primary')).display"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown == "none"
