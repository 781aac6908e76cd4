"""The table of pairs: every fault with its line, round trips."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskspace_utils import pairs as room
from taskspace_utils.store import InputError

GOOD = {"sentence_good": "The cat sleeps.", "sentence_bad": "The cat sleep.", "UID": "agree"}


def record(i: int, task: str = "agree", **more) -> dict:
    return {
        "sentence_good": f"Cat {i} sleeps in {task}.", "sentence_bad": f"Cat {i} sleep in {task}.",
        "UID": task, "pairID": str(i), "linguistics_term": "agreement", "field": "syntax",
    } | more  # fmt: skip


def jsonl(path: Path, rows: list) -> Path:
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(path: Path) -> list[tuple]:
    return [(f.line, f.kind, f.error) for f in room.scan_pairs(path)[1]]


# ------------------------------------------------------------------------------------------ reading


def test_blimps_names_and_ours_mean_the_same(tmp_path):
    ours = [
        {"good": r["sentence_good"], "bad": r["sentence_bad"], "task": r["UID"],
         "pair_id": r["pairID"], "phenomenon": "agreement", "field": "syntax"}
        for r in map(record, range(4))
    ]  # fmt: skip
    one = room.read_pairs(jsonl(tmp_path / "a.jsonl", [record(i) for i in range(4)]))
    other = room.read_pairs(jsonl(tmp_path / "b.jsonl", ours))
    pd.testing.assert_frame_equal(one, other)
    assert one.columns.tolist() == room.COLUMNS
    assert one.iloc[2].to_dict() == {
        "task": "agree", "phenomenon": "agreement", "field": "syntax", "pair_id": "2", "item": "",
        "split": "", "good": "Cat 2 sleeps in agree.", "bad": "Cat 2 sleep in agree.",
    }  # fmt: skip


def test_where_a_file_has_both_names_blimps_is_taken(tmp_path):
    rows = [record(i) | {"good": "another sentence", "task": "another"} for i in range(4)]
    table = room.read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    assert table["good"].tolist() == [r["sentence_good"] for r in rows]
    assert set(table["task"]) == {"agree"}


def test_defaults_for_what_is_optional(tmp_path):
    rows = [GOOD | {"sentence_good": f"Good {i}.", "sentence_bad": f"Bad {i}."} for i in range(4)]
    table = room.read_pairs(jsonl(tmp_path / "a.jsonl", ["\n", *rows]))
    assert table["pair_id"].tolist() == ["2", "3", "4", "5"]  # the line's number
    assert set(table["phenomenon"]) == {"unlabelled"}
    assert set(table["item"]) == set(table["split"]) == {""}


def test_other_keys_are_kept_and_sentences_are_taken_exactly_as_given(tmp_path):
    rows = [
        record(i, sentence_good=f"  Two  spaces{i}\u00a0! ", lexically_identical=True, line="x")
        for i in range(4)
    ]
    table = room.read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    assert table["good"][1] == "  Two  spaces1\u00a0! "
    assert table["lexically_identical"].tolist() == [True] * 4


def test_blimps_spellings_are_made_one(tmp_path):
    rows = [record(i, field="syntax/semantics", linguistics_term="s-selection") for i in range(4)]
    rows += [record(i, "b", field="syntax_semantics") for i in range(4)]
    table = room.read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    assert set(table["field"]) == {"syntax_semantics"}
    assert dict(zip(table["task"], table["phenomenon"], strict=True)) == {
        "agree": "argument_structure", "b": "agreement"
    }  # fmt: skip


def test_a_folder_is_read_by_name_and_a_byte_order_mark_is_no_text(tmp_path):
    jsonl(tmp_path / "b.jsonl", [record(i, "b") for i in range(4)])
    room.write_pairs(
        tmp_path / "a.csv",
        room.read_pairs(jsonl(tmp_path / "x.jsonl", [record(i) for i in range(4)])),
    )
    (tmp_path / "x.jsonl").unlink()
    text = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text)
    (tmp_path / "notes.txt").write_text("no pairs")
    assert room.read_pairs(tmp_path)["task"].tolist() == ["agree"] * 4 + ["b"] * 4


# ------------------------------------------------------------------------------------------- faults


def test_every_error_names_its_line(tmp_path):
    rows = [
        record(0), '{"sentence_good": "x"\n', "[1, 2]\n", record(3, sentence_bad="   "),
        {k: v for k, v in record(4).items() if k != "UID"}, record(0, sentence_good="Other."),
        record(6, sentence_good=7), record(7, split="test"), record(8), record(9), record(10),
    ]  # fmt: skip
    path = jsonl(tmp_path / "faulty.jsonl", rows)
    assert [f for f in faults_of(path) if f[2]] == [
        (2, "broken JSON", True), (3, "broken JSON", True), (4, "empty field", True),
        (5, "missing field", True), (6, "duplicate pair", True), (7, "not text", True),
        (8, "unknown split", True),
    ]  # fmt: skip
    with pytest.raises(InputError) as caught:
        room.read_pairs(path)
    message = str(caught.value)
    for line in (2, 3, 4, 5, 6, 7, 8):
        assert f"{path}, line {line}: " in message
    for part in ("'sentence_bad' is empty", "'UID' is missing", "'0' already", "--skip-faulty"):
        assert part in message


def test_bytes_that_are_not_utf8_are_found_with_their_line(tmp_path):
    path = tmp_path / "latin.jsonl"
    lines = [json.dumps(record(i)).encode() for i in range(4)]
    path.write_bytes(b"\n".join([*lines, b'{"sentence_good": "caf\xe9"}', b""]))
    ((line, _, error),) = [f for f in faults_of(path) if f[1] == "not UTF-8"]
    assert (line, error) == (5, True)


def test_empty_files_and_tasks_that_are_too_small(tmp_path):
    assert (0, "empty file", True) in faults_of(jsonl(tmp_path / "a.jsonl", ["\n"]))
    path = jsonl(tmp_path / "b.jsonl", [record(i) for i in range(3)])
    assert faults_of(path) == [(0, "too few pairs", True)]
    with pytest.raises(InputError, match="'agree' has 3 pairs; a task needs at least 4"):
        room.read_pairs(path)
    with pytest.raises(InputError, match="no such file"):
        room.read_pairs(tmp_path / "nothing.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"holds no \.jsonl"):
        room.read_pairs(tmp_path / "folder")


def test_warnings_are_counted_and_are_errors_only_when_strict(tmp_path):
    rows = [record(i) for i in range(4)]
    rows += [record(4, sentence_bad=record(4)["sentence_good"])]
    rows += [record(5, sentence_bad=record(1)["sentence_bad"])]
    path = jsonl(tmp_path / "a.jsonl", rows)
    assert faults_of(path) == [(5, "identical pair", False), (6, "repeated sentence", False)]
    assert len(room.read_pairs(path)) == 6
    with pytest.raises(InputError, match="line 5: good and bad are the same"):
        room.read_pairs(path, strict=True)
    assert len(room.read_pairs(path, strict=True, skip_faulty=True)) == 4


def test_a_task_under_two_phenomena_is_an_error_even_where_faulty_rows_are_left_out(tmp_path):
    rows = [record(i) for i in range(4)] + [record(4, linguistics_term="binding")]
    path = jsonl(tmp_path / "a.jsonl", rows)
    assert faults_of(path) == [(0, "unclear phenomenon", True)]
    with pytest.raises(InputError, match="more than one phenomenon: 'agreement', 'binding'"):
        room.read_pairs(path)
    with pytest.raises(InputError, match="more than one phenomenon"):
        room.read_pairs(path, skip_faulty=True)


def test_faulty_rows_can_be_left_out(tmp_path):
    rows = ["{\n", *(record(i) for i in range(5)), record(3), *(record(i, "b") for i in range(3))]
    path = jsonl(tmp_path / "a.jsonl", rows)
    table = room.read_pairs(path, skip_faulty=True)
    assert table["task"].tolist() == ["agree"] * 5  # b is left with too few
    assert table.index.tolist() == list(range(5))
    with pytest.raises(InputError, match="no task has 4 pairs"):
        room.read_pairs(jsonl(tmp_path / "b.jsonl", ["{\n"] * 5), skip_faulty=True)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("[" * 100_000, "broken JSON"),
        (f'{{"a": {"9" * 5000}}}', "broken JSON"),
        (json.dumps(record(9, sentence_good="half \ud800")), "broken JSON"),
        (json.dumps(record(9, UID={"a": 1})), "not text"),
        (json.dumps(record(9, UID=["a"])), "not text"),
        (json.dumps(record(9, UID=True)), "not text"),
        (json.dumps(record(9, UID=float("nan"))), "not text"),
        (json.dumps(record(9, UID="a\x1b[31m")), "not text"),
    ],
)
def test_lines_that_break_their_reader_are_faults(line, kind, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [*(record(i) for i in range(4)), f"{line}\n"])
    assert faults_of(path) == [(5, kind, True)]
    assert len(room.read_pairs(path, skip_faulty=True)) == 4


def test_two_columns_of_one_name_are_a_fault(tmp_path):
    path = tmp_path / "a.csv"
    rows = "".join(f"g{i},h{i},b{i},a,,\n" for i in range(4))
    path.write_text(f"sentence_good,sentence_good,sentence_bad,UID,,\n{rows}")
    with pytest.raises(InputError, match="line 1: two columns are named 'sentence_good'"):
        room.read_pairs(path)
    path.write_text(f"sentence_good,other,sentence_bad,UID,,\n{rows}")
    assert len(room.read_pairs(path)) == 4


def test_endings_in_capitals_mean_the_same(tmp_path):
    path = jsonl(tmp_path / "A.JSONL", [record(i) for i in range(4)])
    assert room.read_pairs(path).equals(room.read_pairs(tmp_path))


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_cells_that_do_not_fit_the_header(ending, tmp_path):
    mark = "," if ending == ".csv" else "\t"
    lines = [["UID", "sentence_good", "sentence_bad"], *(["a", f"g{i}", f"b{i}"] for i in range(4))]
    path = tmp_path / f"a{ending}"
    path.write_text("\n".join(mark.join(x) for x in [*lines, ["a", "b"], [*"abcd"]]) + "\n")
    assert faults_of(path) == [
        (6, "wrong number of cells", True),
        (7, "wrong number of cells", True),
    ]
    assert len(room.read_pairs(path, skip_faulty=True)) == 4


@pytest.mark.parametrize(
    "text", ["a,b\n" + '"x' * 100_000, "UID\0,sentence_good\na,b\n", "a\rb\n1\r\n"]
)
def test_what_is_no_csv_is_a_fault_and_not_a_crash(text, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text, newline="")
    with pytest.raises(InputError, match=r"a\.csv"):
        room.read_pairs(path)


# -------------------------------------------------------------------------------------- round trips

cell = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
).filter(str.strip)
plain = st.text(st.sampled_from("ab \"',;\t\n\\{}[]ñ☃𝄞\u2028."), min_size=1, max_size=8).filter(
    str.strip
)


@st.composite
def tables(draw) -> pd.DataFrame:
    n = draw(st.integers(4, 6))
    optional = st.one_of(st.just(""), plain)
    phenomenon = draw(plain)
    rows = [
        {"task": "t", "phenomenon": phenomenon, "field": "", "pair_id": f"p{i}",
         "item": draw(optional), "split": draw(st.sampled_from(["", "train", "eval"])),
         "good": draw(st.one_of(cell, plain)), "bad": draw(plain), "note": draw(optional)}
        for i in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv"])
def test_what_is_written_is_read_back(ending, tmp_path):
    path = tmp_path / f"pairs{ending}"

    @given(tables())
    def check(table):
        room.write_pairs(path, table)
        back = room.read_pairs(path)
        if "note" not in back:  # JSON Lines leaves empty cells out
            back["note"] = ""
        pd.testing.assert_frame_equal(
            back.fillna("").astype(object), table.astype(object), check_dtype=False
        )

    check()


def test_json_lines_are_json_and_nothing_else(tmp_path):
    """A key that only some rows have is left out of the others, not written as NaN."""
    rows = [record(i) | ({"note": "x"} if i else {}) for i in range(4)]
    table = room.read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    path = room.write_pairs(tmp_path / "b.jsonl", table)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    found = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert found == [{k: v for k, v in r.items() if v} for r in rows]
    with pytest.raises(InputError, match=r"ends in \.jsonl, \.csv or \.tsv"):
        room.write_pairs(tmp_path / "pairs.xlsx", table)


@pytest.mark.parametrize(
    ("a", "b", "part"),
    [
        ("x y z", "x q z", (1, 2)),
        ("x y y z", "x y z", (2, 3)),  # an extra word: the later of two alike
        ("x z", "x y z", (1, 1)),  # nothing of its own
        ("x y z", "q r s", (0, 3)),
        ("x y", "x y", (2, 2)),
    ],
)
def test_where_two_sentences_differ(a, b, part):
    assert room.differing(a.split(), b.split()) == part
