"""What students handed in, in one table: honest files are counted, others are named."""

from __future__ import annotations

import json

import pytest

from taskspace_utils import cli, exercises, store
from taskspace_utils.exercises.predictions import write_down
from taskspace_utils.publishing import gradebook, labs

LAB = labs.labs()[0]


@pytest.fixture
def handed_in(tmp_path, monkeypatch):
    """Files as notebooks write them: of somebody who came half-way, and of an empty notebook."""
    monkeypatch.setattr(exercises, "_CHECKED", {})
    exercises.write_scores(tmp_path / "carol" / f"scores-{LAB.name}.json", LAB.exercises)
    wrong = exercises.mistakes(LAB.exercises[0])[-1]
    exercises.check(LAB.exercises[0], wrong.answer)
    exercises.write_scores(tmp_path / "ada" / f"scores-{LAB.name}.json", LAB.exercises)
    write_down(tmp_path / "ada" / f"predictions-{LAB.name}.json", first="it falls")
    return tmp_path


def test_a_row_a_file_with_the_share_of_stages(handed_in):
    table = gradebook.collected(handed_in).set_index("student")
    assert list(table.index) == ["ada", "carol"]
    told = json.loads((handed_in / "ada" / f"scores-{LAB.name}.json").read_text("utf-8"))
    passed, of = (sum(one[name] for one in told.values()) for name in ("passed", "of"))
    assert 0 < passed < of
    assert (table.loc["ada", "passed"], table.loc["ada", "of"]) == (passed, of)
    assert table.loc["ada", "share"] == pytest.approx(passed / of, abs=1e-3)
    assert table.loc["ada", "predicted"].startswith("20")
    assert f"{LAB.exercises[0]} " in table.loc["ada", "unfinished"]
    assert (table.loc["carol", "passed"], table.loc["carol", "predicted"]) == (0, "")
    assert (table["trouble"] == "").all()


def test_names_in_file_names_will_do(handed_in):
    old = handed_in / "ada" / f"scores-{LAB.name}.json"
    old.rename(handed_in / f"ada_l-scores-{LAB.name}.json")
    table = gradebook.collected(handed_in)
    assert set(table["student"]) == {"ada_l", "carol"}
    assert set(table["lab"]) == {LAB.name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s[LAB.exercises[0]].update(passed=99, of=99), "it has"),
        (lambda s: s[LAB.exercises[0]].update(passed=-1), "it has"),
        (lambda s: s[LAB.exercises[0]].update(of=3.0), "it has"),
        (lambda s: s[LAB.exercises[0]].update(passed=True), "it has"),
        (lambda s: s.pop(LAB.exercises[-1]), "not the exercises of this lab"),
        (lambda s: s.update(own={"passed": 3, "of": 3, "hint": ""}), "not the exercises"),
        (lambda s: s[LAB.exercises[0]].pop("of"), "not a file of scores"),
    ],
)
def test_what_cannot_be_true_is_named_and_not_counted(handed_in, change, said):
    path = handed_in / "ada" / f"scores-{LAB.name}.json"
    scores = json.loads(path.read_text("utf-8"))
    change(scores)
    path.write_text(json.dumps(scores), encoding="utf-8")
    row = gradebook.collected(handed_in).set_index("student").loc["ada"]
    assert said in row["trouble"]
    assert row[["passed", "share"]].isna().all()


def test_a_torn_file_does_not_stop_the_others(handed_in):
    (handed_in / "ada" / f"scores-{LAB.name}.json").write_text('{"bigram', encoding="utf-8")
    table = gradebook.collected(handed_in).set_index("student")
    assert table.loc["ada", "trouble"] == "not a file of scores"
    assert table.loc["carol", "share"] == 0


@pytest.mark.parametrize(("name", "text"), [("scores-foo", "{}"), ("scores-lab_1", "[" * 10**5)])
def test_an_empty_or_endless_file_does_not_stop_the_others(handed_in, name, text):
    (handed_in / "eve").mkdir()
    (handed_in / "eve" / f"{name}.json").write_text(text, encoding="utf-8")
    (handed_in / "dan" / f"{name}.json").mkdir(parents=True)
    table = gradebook.collected(handed_in).set_index("student")
    assert table.loc["eve", "trouble"].startswith("not ")
    assert table.loc["carol", "share"] == 0
    assert "dan" not in table.index


def test_a_folder_without_scores_says_what_is_looked_for(tmp_path):
    with pytest.raises(store.InputError, match=r"called like scores-lab_1\.json"):
        gradebook.collected(tmp_path)
    with pytest.raises(store.InputError, match="is no folder"):
        gradebook.collected(tmp_path / "nowhere")


def test_the_command_prints_or_writes_the_table(handed_in, tmp_path, capsys):
    assert cli.main(["collect", str(handed_in)]) == 0
    assert "ada" in capsys.readouterr().out
    out = tmp_path / "scores.csv"
    assert cli.main(["collect", str(handed_in), "--out", str(out)]) == 0
    assert out.read_text("utf-8").splitlines()[0].startswith("student,lab,passed,of,share")
