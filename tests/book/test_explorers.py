"""The explorers in a browser: each is moved through its states, and its numbers are checked."""

from __future__ import annotations

import pandas as pd
import pytest
from selenium.webdriver.common.keys import Keys

from taskspace_utils.explore import balance, microscope
from taskspace_utils.scales import load_scale, new_tokenizer
from taskspace_utils.tables import TABLES

from .browsing import complaints, visit

pytestmark = pytest.mark.browser

MARK = "<img src=x onerror=document.title='caught'>"  # a sentence that would like to be markup


@pytest.fixture
def microscope_page(tmp_path):
    rows = [
        (task, phenomenon, f"the {i} {MARK} laughs .", f"the {i} {MARK} laugh .")
        for task, phenomenon in (("first_task", "agreement"), ("second_task", "binding"))
        for i in ("boy", "girl", "king", "queen")
    ]
    pairs = pd.DataFrame(rows, columns=["task", "phenomenon", "good", "bad"])
    about = pd.DataFrame({"task": pairs["task"].unique(), "rule": ["a rule", "another rule"]})
    checks = pd.DataFrame({"task": pairs["task"].unique(), "bag_accuracy": [0.5, 0.75]})
    words = new_tokenizer(load_scale("XS"), [*pairs["good"], *pairs["bad"]])
    explorer = microscope(pairs, about, checks, {"words": words})
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>quiet</title>{head}{explorer}", encoding="utf-8")
    return f"file://{page}", pairs


def seen(browser) -> tuple[str, str]:
    """The two sentences that the microscope shows."""
    lines = browser.execute_script(
        "return [...document.querySelectorAll('.ts-explorer .pair p')].map(p => p.textContent)"
    )
    return lines[0].removeprefix("good"), lines[1].removeprefix("bad")


def test_the_microscope_is_alive_by_keyboard_alone(browser, microscope_page):
    url, pairs = microscope_page
    asked = visit(browser, url, width=390)
    assert asked == {url}
    assert seen(browser) == tuple(pairs.loc[0, ["good", "bad"]])
    for keys, focus in ((Keys.TAB, "select"), ("second", "select"), (Keys.TAB, "button")):
        browser.switch_to.active_element.send_keys(keys)
        assert browser.switch_to.active_element.tag_name == focus
    text = browser.execute_script("return document.querySelector('.ts-explorer').innerText")
    assert "another rule" in text
    assert "0.75" in text
    assert "a rule" not in text.replace("another rule", "")
    second = set(pairs[["good", "bad"]][pairs["task"] == "second_task"].itertuples(index=False))
    found = {seen(browser)}
    for _ in range(len(second) - 1):  # no pair comes twice before all have come
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        found.add(seen(browser))
    assert found == {tuple(pair) for pair in second}
    good, _ = seen(browser)
    shown = browser.execute_script(
        "const [line] = document.querySelectorAll('.ts-explorer .chips');"
        "return [...line.children].map(c => c.firstChild.textContent)"
    )
    assert shown == good.split()
    assert browser.title == "quiet"
    assert browser.execute_script("return document.images.length") == 0
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert complaints(browser) == []


def test_the_microscope_says_what_it_is_to_a_screen_reader(browser, microscope_page):
    visit(browser, microscope_page[0])
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree}
    assert ("combobox", "task") in names
    assert ("button", "another pair") in names
    live = browser.execute_script("return document.querySelector('[aria-live=polite] p').className")
    assert live == "good"


def test_the_microscope_of_a_chapter_shows_its_pairs(browser, address):
    visit(browser, f"{address}notebooks/02_from_paradigm_to_pairs.html")
    tasks = browser.execute_script(
        "return [...document.querySelectorAll('.ts-explorer option')].map(o => o.value)"
    )
    assert len(tasks) > 3
    assert all(seen(browser))


@pytest.fixture
def balance_page(tmp_path):
    """Two masks and none, two tasks: KL = cost·gain², twice as much on the second text."""
    rows = []
    for rung, cost in (("differential", 1.0), ("differential-k0.1", 2.0)):
        for task, more in (("one_task", 1.0), (f"other {MARK}", 3.0)):
            for gain in range(6):
                for text, much in (("first text", 0.01), ("second text", 0.02)):
                    kl = cost * more * much * gain**2
                    rows.append(("m", "S", 0, 1, rung, task, gain, text, gain, gain, 0.5, 0.0, kl,
                                 kl - 0.01, ""))  # fmt: skip
    keys, values = TABLES["ladder"]
    explorer = balance(pd.DataFrame(rows, columns=[*keys, *values]))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>quiet</title>{head}{explorer}", encoding="utf-8")
    return f"file://{page}"


def test_k_moves_by_keyboard_and_the_numbers_with_it(browser, balance_page):
    assert visit(browser, balance_page, width=390) == {balance_page}

    def said() -> str:
        return browser.execute_script("return document.querySelector('.said').textContent")

    def points() -> list[float]:
        return browser.execute_script(
            "return [...document.querySelectorAll('.dot')].map(c => +c.getAttribute('cy'))"
        )

    assert "k = 100 %: at a gain of 1 nat," in said()
    assert "0.0200 nats a token, over the 2 tasks" in said()  # of 0.01 and 0.03
    before = points()
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("type") == "range"
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert "k = 10 %" in said()
    assert "0.0400 nats" in said()
    assert all(now < then for now, then in zip(points(), before, strict=True))  # further up
    for keys, found in (("3", "0.360 nats"), ("second", "0.720 nats"), ("rise", "0.710 nats")):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        browser.switch_to.active_element.send_keys(keys)
        assert found in said()
    assert browser.title == "quiet"
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert complaints(browser) == []
