"""The microscope as a piece of HTML: what it carries, what it refuses, and that text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from taskspace_utils.explore import (
    balance,
    balance_widget,
    difference,
    microscope,
    microscope_widget,
    quiz,
)
from taskspace_utils.scales import load_scale, new_tokenizer
from taskspace_utils.store import InputError
from taskspace_utils.tables import TABLES


def table(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["task", "phenomenon", "good", "bad"])


PAIRS = table(
    ("some_task", "agreement", "the boy laughs .", "the boy laugh ."),
    ("some_task", "agreement", "the boys laugh .", "the boys laughs ."),
    ("other", "binding", "this girl laughs .", "these girl laughs ."),
)


def parts(html: str) -> tuple[BeautifulSoup, dict]:
    soup = BeautifulSoup(html, "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        ("a b c", "a x c", ("a", "b", "x", "c")),
        ("a b", "b a", ("", "a b", "b a", "")),
        ("a", "a", ("a", "", "", "")),
        ("a a", "a a a", ("a a", "", "a", "")),  # shared words are counted once
        ("x", "y z", ("", "x", "y z", "")),
    ],
)
def test_the_difference_is_what_lies_between(good, bad, expected):
    found = difference(good, bad)
    assert found == expected
    start, middle, other, end = found
    assert " ".join(filter(None, (start, middle, end))) == good
    assert " ".join(filter(None, (start, other, end))) == bad


@pytest.mark.parametrize("n", [0, -1])
def test_a_microscope_without_a_pair_is_refused(n):
    with pytest.raises(InputError, match="at least one pair"):
        microscope(PAIRS, n=n)


def test_phenomena_may_be_numbers():
    assert parts(microscope(PAIRS.assign(phenomenon=3)))[1]["groups"] == {
        "3": ["other", "some_task"]
    }


def test_the_first_pair_can_be_read_without_a_script():
    soup, _ = parts(microscope(PAIRS))
    lines = [" ".join(p.get_text().split()) for p in soup.select(".pair p")]
    assert lines == ["good the boy laughs .", "bad the boy laugh ."]
    assert [b.get_text() for b in soup.select(".pair b")] == ["laughs", "laugh"]
    assert soup.select_one(".bar").has_attr("hidden")  # controls that could do nothing


def test_tasks_come_by_phenomenon_with_their_facts_and_checks():
    about = pd.DataFrame(
        {"task": ["other", "some_task"], "rule": ["one", "two"], "sham_of": ["some_task", ""]}
        | {"demands": ["-near this_number", "number"], "weight": [1.0, 2.0]}
    )
    checks = pd.DataFrame(
        {"task": ["some_task", "other"], "phenomenon": ["agreement", "binding"]}
        | {"pairs": [2, 1], "same_length": [0.5, float("nan")], "split_overlap": [float("nan")] * 2}
    )
    _, data = parts(microscope(PAIRS, about, checks))
    assert data["groups"] == {"agreement": ["some_task"], "binding": ["other"]}
    assert data["tasks"]["some_task"]["about"] == [["rule", "two"], ["demands", "number"]]
    assert data["tasks"]["other"]["about"] == [
        ["rule", "one"], ["demands", "-near, this number"], ["sham of", "some task"]
    ]  # fmt: skip
    assert data["tasks"]["some_task"]["checks"] == [["pairs", "2"], ["same length", "0.50"]]
    assert data["tasks"]["other"]["checks"] == [["pairs", "1"], ["same length", "none"]]


def test_tokens_are_those_of_the_tokenizer_and_know_which_go_on_with_a_word():
    lines = ["the girl laughs ."] * 20
    words = new_tokenizer(load_scale("XS"), [*PAIRS["good"], *PAIRS["bad"]])
    pieces = new_tokenizer(replace(load_scale("8M"), vocabulary=275), lines)
    _, data = parts(microscope(PAIRS, tokenizers={"words": words, "pieces": pieces}))
    for name, tokenizer in {"words": words, "pieces": pieces}.items():
        for task, rows in PAIRS.groupby("task"):
            for (good, bad), row in zip(data["tasks"][task]["tokens"][name], rows.itertuples()):
                assert good == tokenizer(row.good)["input_ids"]
                assert bad == tokenizer(row.bad)["input_ids"]
                texts = [data["tokens"][name][str(i)] for i in bad]
                read = "".join(text if joined else f" {text}" for text, joined in texts)
                assert read.replace("␣", "") == f" {row.bad}"
    ids = data["tasks"]["other"]["tokens"]["pieces"][0][1]
    assert len(ids) > 5  # "these" was never seen: it is cut
    assert data["tokens"]["pieces"][str(ids[1])][1] is True
    assert not any(joined for _, joined in data["tokens"]["words"].values())


def test_no_text_from_data_becomes_markup():
    evil = "</script><img src=x onerror=alert(1)> & <b>"
    html = microscope(table((evil, evil, f"{evil} a", f"{evil} b")))
    soup, data = parts(html)
    assert soup.find("img") is None
    assert len(soup.find_all("script")) == 2
    assert data["tasks"][evil]["pairs"] == [[evil, "a", "b", ""]]
    assert evil in soup.select_one(".pair p").get_text()


def test_a_page_carries_few_pairs_and_asks_for_nothing():
    many = pd.concat([PAIRS.assign(task=f"task_{i}") for i in range(60)] * 10)
    html = microscope(many, n=8)
    _, data = parts(html)
    assert {len(task["pairs"]) for task in data["tasks"].values()} == {8}
    assert len(html) < 100_000
    assert re.findall(r"https?:|import\(|fetch\(|innerHTML", html) == []


def test_the_first_pairs_of_the_table_are_those_shown():
    some = table(*[("t", "p", f"a {i} .", f"b {i} .") for i in range(30)])
    _, data = parts(microscope(some, n=3))
    assert [pair[3] for pair in data["tasks"]["t"]["pairs"]] == ["0 .", "1 .", "2 ."]


def test_a_table_that_lacks_a_task_is_named():
    with pytest.raises(InputError, match="`checks` has no row for other"):
        microscope(PAIRS, checks=pd.DataFrame({"task": ["some_task"]}))
    with pytest.raises(InputError, match="`about` has no row for some_task"):
        microscope(PAIRS, about=pd.DataFrame({"task": ["other"]}))
    with pytest.raises(InputError, match="at least one pair"):
        microscope(PAIRS.head(0))


def test_the_widget_of_the_microscope_goes_through_the_pairs_of_a_task():
    about = pd.DataFrame({"task": ["other", "some_task"], "rule": ["one", "<b>two</b>"]})
    checks = pd.DataFrame({"task": ["other", "some_task"], "bag_accuracy": [0.5, 0.75]})
    words = new_tokenizer(load_scale("XS"), [*PAIRS["good"], *PAIRS["bad"]])
    box = microscope_widget(PAIRS, about, checks, {"words": words})
    (task, more), said = box.children[0].children, box.children[1]
    assert [label for label, _ in task.options] == ["agreement: some task", "binding: other"]

    def seen() -> list[str]:
        lines = BeautifulSoup(said.value, "html.parser").select("p")
        return [" ".join(line.get_text().split()) for line in lines]

    assert seen() == ["good the boy laughs .", "bad the boy laugh ."]
    for fact in ("rule: &lt;b&gt;two&lt;/b&gt;", "pair 1 of the 2", "bag accuracy: 0.75"):
        assert fact in said.value
    ids = words("the boy laugh .")["input_ids"]
    cut = " | ".join(f"{word} ({i})" for word, i in zip(["the", "boy", "laugh", "."], ids))
    assert f"words, bad, 4 tokens: {cut}" in said.value
    more.click()
    assert seen() == ["good the boys laugh .", "bad the boys laughs ."]
    assert "pair 2 of the 2" in said.value
    more.click()
    assert "pair 1 of the 2" in said.value  # from the last on to the first
    more.click()
    task.value = "other"
    assert seen() == ["good this girl laughs .", "bad these girl laughs ."]
    assert "bag accuracy: 0.50" in said.value


def test_the_widget_of_the_microscope_shows_where_tokens_go_on_with_a_word():
    pieces = new_tokenizer(replace(load_scale("8M"), vocabulary=275), ["the girl laughs ."] * 20)
    said = microscope_widget(PAIRS.tail(1), None, None, {"pieces": pieces}).children[1].value
    ids = pieces("these girl laughs .")["input_ids"]
    cut = said.split(f"pieces, bad, {len(ids)} tokens: ")[1].split("<br>")[0]
    assert cut.count(" | ") == 3  # between four words
    assert cut.count("·") == len(ids) - 4


# -------------------------------------------------------------------------------- gain against harm


def steps(**costs: float) -> pd.DataFrame:
    """Two tasks gain a nat a step up to 4 and 2; KL = cost·gain², loss a hundredth less."""
    rows = [
        ("m", "S", 0, 1, rung.replace("_", "-").replace("k0-", "k0."), task, gain, text, gain, gain,
         0.5, 0.0, cost * gain**2, cost * gain**2 - 0.01, "")
        for rung, cost in costs.items()
        for task, end in (("one", 4), ("<b>two</b>", 2))
        for gain in range(end + 1)
        for text in ("a text", "</script>")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*TABLES["ladder"][0], *TABLES["ladder"][1]])


def test_the_balance_holds_every_k_and_only_reached_targets():
    soup, data = parts(balance(steps(differential=1.0, differential_k0_01=2.0, good=9.0)))
    assert data["ks"] == ["1 %", "100 %"]  # good sentences have no mask to move
    assert data["targets"] == [1.0, 3.0]
    assert set(data["values"]) == {"a text", "</script>"}
    one = data["tasks"].index("one")
    grid = data["grid"].index(3.0)
    assert data["values"]["a text"][0][one][grid] == pytest.approx([18.0, 17.99], rel=1e-3)
    assert data["values"]["a text"][0][1 - one][grid] is None
    assert soup.select_one(".bar").has_attr("hidden")
    said = soup.select_one(".said").get_text()  # what is read without a script
    assert "over the 2 tasks" in said
    assert "2 with k = 1 %; 1 with k = 100 %" in said
    assert soup.find("b") is None


def test_a_balance_of_nothing_is_refused():
    with pytest.raises(InputError, match="no task reached"):
        balance(steps(differential=1.0), targets=(9.0,))
    with pytest.raises(InputError, match="no task reached"):
        balance(steps(good=1.0))


def test_the_widget_of_the_balance_follows_its_lists():
    box = balance_widget(steps(differential=1.0, differential_k0_01=2.0))
    (k, gain), (text, harm), picture, said = (
        part.children if hasattr(part, "children") else part for part in box.children
    )
    assert said.value.startswith("k = 100 %: at a gain of 1 nat, the mean divergence (KL)")
    assert "on the text &lt;/script&gt; is 1 nats a token, over the 2 tasks" in said.value
    seen = [bytes(picture.value)]
    assert seen[0].startswith(b"\x89PNG")

    def turn(control, value, *found: str) -> None:
        control.value = value
        assert all(some in said.value for some in found), said.value
        assert bytes(picture.value) not in seen
        seen.append(bytes(picture.value))

    turn(k, "1 %", "k = 1 %", "is 2 nats")
    turn(gain, 3.0, "a gain of 3 nats", "is 18 nats", "over the 1 tasks")
    turn(harm, 1, "mean rise of the loss", "is 18 nats")
    text.value = "a text"
    assert "on the text a text" in said.value
    assert plt.get_fignums() == []  # or the notebook would show the curves twice


def test_the_widget_of_the_balance_refuses_as_the_page_does():
    with pytest.raises(InputError, match="no task reached"):
        balance_widget(steps(differential=1.0), targets=(9.0,))


# --------------------------------------------------------------------------------------- the quiz

QUESTION = {
    "ask": "What is `log(1)`?",
    "choices": ["0", "1", "</script><i>2</i>"],
    "right": 0,
    "why": ["A certain event is no surprise.", "That is `exp(0)`.", "Twice too much."],
}


def test_a_quiz_can_be_read_on_paper_with_its_answers():
    soup, data = parts(quiz([QUESTION]))
    assert data == [QUESTION]
    still = soup.select_one(".still")
    assert [li.get_text() for li in still.select("ol ol li")] == QUESTION["choices"]
    assert still.select_one("code").get_text() == "log(1)"
    assert still.find_all("li")[-1].get_text() == "(a) A certain event is no surprise."
    assert soup.find("i") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"right": 3}, "right is 3; it must be 0 to 2"),
        ({"right": True}, "right is True"),
        ({"why": ["one"]}, "3 choices need as many"),
        ({"choices": ["same", "same", "x"]}, "each different"),
        ({"choices": ["one"], "right": 0, "why": ["w"]}, "two to ten"),
        ({"why": ["a", " ", "c"]}, "empty text"),
        ({"hint": "more"}, "it needs ask, choices, right, why"),
    ],
)
def test_a_faulty_question_is_named(change, said):
    with pytest.raises(InputError, match=f"question 2.*{said}"):
        quiz([QUESTION, QUESTION | change])
    with pytest.raises(InputError, match="without questions"):
        quiz([])
