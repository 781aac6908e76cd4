"""Bad input to the command line: status 2, one message that says what, where and what to do,
and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from taskspace_utils import cli, scales, store
from taskspace_utils.tables import Run

WORDS = [f"the {n} {v} ." for n in ("cat", "cats", "dog", "dogs") for v in ("sleep", "sleeps")]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else b""
        for p in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A tiny untrained model of ours."""
    folder = tmp_path_factory.mktemp("cli") / "model"
    scale = scales.load_scale("XS")
    tokenizer = scales.new_tokenizer(scale, WORDS)
    scales.new_model(scale, len(tokenizer), 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def row(i: int, task: str = "agree", **more) -> dict:
    good, bad = WORDS[2 * i + 1], WORDS[2 * i]
    return {"sentence_good": good, "sentence_bad": bad, "UID": task, "pairID": str(i)} | more


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with sound pairs and a corpus, in which commands are run; a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    write("pairs.jsonl", [row(i) for i in range(4)])
    Path("corpus.txt").write_text("\n".join(WORDS * 10))
    return tmp_path


def write(name: str, rows: list) -> str:
    lines = (r if isinstance(r, str) else json.dumps(r) for r in rows)
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return name


@pytest.fixture
def refused(here, capsys):
    """Runs a command that must be refused; gives its message."""

    def run(*arguments: object) -> str:
        before = tree(here)
        try:
            status = cli.main([str(a) for a in arguments])
        except SystemExit as error:  # argparse
            status = error.code
        output = capsys.readouterr()
        assert status == 2, output.err
        assert "Traceback" not in output.err
        assert output.err.strip().splitlines()[-1].startswith("taskspaces ") or "\n" in output.err
        assert len(output.err) < 3000
        assert tree(here) == before, "something was written"
        return output.err

    return run


def options(model, pairs="pairs.jsonl", out="out") -> list:
    return ["--model", model, "--pairs", pairs, "--out", out]


# -------------------------------------------------------------------------------------------- pairs

FAULTS = {
    "broken JSON": (['{"sentence_good": '], "line 5: broken JSON"),
    "no object": (["[]"], "line 5: a line must hold one JSON object"),
    "missing": (
        [{"sentence_good": "x", "UID": "agree"}],
        "line 5: field 'sentence_bad' is missing",
    ),
    "empty": ([row(0, sentence_bad=" ", pairID="9")], "line 5: field 'sentence_bad' is empty"),
    "duplicate": ([row(0)], "line 5: task 'agree' has pairID '0' already"),
    "split": ([row(0, pairID="9", split="dev")], "line 5: field 'split' is 'dev'"),
    "few": ([row(0, "binding")], "task 'binding' has 1 pairs; a task needs at least 4"),
}


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("command", ["score", "probe"])
def test_faulty_pairs(command, what, refused, model):
    rows, message = FAULTS[what]
    faulty = write("faulty.jsonl", [*(row(i) for i in range(4)), *rows])
    said = refused(command, *options(model, faulty))
    assert f"faulty.jsonl{'' if what == 'few' else ', '}" in said
    assert message in said
    assert "--skip-faulty" in said


def test_pairs_in_another_encoding(refused, model):
    rows = [json.dumps(row(i)).encode() for i in range(4)]
    Path("latin.jsonl").write_bytes(b"\n".join([*rows, "é".encode("latin-1")]))
    assert "latin.jsonl, line 5: byte" in refused("score", *options(model, "latin.jsonl"))


def test_pairs_that_are_there_twice_are_counted_aloud(here, model, capsys):
    twice = [row(i) | {"pairID": f"{i}-{n}"} for i in range(4) for n in range(2)]
    write("twice.jsonl", [*twice, row(0, sentence_bad=WORDS[1], pairID="same")])
    assert cli.main(["score", *map(str, options(model, "twice.jsonl"))]) == 0
    said = capsys.readouterr().err
    assert "warning: 4 pairs stand in their task before" in said
    assert "1 pairs are of one sentence twice" in said
    assert cli.main(["score", *map(str, options(model, out="once"))]) == 0
    assert "warning" not in capsys.readouterr().err


HEADERS = {
    "good;bad;task": "no column good and no bad and no task, but 'good;bad;task': save",
    "good\tbad\ttask": "between the cells, not tabs",
    "Good,Bad,Task": "'Good', 'Bad', 'Task': name the columns in the first line: good, bad, task",
    "good, bad, task": "no column bad and no task, but 'good', ' bad', ' task'",
    "the cat sleeps .,the cat sleep .,agree": "name the columns in the first line",
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("command", ["score", "check-pairs"])
def test_a_first_line_that_names_no_columns(command, header, refused, model):
    mark = next(m for m in ";\t," if m in header)
    rows = [mark.join([WORDS[2 * i + 1], WORDS[2 * i], "agree"]) for i in range(4)]
    write("pairs.csv", [header, *rows])
    of = ["pairs.csv"] if command == "check-pairs" else options(model, "pairs.csv")
    said = refused(command, *of)
    assert "pairs.csv, line 1: " in said
    assert HEADERS[header] in said


QUOTES = {  # lines after the header, and the one at which a cell is opened
    "never closed": (["a .,b .,agree", '"a .,b .,agree', "c .,d .,agree"], 3),
    "closed in the next line": (['"a .,b .,agree', '"c .,d .,agree'], 2),
}


@pytest.mark.parametrize("what", QUOTES)
@pytest.mark.parametrize("command", ["probe", "check-pairs"])
def test_a_quote_without_its_twin_does_not_swallow_lines(command, what, refused, model):
    rows, line = QUOTES[what]
    write("pairs.csv", ["good,bad,task", *rows])
    of = ["pairs.csv"] if command == "check-pairs" else options(model, "pairs.csv")
    assert f"pairs.csv, line {line}: a quotation mark opens a cell" in refused(command, *of)


def test_quotes_and_line_breaks_that_belong_to_a_cell(here, capsys):
    rows = [f'"she said ""{word}"" .","a\nb {word}",agree' for word in WORDS[:4]]
    write("pairs.csv", ["good,bad,task", *rows, 'a 5" nail .,b .,agree'])
    assert cli.main(["check-pairs", "pairs.csv"]) == 0
    assert "5 pairs, 0 errors" in capsys.readouterr().out


def test_pairs_that_are_not_there(refused, model, here):
    assert "no such file" in refused("score", *options(model, "nothing.jsonl"))
    Path("empty.jsonl").touch()
    assert "holds no pairs" in refused("score", *options(model, "empty.jsonl"))
    (here / "folder").mkdir()
    assert "holds no .jsonl" in refused("probe", *options(model, "folder"))
    Path("names.csv").write_text("a,b,c\n1,2,3\n")
    assert "no column good" in refused("score", *options(model, "names.csv"))


def test_strict_pairs(refused, model):
    write("same.jsonl", [*(row(i) for i in range(4)), row(0, pairID="9", sentence_bad=WORDS[1])])
    said = refused("score", *options(model, "same.jsonl"), "--strict")
    assert "line 5: good and bad are the same sentence" in said


def test_check_pairs_lists_all_and_ends_with_2(here, capsys):
    write("faulty.jsonl", [*(row(i) for i in range(4)), "{", row(0)])
    assert cli.main(["check-pairs", "faulty.jsonl"]) == 2
    output = capsys.readouterr()
    assert "line 5: broken JSON" in output.out
    assert "line 6: task 'agree'" in output.out
    assert "faulty.jsonl has 2 errors" in output.err
    write("same.jsonl", [*(row(i) for i in range(4)), row(0, pairID="9", sentence_bad=WORDS[1])])
    assert cli.main(["check-pairs", "same.jsonl"]) == 0
    output = capsys.readouterr().out
    assert "5 pairs, 0 errors, 2 warnings" in output
    heading, row_of_agree, *_ = output.splitlines()
    shown = dict(zip(heading.split(), row_of_agree.split(), strict=True))
    assert shown["task"] == "agree"
    assert [shown[h] for h in ("pairs", "errs", "warn", "same", "again")] == [
        "5",
        "0",
        "2",
        "1",
        "2",
    ]
    assert "  same: pairs whose good and bad are the same sentence" in output
    assert cli.main(["check-pairs", "same.jsonl", "--strict"]) == 2


def test_faulty_rows_left_out_are_named(here, model, capsys):
    write("faulty.jsonl", [*(row(i) for i in range(4)), "{"])
    assert cli.main(["score", *map(str, options(model, "faulty.jsonl")), "--skip-faulty"]) == 0
    assert "left out: faulty.jsonl, line 5: broken JSON" in capsys.readouterr().err
    assert Run("out").table("accuracy")["n"].tolist() == [4]


def test_pairs_too_few_for_the_split_and_unknown_tasks(refused, model):
    assert "no task binding in pairs.jsonl; it has agree" in refused(
        "probe", *options(model), "--tasks", "agree,binding"
    )
    one_item = write("item.jsonl", [row(i, item="1") for i in range(4)])
    assert "too few unrelated pairs" in refused("probe", *options(model, one_item))
    assert "at least 4" in refused("probe", *options(model), "--pairs-per-task", "2")


def test_pairs_in_words_that_the_model_does_not_know(refused, model):
    rows = [row(i) for i in range(3)] + [row(3, sentence_good="the axolotl sleeps .")]
    said = refused("score", *options(model, write("words.jsonl", rows)))
    assert "does not know axolotl" in said
    long = " ".join(["cat"] * 60)
    rows = [row(i) for i in range(3)] + [row(3, sentence_good=long)]
    assert "61 tokens with BOS" in refused("score", *options(model, write("long.jsonl", rows)))


# ------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize("command", ["score", "probe"])
def test_models_that_are_none(command, refused, model, here):
    assert "there is no such folder" in refused(command, *options("./nothing"))
    assert "neither a folder here nor" in refused(command, *options("nobody/nothing"))
    (here / "empty").mkdir()
    assert "no config.json" in refused(command, *options("empty"))
    store.write_atomic("pickled/config.json", (model / "config.json").read_bytes())
    store.write_atomic("pickled/tokenizer.json", (model / "tokenizer.json").read_bytes())
    assert "no weights" in refused(command, *options("pickled"))
    Path("pickled/pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "refused" in refused(command, *options("pickled"))
    assert "no EOS" in refused(command, *options(model), "--bos", "eos")
    assert "invalid choice: 'cls'" in refused(command, *options(model), "--bos", "cls")


# ------------------------------------------------------------------------------------------- output


@pytest.mark.parametrize("command", ["score", "probe"])
def test_a_folder_with_other_things_is_not_written_to(command, refused, model, here):
    store.write_atomic("thesis/main.tex", "mine")
    assert "not ours" in refused(command, *options(model, out="thesis"))
    Path("file").touch()
    assert "file is a file" in refused(command, *options(model, out="file"))
    assert "file" in refused(command, *options(model, out="file/out"))


def test_wrong_endings_of_pairs(refused):
    said = refused("generate", "--out", "pairs.xlsx", "--pairs-per-task", "4", "--corpus", "c.txt")
    assert "ends in .jsonl, .csv or .tsv" in said


def test_a_full_disk_is_one_line_and_leaves_what_was(here, model, monkeypatch, capsys):
    """The one function that writes raises; the folder of the first run stays as it was."""
    assert cli.main(["score", *map(str, options(model))]) == 0
    before = tree(here)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "out")

    monkeypatch.setattr(os, "replace", full)
    capsys.readouterr()
    assert cli.main(["score", *map(str, options(model))]) == 2
    said = capsys.readouterr().err.strip()
    problem = "taskspaces score: out: No space left on device"
    assert said == f"{problem}. Mend that; what was finished is kept"
    assert tree(here) == before


def test_a_full_disk_while_probing_keeps_finished_cells(here, model, monkeypatch, capsys):
    from taskspace_utils import assembly, cells

    arguments = ["probe", *map(str, options(model)), "--methods", "gradient"]
    monkeypatch.setattr(cells.os, "cpu_count", lambda: 1)
    real = assembly.write_run
    full = OSError(28, "full")
    monkeypatch.setattr(assembly, "write_run", lambda *a: (_ for _ in ()).throw(full))
    assert cli.main(arguments) == 2
    assert not (here / "out").exists()
    monkeypatch.setattr(assembly, "write_run", real)
    monkeypatch.setattr(cells, "_compute", lambda *a: pytest.fail("computed again"))
    assert cli.main(arguments) == 0
    assert Run("out").has("gradient")


# ------------------------------------------------------------------------------------------ corpora


def pretrain(**changes) -> list:
    given = {"scale": "XS", "corpus": "corpus.txt", "steps": 2, "out": "run"} | changes
    return ["pretrain", *(part for k, v in given.items() for part in (f"--{k}", v))]


def test_corpora_that_are_none(refused, here):
    assert "no such file or folder of text" in refused(*pretrain(corpus="nothing"))
    Path("short.txt").write_text("the cat sleeps .\n")
    assert "1 lines of text" in refused(*pretrain(corpus="short.txt"))
    Path("latin.txt").write_bytes("café\n".encode("latin-1") * 20)
    assert "latin.txt: not text in UTF-8" in refused(*pretrain(corpus="latin.txt"))
    Path("broken.txt.xz").write_bytes(b"not xz")
    assert "broken.txt.xz" in refused(*pretrain(corpus="broken.txt.xz"))


def test_corpora_that_do_not_fit_the_scale(refused, here):
    Path("long.txt").write_text("\n".join([*WORDS * 10, " ".join(["cat"] * 99)]))
    assert "99 words; XS takes 47" in refused(*pretrain(corpus="long.txt"))
    Path("many.txt").write_text("\n".join(f"w{i} ." for i in range(3000)))
    said = refused(*pretrain(corpus="many.txt"))
    assert "different words" in said
    assert "bpe" in said


def test_trainings_with_wrong_settings(refused, here, capsys):
    assert "no scale named 'XXL'" in refused(*pretrain(scale="XXL"))
    assert "at least 1" in refused(*pretrain(steps=0))
    assert "'ten' is not a whole number" in refused(*pretrain(steps="ten")).replace(
        "ten is", "'ten' is"
    )
    assert "not a whole number" in refused(*pretrain(seed="-1"))
    store.write_atomic("mine/main.tex", "mine")
    assert "not ours" in refused(*pretrain(out="mine"))
    assert cli.main(list(map(str, pretrain()))) == 0
    capsys.readouterr()
    assert "another training" in refused(*pretrain(seed=1))
    Path("file").touch()
    assert "file" in refused(*pretrain(out="file"))


# ----------------------------------------------------------------------------------------- settings

WRONG = {
    "unknown command": (["prob"], "invalid choice: 'prob'"),
    "no command": ([], "required: COMMAND"),
    "unknown option": (["sweep", "--profil3", "x"], "unrecognized arguments"),
    "unknown profile": (["sweep", "--profile", "larptop"], "no profile named 'larptop'"),
    "unknown profile of a book": (["book", "--profile", "larptop"], "no profile named 'larptop'"),
    "unknown chapter": (["chapter", "99"], "no chapter '99'"),
    "parameter without a value": (["chapter", "01", "-p", "k"], "write NAME=VALUE"),
    "unknown parameter": (["chapter", "01", "-p", "kk=1"], "has no parameter 'kk'"),
    "seed": (["generate", "--out", "a.jsonl", "--seed", "x"], "x is not a whole number"),
    "task": (
        ["generate", "--out", "a.jsonl", "--pairs-per-task", "4", "--tasks", "no"], "no such task"
    ),
    "no task": (["generate", "--out", "a.jsonl", "--tasks", ","], "no task is named"),
    "one file for both": (
        ["generate", "--out", "a.jsonl", "--corpus", "./a.jsonl"], "is the file of pairs"
    ),
    "profile of another folder": (["sweep", "--profile", "../profiles/smoke"], "no profile named"),
    "none": (["generate", "--out", "a.jsonl", "--pairs-per-task", "0"], "at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_settings(what, refused):
    arguments, message = WRONG[what]
    assert message in refused(*arguments)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (["--k", "0"], "above 0 and at most 1"), (["--k", "1.5"], "above 0 and at most 1"),
        (["--k", "nan"], "above 0 and at most 1"), (["--k", "x"], "above 0 and at most 1"),
        (["--k", ","], "above 0 and at most 1"), (["--target", "0.1"], "must be above 0.1"),
        (["--target", "nan"], "must be above 0.1"), (["--target", "x"], "invalid float value"),
        (["--methods", "gradients"], "there are transfer and gradient"),
        (["--methods", ","], "there are transfer and gradient"),
        (["--text", "nothing.txt"], "nothing.txt: there is no such file"),
    ],
)  # fmt: skip
def test_wrong_settings_of_a_probe(setting, message, refused, model):
    assert message in refused("probe", *options(model), *setting)


def test_a_plan_writes_nothing(here, model, capsys):
    before = tree(here)
    assert cli.main(["probe", *map(str, options(model)), "--plan"]) == 0
    assert "million parameters" in capsys.readouterr().out
    assert tree(here) == before


def test_real_data_that_is_not_there(refused, monkeypatch):
    monkeypatch.delenv("TASKSPACES_DATA", raising=False)
    assert "TASKSPACES_DATA" in refused("sweep", "--profile", "paper")


def test_an_interrupt_ends_with_130(here, monkeypatch, capsys):
    from taskspace_utils import runs

    monkeypatch.setattr(runs, "sweep", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["sweep"]) == 130
    assert "goes on where this one was" in capsys.readouterr().err


def test_what_is_no_input_error_is_not_hidden(here, monkeypatch):
    from taskspace_utils import runs

    monkeypatch.setattr(runs, "sweep", lambda *a: (_ for _ in ()).throw(ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        cli.main(["sweep"])


def test_as_a_program(here):
    """The real thing once: the status of the process, and one line on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "taskspace_utils.cli", "check-pairs", "nothing.jsonl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"taskspaces check-pairs: nothing\.jsonl: there is no such .*\n", done.stderr
    )
