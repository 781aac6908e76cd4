"""The built pages in a real browser: whole, quiet, in light and dark, on a phone, by keyboard."""

from __future__ import annotations

import tarfile

import pytest
from selenium.webdriver.common.keys import Keys

from taskspace_utils.publishing import drawing

from .browsing import complaints, visit
from .test_pages import PAGES

pytestmark = pytest.mark.browser

CHAPTER = "notebooks/05_ftgd"
AXE = "axe-core@4.10.3"
# rules of axe that others' markup breaks, and where, each with its reason
EXCUSED = {
    ("aria-required-children", '<div role="list" class="citation-list">'): "Sphinx gives the list "
    "of references a role, and its entries none",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_without_network_or_server(browser, smoke_book, name):
    asked = visit(browser, f"file://{smoke_book}/{name}.html")
    assert {url for url in asked if not url.startswith("file://")} == set()
    assert complaints(browser) == []
    assert browser.execute_script("return document.querySelectorAll('article h1').length") == 1
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
    asked = visit(browser, f"{address}{name}.html", width=390)
    assert {url for url in asked if not url.startswith(address)} == set()
    assert complaints(browser) == []
    width = browser.execute_script("return document.documentElement.scrollWidth")
    wide = browser.execute_script(
        "return [...document.querySelectorAll('article *')].filter(e => "
        "e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("
        "'pre, .cell_output, .math, .pst-scrollable-table-container, .ts-explorer'"
        ")).slice(0, 5).map(e => e.outerHTML.slice(0, 120))"
    )
    assert (width, wide) == (390, [])
    cut = browser.execute_script(
        "return [...document.querySelectorAll('article :is(p, li, td, pre, table, div)')].filter("
        "e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 40 &&"
        " ['hidden', 'clip'].includes(getComputedStyle(e).overflowX)"
        ").slice(0, 5).map(e => e.outerHTML.slice(0, 120))"
    )
    assert cut == [], "text is cut off"


def dark(browser) -> None:
    browser.execute_script(
        "document.documentElement.dataset.theme = document.documentElement.dataset.mode = 'dark';"
        "document.getAnimations().forEach(a => a.finish())"
    )


@pytest.mark.parametrize("name", PAGES)
def test_dark_pages_have_light_text(browser, address, name):
    visit(browser, f"{address}{name}.html")
    dark(browser)
    light = browser.execute_script(
        "const colours = e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number);"
        "return [...document.querySelectorAll('article p, article h1, article td')]"
        ".filter(e => e.checkVisibility() && !e.closest('figure, .ts-explorer'))"
        ".map(e => Math.max(...colours(e)))"
    )
    assert light
    assert min(light) > 140


def test_in_the_dark_a_figure_has_no_light_frame(browser, address):
    visit(browser, f"{address}{CHAPTER}.html")
    dark(browser)
    behind = browser.execute_script(
        "const found = []; let e = document.querySelector('.ts-figure img.only-dark');"
        "for (; e.tagName !== 'SECTION'; e = e.parentElement)"
        "  found.push(getComputedStyle(e).backgroundColor);"
        "return found"
    )
    assert set(behind) == {"rgba(0, 0, 0, 0)"}


def test_a_chapter_can_be_printed(browser, address):
    visit(browser, f"{address}{CHAPTER}.html")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert len(printed) > 10_000
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = browser.execute_script(
        "return getComputedStyle(document.querySelector('.bd-sidebar-primary')).display"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown == "none"


# ---------------------------------------------------------------------------------------- keyboard


def test_by_keyboard_one_comes_past_the_menus_to_the_text(browser, address):
    visit(browser, f"{address}{CHAPTER}.html")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    first = browser.switch_to.active_element  # it slides in, so its text is not yet all visible
    assert first.get_property("textContent") == "Skip to main content"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.execute_script("return !!document.activeElement.closest('main')")


@pytest.mark.parametrize("name", PAGES)
def test_all_that_can_be_used_can_be_reached_and_shows_that_it_has_focus(browser, address, name):
    visit(browser, f"{address}{name}.html")
    unreached = browser.execute_script(
        "const look = e => { const s = getComputedStyle(e);"
        " return [s.outlineStyle, s.outlineWidth, s.boxShadow, s.textDecorationLine,"
        "  s.textDecorationThickness, s.backgroundColor, s.borderColor, s.opacity].join() };"
        "const all = 'a[href], button, summary, select, input, textarea';"
        "return [...document.querySelectorAll('article :is(' + all + ')')]"
        # the theme shows links to headings to a pointer only
        ".filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled)"
        ".slice(0, 150).flatMap(e => {"
        " document.activeElement.blur(); const before = look(e); e.focus({focusVisible: true});"
        " const html = e.outerHTML.slice(0, 100);"
        " if (document.activeElement !== e || e.tabIndex < 0 && !e.closest('svg, [role]'))"
        "  return e.type === 'radio' ? [] : ['unreached: ' + html];"
        " return look(e) === before ? ['unseen: ' + html] : [] }).slice(0, 5)"
    )
    assert unreached == []


def test_a_folded_answer_opens_by_key(browser, address):
    visit(browser, f"{address}{CHAPTER}.html")
    first = "document.querySelector('article details')"
    browser.execute_script(f"{first}.querySelector('summary').focus()")
    assert not browser.execute_script(f"return {first}.open")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script(f"return {first}.open")


# ------------------------------------------------------------------------------------------ search


@pytest.mark.parametrize("way", ["http", "file"])
def test_search_finds_pages(browser, address, smoke_book, way):
    base = address if way == "http" else f"file://{smoke_book}/"
    visit(browser, f"{base}search.html?q=differential")
    links = browser.execute_async_script(
        "const done = arguments[0]; let tries = 0;"
        "const look = () => {"
        " const links = [...document.querySelectorAll('#search-results li a')];"
        " if (/finished|found/.test(document.querySelector('#search-results p')?.textContent)"
        "   && links.length || tries++ > 60) done(links.map(a => a.getAttribute('href')));"
        " else setTimeout(look, 200) }; look()"
    )
    pages = {link.split(".html")[0].removeprefix(base) for link in links}
    assert {CHAPTER, "book/glossary"} <= pages


# ----------------------------------------------------------------------------------- accessibility


@pytest.fixture(scope="module")
def axe(smoke_book) -> str:
    """The code of axe-core, which looks for barriers; npm fetches it once into the store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(smoke_book.parent / "store"))
        if not drawing.vendored([AXE]):
            pytest.skip(f"npm has not fetched {AXE}")
        with tarfile.open(drawing.tarball(AXE)) as tar:
            return tar.extractfile("package/axe.min.js").read().decode()


def barriers(browser, code: str, where: str, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe finds serious or critical inside an element, and where."""
    browser.execute_script(code + ";window.axe = axe")
    found = browser.execute_async_script(
        "const [where, rules, done] = arguments;"
        "const options = {resultTypes: ['violations']};"
        "if (rules.length) options.runOnly = rules;"
        "axe.run(where, options).then(r => done(r.violations), e => done(String(e)))",
        where,
        list(rules),
    )
    assert isinstance(found, list), found
    return [
        f"{one['id']}: {node['html'][:200]} {[a['message'] for a in node['any']][:1]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
        if (one["id"], node["html"].splitlines()[0]) not in EXCUSED
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barrier(browser, address, axe, name):
    visit(browser, f"{address}{name}.html")
    assert barriers(browser, axe, "article") == []
    dark(browser)
    assert barriers(browser, axe, "article", ("color-contrast",)) == [], "in the dark"


def test_axe_finds_barriers(browser, axe, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><article><img src='data:,'><p style='color:#bbb'>faint</p><input></article>"
    )
    visit(browser, f"file://{page}")
    assert {line.split(":")[0] for line in barriers(browser, axe, "article")} == {
        "image-alt", "color-contrast", "label"}  # fmt: skip
