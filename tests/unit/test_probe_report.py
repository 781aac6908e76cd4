"""`taskspaces probe` from the command line: its tables, its report, and what it refuses."""

from __future__ import annotations

import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from taskspace_utils import cli, context, scales
from taskspace_utils.figures import placement, space
from taskspace_utils.pairs import write_pairs
from taskspace_utils.publishing import beside, report, sheet
from taskspace_utils.tables import TABLES, Run, reference_run, write_run

from . import toys

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Two checkpoints of a toy model, and pairs: three columns of one's own, and a context."""
    folder = tmp_path_factory.mktemp("probe")
    scale = scales.load_scale("XS")
    tokenizer = scales.new_tokenizer(scale, [toys.WORDS])
    for seed, name in enumerate(("step-1", "step-2")):
        scales.new_model(scale, len(tokenizer), seed).save_pretrained(folder / "model" / name)
        tokenizer.save_pretrained(folder / "model" / name)
    both = toys.english(16)
    mine = both[both["task"] == "agree"][["good", "bad", "task"]]
    mine.assign(task=HOSTILE).to_csv(folder / "mine.csv", index=False)
    write_pairs(folder / "around.csv", both.assign(split=""))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _store(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(home / "store"))
        yield


def probe(home: Path, out: str, *more: str) -> int:
    options = ["--model", home / "model" / "step-1", "--pairs", home / "mine.csv"]
    options += ["--out", home / out, "--workers", 1, *more]
    return cli.main(["probe", *map(str, options)])


@pytest.fixture(scope="module")
def reported(home) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "TRANSFER_PAIRS", 8)
        assert probe(home, "run", "--context", str(home / "around.csv"), "--target", "0.3") == 0
    return Run(home / "run")


class Page(HTMLParser):
    """What of a page could do harm, or asks for something elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.places, self.alts, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.places += [given[name] for name in ("src", "href") if name in given]
        self.alts += [given.get("alt")] if tag == "img" else []
        assert not [name for name in given if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


def test_three_columns_and_a_context_make_a_run(reported):
    assert reported.manifest["own"] == [HOSTILE]
    assert reported.manifest["sources"] == [HOSTILE]
    assert set(reported.table("transfer")["source"]) == {HOSTILE}
    assert set(reported.table("transfer")["target"]) == {HOSTILE, "agree", "plural", "reflexive"}
    assert set(reported.table("placement")["a"]) == {HOSTILE}
    assert len(reported.table("gradient")) == 16


def test_the_page_needs_nothing_else_and_runs_nothing(reported):
    text = (reported.folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "iframe", "object", "link", "form"} & set(page.tags)
    assert all(place.startswith("data:image/png;base64,") for place in page.places)
    assert page.places, "no picture"
    assert all(page.alts), "a picture without words"
    assert "default-src 'none'" in text
    assert "overflow-wrap: break-word" in text, "a long name would widen the page on a phone"
    assert not re.search(r"https?://|@import|url\(", text)


def test_what_comes_from_data_is_text(reported):
    text = (reported.folder / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert HOSTILE in "".join(Page(text).text), "shown, as text"


def test_the_page_has_all_its_parts(reported):
    text = "".join(Page((reported.folder / "report.html").read_text(encoding="utf-8")).text)
    for part in ("You may say", "You may not say", "95 % interval", "Reliability", "bag of words",
                 "nearest tasks", "moved most", "computes two tasks in the same way"):  # fmt: skip
        assert part in text, part


def test_the_notebook_was_executed_by_papermill(reported):
    notebook = nbformat.read(reported.folder / "report.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert "papermill" in notebook.metadata
    assert sum(bool(cell.outputs) for cell in code) >= 8


def test_a_report_can_be_written_again(reported, capsys):
    (reported.folder / "report.html").unlink()
    assert cli.main(["report", str(reported.folder)]) == 0
    assert (reported.folder / "report.html").is_file()


def test_a_section_that_fails_is_named(reported, home):
    broken = home / "broken"
    broken.mkdir()
    for path in reported.folder.iterdir():
        if not path.name.startswith(("lexical", "report")):
            (broken / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((broken / "manifest.json").read_text(encoding="utf-8"))
    del manifest["sha256"]["lexical.csv"]
    (broken / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(
        RuntimeError, match=r"the report in `report\.conclusions.*no table 'lexical'"
    ):
        report.write(Run(broken))
    assert not (broken / "report.html").exists()


def test_without_what_a_report_needs_the_tables_are_still_written(home, monkeypatch, capsys):
    monkeypatch.setattr(report, "NEEDED", ("papermill", "no_such_package"))
    assert probe(home, "bare", "--preset", "quick") == 0
    said = capsys.readouterr().err
    assert "no report: no_such_package not installed; `pip install no_such_package`" in said
    assert Run(home / "bare").has("gradient")
    assert not (home / "bare" / "report.html").exists()


def test_fewer_cells(home, monkeypatch):
    monkeypatch.setattr(context, "TRANSFER_PAIRS", 8)
    more = ["--context", str(home / "around.csv"), "--no-report", "--k", "1", "--target", "0.3"]
    whole = ["--sources", "agree,plural"]
    assert probe(home, "whole", *more, *whole) == 0
    assert probe(home, "part", *more, *whole, "--targets", "reflexive,plural") == 0
    keys = ["source", "target"]
    part, whole = (Run(home / name).table("transfer").set_index(keys) for name in ("part", "whole"))
    assert set(part.index) == {(a, b) for a in ("agree", "plural") for b in ("plural", "reflexive")}
    for column in ("margin_before", "margin_after", "n_eval"):
        expected = whole.loc[part.index, column]  # other sentences beside them: other rounding
        pd.testing.assert_series_equal(part[column], expected, check_exact=False, atol=1e-5)
    assert Run(home / "part").manifest["targets"] == ["plural", "reflexive"]


def test_a_plan_of_gradients_names_no_tunings(home, capsys):
    assert probe(home, "planned", "--preset", "quick", "--plan") == 0
    assert re.search(r"^methods +gradient; tasks placed: 1$", capsys.readouterr().out, re.MULTILINE)
    assert not (home / "planned").exists()


def test_a_task_without_a_place_is_named_and_not_just_left_out():
    run = reference_run("four-constructions")  # one of its four tasks is too noisy
    facts = run.table("tasks").set_index("task")["reliability"].loc[run.manifest["own"]]
    [lost] = facts.index[facts < 0.5]
    assert f"Too noisy to have a place: {lost}." in repr(report.neighbours(run))


def test_a_place_has_its_interval_beside_it_and_a_long_name_may_break():
    run = reference_run("four-constructions")
    text = report.neighbours(run).text
    own = [task for task in run.manifest["own"] if f"{task}: its nearest tasks" in text]
    rows = re.findall(r"<td[^>]*>-?\d\.\d\d\xa0\[-?\d\.\d\d,\xa0-?\d\.\d\d\]</td>", text)
    assert len(rows) >= len(own) > 1
    assert "_<wbr>" in text


def test_a_plan_shows_pairs_of_ones_own(home, capsys):
    own = toys.english(16).query("task == 'reflexive'")[["good", "bad", "task"]]
    own.assign(task="zebra").to_csv(home / "zebra.csv", index=False)  # behind the context's tasks
    more = ["--pairs", str(home / "zebra.csv"), "--context", str(home / "around.csv")]
    assert probe(home, "planned", *more, "--preset", "quick", "--plan") == 0
    shown = re.findall(r"^good +<bos> (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert len(shown) == 2
    assert set(shown) <= set(own["good"])


@pytest.mark.parametrize("more", [[], ["--sources", "agree,plural"], ["--methods", "gradient"]])
def test_a_plan_names_the_work_that_is_done_then(more, home, monkeypatch, capsys):
    monkeypatch.setattr(context, "TRANSFER_PAIRS", 8)
    more = [*more, "--context", str(home / "around.csv"), "--no-report", "--target", "0.3"]
    assert probe(home, "as-planned", *more, "--plan") == 0
    planned = capsys.readouterr().out
    assert "with 1 processes" in planned
    assert probe(home, "as-planned", *more) == 0
    done = re.search(r"(\d+) cells", capsys.readouterr().err)[1]
    assert re.search(rf"^cells +{done}$", planned, re.MULTILINE)


def test_many_tasks_of_ones_own_are_told_from_their_context(home, monkeypatch):
    """Too many to be placed, and still one's own: the report is on them alone."""
    monkeypatch.setattr(context, "PLACED", 0)
    assert probe(home, "many", "--context", str(home / "around.csv"), "--preset", "quick",
                 "--no-report") == 0  # fmt: skip
    run = Run(home / "many")
    assert not run.has("placement")
    assert report.own_tasks(run) == [HOSTILE]
    assert "context.csv, 3 tasks" in repr(report.about(run)).replace("around", "context")


def test_a_context_is_checked_and_says_what_it_leaves_out(home, capsys):
    both = toys.english(16)[["good", "bad", "task"]]
    both[both["task"] == "agree"].to_csv(home / "agree.csv", index=False)
    options = ["--model", home / "model" / "step-1", "--pairs", home / "agree.csv"]
    options += ["--out", home / "left", "--preset", "quick", "--no-report", "--plan"]
    options = [str(option) for option in options]
    assert cli.main(["probe", *options, "--context", str(home / "around.csv")]) == 0
    assert "left out of the context, for own tasks have these names: agree" in \
        capsys.readouterr().err  # fmt: skip
    both.assign(good=both["good"] + " Ã©").to_csv(home / "twice.csv", index=False)
    assert cli.main(["probe", *options, "--context", str(home / "twice.csv")]) == 2
    assert "UTF-8 that was once read as" in capsys.readouterr().err


def test_every_checkpoints_tokenizer_is_looked_at(home, capsys):
    folder = home / "mixed"
    for name in ("step-1", "step-2"):
        shutil.copytree(home / "model" / name, folder / name)
    other = scales.new_tokenizer(scales.load_scale("XS"), ["other words altogether"])
    other.save_pretrained(folder / "step-2")
    options = [
        "--model",
        str(folder),
        "--revision",
        "step-1,step-2",
        "--out",
        str(home / "refused"),
    ]
    assert cli.main(["probe", *options, "--pairs", str(home / "mine.csv")]) == 2
    said = capsys.readouterr().err
    assert "the tokenizer of step-2 does not know" in said
    assert "probing" not in said, "before any work"


DAMAGES = {
    "changed": (lambda run: edit(run / "accuracy.csv", lambda text: text.replace("0.", "1.")),
                "accuracy.csv is not as it was written: no report"),
    "cut": (lambda run: edit(run / "gradient.csv", lambda text: text[:200]),
            "gradient.csv is not as it was written: no report"),
    "gone": (lambda run: (run / "tasks.csv").unlink(), "tasks.csv is gone: no report"),
    "no tasks": (lambda run: edit(run / "manifest.json", lambda text: text.replace(
        '"tasks"', '"jobs"')), "manifest.json does not say which tasks"),
    "other tasks": (lambda run: edit(run / "manifest.json", lambda text: text.replace(
        '"own": [', '"own": ["x",')), "manifest.json does not say which tasks"),
}  # fmt: skip


def edit(path: Path, change) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_that_was_changed_gets_no_report(damage, reported, tmp_path, capsys):
    change, said = DAMAGES[damage]
    shutil.copytree(reported.folder, tmp_path / "run")
    for page in (tmp_path / "run").glob("report.*"):
        page.unlink()
    change(tmp_path / "run")
    assert cli.main(["report", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("report.*"))


def test_scores_alone_are_no_probe(home, capsys):
    options = ["--model", str(home / "model" / "step-1"), "--pairs", str(home / "mine.csv")]
    assert cli.main(["score", *options, "--out", str(home / "scores")]) == 0
    assert cli.main(["report", str(home / "scores")]) == 2
    assert "no run of a probe" in capsys.readouterr().err


def test_letters_that_a_font_lacks_and_names_without_end_stand_in_a_report():
    names = ["任务", "L" * 300, "x"]
    cells = pd.DataFrame([(a, b, 0.5) for a in names for b in names],
                         columns=["source", "target", "value"])  # fmt: skip
    drawn = sheet.picture(space.plot(cells.assign(phenomenon="p", name="cosine")), "map")
    assert "<figcaption>Letters that the picture's font lacks" in drawn.replace("&#x27;", "'")
    cells = cells[~cells.isin(["任务"]).any(axis=1)].assign(phenomenon="p", name="cosine")
    assert "figcaption" not in sheet.picture(space.plot(cells), "map")


def test_names_with_dollar_signs_are_no_formulas():
    names = ["$x_{$", "a $1 b $2"]
    cells = pd.DataFrame([(a, b, 0.5) for a in names for b in names],
                         columns=["source", "target", "value"])  # fmt: skip
    drawn = [space.plot(cells.assign(phenomenon="$", name="cosine"))]
    near = {"a": names, "b": names[::-1], "corrected": 0.5, "corrected_low": 0.4}
    near |= {"corrected_high": 0.6, "expected": 0.1, "own": False}
    drawn.append(placement.plot(pd.DataFrame(near)))
    for one in drawn:
        one.savefig(io.BytesIO())
        labels = {text.get_text() for ax in one.axes for text in ax.get_yticklabels()}
        assert {text.replace("$", r"\$") for text in ("$x {$", "a $1 b $2")} <= labels


def test_several_checkpoints_are_one_run(home, capsys):
    options = ["--model", str(home / "model"), "--revision", "step-1,step-2", "--pairs",
               str(home / "mine.csv"), "--out", str(home / "two"), "--preset", "quick"]  # fmt: skip
    assert cli.main(["probe", *options, "--workers", "1"]) == 0
    run = Run(home / "two")
    assert set(run.table("accuracy")["model"]) == {"step-1", "step-2"}
    assert set(run.table("gradient")["model"]) == {"step-1", "step-2"}
    assert run.manifest["model"] == ["step-1", "step-2"]
    text = (home / "two" / "report.html").read_text(encoding="utf-8")
    assert text.count("<h3>step-1</h3>") == text.count("<h3>step-2</h3>") > 3
    options[3] = "step-1,step-9"
    assert cli.main(["probe", *options]) == 2
    assert "no checkpoint step-9; there are step-1, step-2" in capsys.readouterr().err


def test_one_checkpoint_of_a_folder_is_scored(home, capsys):
    options = ["--model", home / "model", "--pairs", home / "mine.csv", "--out", home / "scores"]
    command = ["score", *map(str, options), "--revision"]
    assert cli.main([*command, "step-1,step-2"]) == 2
    assert "`score` takes one" in capsys.readouterr().err
    assert cli.main([*command, "step-2"]) == 0
    assert set(Run(home / "scores").table("accuracy")["model"]) == {"step-2"}


def test_a_part_of_the_weights_is_named_everywhere(home):
    assert probe(home, "lora", "--preset", "quick", "--params", "lora-2") == 0
    run = Run(home / "lora")
    for name in ("accuracy", "gradient", "tasks", "placement"):
        assert set(run.table(name)["model"]) == {"step-1+lora-2"}
    assert run.manifest["params"] == "lora-2"
    text = "".join(Page((home / "lora" / "report.html").read_text(encoding="utf-8")).text)
    assert "weights that may move" in text
    assert "only part of them was free: lora-2" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--methods", "transfer"], "transfer needs 40 pairs a task, 20 to tune on and 20"),
        (["--methods", "transfer", "--pairs-per-task", "8"], "-per-task is 8. Ask for more, or"),
        (["--params", "heads"], "there are all, blocks, last-N"),
        (["--params", "last-9"], "has 1 blocks"),
        (["--params", "lora-999"], "no matrix of the blocks has a rank above"),
        (["--methods", "gradient", "--targets", "agree"], "--targets: of tuning, and --methods"),
        (["--preset", "quick", "--k", "0.1"], "--k: of tuning, and --preset asks for gradients"),
        (["--context", "nowhere"], "neither blimp, nor grammar, nor a file"),
        (["--sources", "binding"], "--sources: no task binding"),
        (["--revision", "step-1"], "it is no folder of checkpoints"),
    ],
)
def test_what_is_refused(home, more, message, capsys):
    assert probe(home, "refused", *more) == 2
    assert message in capsys.readouterr().err
    assert not (home / "refused").exists()


def test_too_few_pairs_leave_transfer_out_and_the_report_says_so(home, capsys):
    assert probe(home, "few", "--no-report") == 0
    assert "transfer needs 40 pairs a task" in capsys.readouterr().err
    run = Run(home / "few")
    assert not run.has("transfer")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert "has 16" in manifest["no_transfer"]
    assert "has 16" in report.transfer(run).text.replace("&lt;", "<")


def test_without_a_page_a_section_is_its_text(reported):
    said = repr(report.accuracy(reported))
    assert said.splitlines()[0].strip().startswith("Accuracy with its 95 % interval")
    assert HOSTILE in said
    assert "</td>" not in said


def test_seeds_are_compared_over_the_tasks_that_the_model_has(tmp_path):
    """A model with few reliable tasks is not held against what seeds share over all tasks."""
    names = [f"t{i}" for i in range(9)]
    values = np.random.default_rng(0).normal(size=(9, 9))
    values += values.T
    late = np.maximum.outer(range(9), range(9)) > 4  # seeds agree in the first five tasks alone
    spaces = {0: values, 1: np.where(late, -values, values)}

    def saved(name: str, spaces: dict, tasks: int, **keys) -> Run:
        rows = [{**keys, "seed": seed, "a": a, "b": b, "task": a, "cosine_corrected": some[i, j]}
                for seed, some in spaces.items() for i, a in enumerate(names[:tasks])
                for j, b in enumerate(names[:tasks])]  # fmt: skip
        tables = {}
        for of in ("gradient", "accuracy"):
            named, columns = TABLES[of]
            whole = pd.DataFrame(rows).reindex(columns=[*named, *columns])
            tables[of] = whole.drop_duplicates(named)
        return write_run(tmp_path / name, tables, {})

    shipped = saved("theirs", spaces, 9, model="m", scale="S", step=9)
    few, all_ = (beside.likeness(saved("mine", {"": values}, n, model="mine"), {}, shipped).iloc[0]
                 for n in (5, 9))  # fmt: skip
    assert list(few[["tasks", "with this model", "among its seeds"]]) == pytest.approx([5, 1, 1])
    assert all_["tasks"] == 9
    assert all_["among its seeds"] < 0.5
