"""Legibility: are these sentences what was written, and can a tokenizer write them?

A score is of the tokens that a model was given. Where a file was read in a wrong encoding, where a
pair differs only in how its letters are encoded, or where a tokenizer silently drops a letter, that
is another sentence, and no number of it is taken.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from taskspace_utils.pairs import ON_DISK, REQUIRED
from taskspace_utils.store import InputError

Finding = tuple[int, str]  # place of a pair in the table, and what is wrong with it


def encoding_faults(pairs: pd.DataFrame) -> list[Finding]:
    """Pairs whose text shows that it was encoded in more than one way, in the table's order."""
    found = []
    both = zip(pairs["good"], pairs["bad"], strict=True)
    for place, (good, bad) in enumerate(both):
        for sentence in (good, bad):
            if fault := _of_sentence(sentence):
                found.append((place, f"{fault} in {sentence[:60]!r}"))
                break
        else:
            if fault := _of_pair(good, bad):
                found.append((place, f"{fault} in {good[:60]!r}"))
    return found


def _of_sentence(text: str) -> str:
    if text.isascii() and text.isprintable():
        return ""
    if "\ufffd" in text:
        return "the mark of a letter that was lost (U+FFFD): a file was read in a wrong encoding"
    for letter in text:
        control = unicodedata.category(letter) == "Cc" and letter not in "\t\n\r"
        if control or letter == "\ufeff":
            return f"an invisible character (U+{ord(letter):04X}): two encodings were mixed"
    for wrong in ("cp1252", "latin-1"):
        try:
            meant = text.encode(wrong).decode("utf-8")
        except UnicodeError:
            continue
        if meant != text:
            return f"UTF-8 that was once read as {wrong} (it should be {meant[:40]!r})"
    return ""


def _of_pair(good: str, bad: str) -> str:
    if good != bad and unicodedata.normalize("NFC", good) == unicodedata.normalize("NFC", bad):
        return "good and bad are the same letters, once composed and once not,"
    forms = [_forms(sentence) for sentence in (good, bad)]
    if forms[0] and forms[1] and forms[0] != forms[1]:
        return "good writes accents in one way (composed) and bad in the other"
    return ""


def _forms(text: str) -> str:
    """ "NFC" or "NFD" where accents tell; "" where there are none, or both."""
    composed = unicodedata.is_normalized("NFC", text)
    apart = unicodedata.is_normalized("NFD", text)
    return "" if composed == apart else "NFC" if composed else "NFD"


def check_text(pairs: pd.DataFrame) -> None:
    """Refuse pairs that `encoding_faults` names.

    Raises:
        InputError: with the first of them, and the remedy.
    """
    if faults := encoding_faults(pairs):
        raise InputError(
            f"{_listed(pairs, faults)}\nSave the file anew as UTF-8, its text in one normal form "
            "(NFC), or leave these pairs out"
        )


def check_header(path: str | Path) -> None:
    """Refuse a table whose first line does not name the columns, or whose quotes don't match.

    Each line would be faulty in the one case, and in the other several would be read as one.

    Raises:
        InputError: with the columns that there are and those that are needed, or the line at which
            a quote is opened.
    """
    folder = Path(path)
    for file in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
        if file.suffix.lower() not in (".csv", ".tsv") or not file.is_file():
            continue
        try:
            text = file.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            continue  # `pairs` says where
        ours = "\t" if file.suffix.lower() == ".tsv" else ","
        lines = [line[:10_000] for line in text.splitlines()[:1]]
        names = {mark: next(csv.reader(lines, delimiter=mark), []) for mark in (ours, *",;\t")}
        lacking = [c for c in REQUIRED if not set(ON_DISK[c]) & set(names[ours])]
        if not lines or not lacking:
            _check_quotes(file, text, ours)
            continue
        other = next(
            (m for m in names if all(set(ON_DISK[c]) & set(names[m]) for c in REQUIRED)), ""
        )
        said = {";": "semicolons", "\t": "tabs", ",": "commas"}
        remedy = f"save it with {said[ours]} between the cells, not {said[other]}" if other else \
            "name the columns in the first line: good, bad, task"  # fmt: skip
        raise InputError(
            f"{file}, line 1: no column {' and no '.join(lacking)}, but "
            f"{', '.join(repr(name[:30]) for name in names[ours][:6])}: {remedy}"
        )


def _check_quotes(file: Path, text: str, mark: str) -> None:
    """Refuse a quote without its twin: all up to the next one would be read as a single cell."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    began = 1
    try:
        for _ in reader:
            began = reader.line_num + 1
    except csv.Error as error:
        if "field limit" in str(error):
            return  # `pairs` says so
        raise InputError(
            f"{file}, line {began}: a quotation mark opens a cell here that is not closed as it "
            f"should be ({error}): close it, or write a mark that belongs to the sentence twice "
            'and the whole cell in quotation marks ("she said ""yes"" .")'
        ) from error


def check_tokens(lm, pairs: pd.DataFrame) -> list[str]:
    """Can the model's tokenizer write these pairs? What is doubtful, in words for a person.

    Raises:
        InputError: it drops letters, writes good and bad of all pairs of a task alike, or what
            `encode` says.
    """
    sentences = list(dict.fromkeys([*pairs["good"], *pairs["bad"]]))
    try:
        top = max(map(max, lm.encode(sentences)), default=0)  # says which words are unknown
    except Exception as error:
        if type(error) is not Exception:  # what the library of tokenizers raises has no other type
            raise
        raise InputError(
            f"the tokenizer of {lm.name} can't write one of these sentences ({error}): score pairs "
            "in the words the model was trained on"
        ) from error
    table = lm.model.get_input_embeddings() if hasattr(lm.model, "get_input_embeddings") else None
    if table is not None and top >= len(table.weight):
        raise InputError(
            f"the tokenizer of {lm.name} writes token {top}, and the model has only "
            f"{len(table.weight)}: they are not of one model, so save both anew side by side"
        )
    coded = dict(zip(sentences, _coded(lm.tokenizer, sentences), strict=True))
    lost = _where(pairs, lambda good, bad: coded[good][1] | coded[bad][1])
    if lost:
        letters = sorted(set().union(*(dropped for _, dropped in coded.values())))
        raise InputError(
            f"the tokenizer of {lm.name} drops {' '.join(letters[:10])} without a word, so it "
            f"can't write {len(lost)} of {len(pairs)} pairs:\n{_listed(pairs, lost)}\nScore pairs "
            "in the script the model was trained on"
        )
    alike = _where(pairs, lambda good, bad: good != bad and coded[good][0] == coded[bad][0])
    tasks = pairs["task"].iloc[[place for place, _ in alike]].value_counts()
    whole = [task for task, n in tasks.items() if n == (pairs["task"] == task).sum()]
    if whole:
        raise InputError(
            f"the tokenizer of {lm.name} writes good and bad alike in all pairs of "
            f"{', '.join(sorted(whole)[:5])}: the model can't tell them apart (does it fold case "
            "or accents?)"
        )
    said = []
    if alike:
        first = pairs.iloc[alike[0][0]]
        said.append(
            f"the tokenizer of {lm.name} writes good and bad alike in {len(alike)} of {len(pairs)} "
            f"pairs, which count as ties; the first is {first['good'][:60]!r}"
        )
    spelt = [s for s, (tokens, _) in coded.items() if len(tokens) > len(s)]
    if spelt:
        said.append(
            f"{len(spelt)} of {len(sentences)} sentences have more tokens than characters, as "
            f"{spelt[0][:60]!r}: their script is spelt byte by byte, which the tokenizer of "
            f"{lm.name} was hardly trained on, so probably neither was the model"
        )
    return said


def _coded(tokenizer, sentences: list[str]) -> list[tuple[list[int], set[str]]]:
    """Of each sentence its ids, and letters that are in no token; none where it can't be told."""
    if not getattr(tokenizer, "is_fast", False):
        plain = tokenizer(sentences, add_special_tokens=False)["input_ids"]
        return [(ids, set()) for ids in plain]
    found = tokenizer(sentences, add_special_tokens=False, return_offsets_mapping=True)
    whole = []
    for sentence, ids, spans in zip(
        sentences, found["input_ids"], found["offset_mapping"], strict=True
    ):
        written = set().union(*(range(*span) for span in spans))
        lost = {c for i, c in enumerate(sentence) if i not in written and _seen(c)}
        if lost:  # after a letter that was dropped, places are those of other letters
            alone = tokenizer(sorted(set(sentence)), add_special_tokens=False)["input_ids"]
            named = {c for c, ids in zip(sorted(set(sentence)), alone, strict=True) if not ids}
            lost = {c for c in named if _seen(c)} or lost
        whole.append((ids, lost))
    return whole


def _seen(letter: str) -> bool:
    """Does a letter leave ink? Spaces and joiners may go into a token beside them."""
    return not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Mn")


def _where(pairs: pd.DataFrame, found: Callable[[str, str], object]) -> list[Finding]:
    both = zip(pairs["good"], pairs["bad"], strict=True)
    return [(i, f"{good[:60]!r}") for i, (good, bad) in enumerate(both) if found(good, bad)]


def _listed(pairs: pd.DataFrame, faults: list[Finding]) -> str:
    lines = [
        f"task {row['task']!r}, pairID {row['pair_id']!r}: {fault}"
        for place, fault in faults[:5]
        for row in [pairs.iloc[place]]
    ]
    more = [f"… and {len(faults) - 5} more"] if len(faults) > 5 else []
    return "\n".join(lines + more)
