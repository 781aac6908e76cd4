"""Four constructions of English that BLiMP lacks: their pairs, and their place in a shipped model.

    python scripts/four_constructions.py                # data/course/four_constructions.csv
    python scripts/four_constructions.py --model DIR    # data/reference/four-constructions*/ too

Each construction is crossed: what is wrong in one sentence is right in another of the same task, so
no bag of words can tell. DIR is the last checkpoint of profile `blimp`, the model of the reference
run blimp-8M, and TASKSPACES_DATA names a folder with BLiMP. The probe is `taskspaces probe` with
--context blimp and --preset quick: once of good, bad and task alone (four-constructions), and once
with `item` beside them, which keeps the two pairs of an item on one side of the split; that was
decided after the first had been seen (four-constructions-items). Of the tables, what chapter 13
reads is kept. About a quarter of an hour of one core each; what the store has is not made again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from taskspace_utils import cli, store, tables

PAIRS = store.data_path("course", "four_constructions.csv")
COLUMNS = {"four-constructions": ["good", "bad", "task"],
           "four-constructions-items": ["good", "bad", "task", "item"]}  # fmt: skip
NUMBER = 80  # pairs a task
KEPT = ["cosine", "cosine_corrected"]  # of the gradient table
Pair = tuple[str, str]

WHO = {"the girl": "she", "my mother": "she", "your sister": "she", "the old woman": "she",
       "the boy": "he", "my father": "he", "your brother": "he", "the little man": "he",
       "the children": "they", "my friends": "they"}  # fmt: skip
TAGS = {"can {}": "can't", "will {}": "won't", "should {}": "shouldn't", "{}": "didn't"}
DONE = {"come home": "came home", "go to school": "went to school", "sing a song": "sang a song",
        "eat the bread": "ate the bread", "see the house": "saw the house",
        "find the dog": "found the dog", "write a letter": "wrote a letter",
        "take the train": "took the train", "forget the book": "forgot the book",
        "break the window": "broke the window"}  # fmt: skip
LONG = ["lived here", "been ill", "worked in the town", "known them", "waited at the station",
        "slept in the garden", "been alone", "seen nobody"]  # fmt: skip
SINCE = ["Monday", "last week", "yesterday", "last summer", "the end of the war", "this morning",
         "last autumn", "last night"]  # fmt: skip
FOR = ["three days", "two weeks", "many years", "a long time", "an hour", "ten minutes",
       "six months", "a whole year"]  # fmt: skip
MORE = {"taller": "tall", "older": "old", "stronger": "strong", "younger": "young",
        "richer": "rich", "smaller": "small", "kinder": "kind", "poorer": "poor"}  # fmt: skip
PARTICLES = ["picked up", "took off", "put down", "threw away", "turned over", "gave up",
             "brought back", "held up", "sent away", "cut off"]  # fmt: skip


def tag_auxiliary(rng: random.Random) -> list[Pair]:
    """The tag takes up the auxiliary of its sentence."""
    (who, they), (do, did) = rng.choice(list(WHO.items())), rng.choice(list(DONE.items()))
    both = rng.sample(list(TAGS), 2)
    says = [f"{who} {frame.format(did if frame == '{}' else do)}".capitalize() for frame in both]
    tags = [f"{TAGS[frame]} {they}" for frame in both]
    return [(f"{says[i]}, {tags[i]}?", f"{says[i]}, {tags[1 - i]}?") for i in (0, 1)]


def since_for(rng: random.Random) -> list[Pair]:
    """`since` is followed by a beginning, `for` by a length of time."""
    who = rng.choice(["We", "They", "I", "The boys", "My friends", "The women"])
    said = f"{who} have {rng.choice(LONG)}"
    start, length = rng.choice(SINCE), rng.choice(FOR)
    return [(f"{said} since {start}.", f"{said} for {start}."),
            (f"{said} for {length}.", f"{said} since {length}.")]  # fmt: skip


def comparative_than(rng: random.Random) -> list[Pair]:
    """A comparative is followed by `than`, `as` by `as`."""
    one, other = rng.sample([who for who, they in WHO.items() if they != "they"], 2)
    said, (more, plain) = rng.choice(["is", "was", "looks"]), rng.choice(list(MORE.items()))
    starts = [f"{one} {said} {how}".capitalize() for how in (more, f"as {plain}")]
    return [(f"{starts[0]} than {other}.", f"{starts[0]} as {other}."),
            (f"{starts[1]} as {other}.", f"{starts[1]} than {other}.")]  # fmt: skip


def particle_pronoun(rng: random.Random) -> list[Pair]:
    """A pronoun stands before the particle of its verb."""
    who, (verb, particle) = rng.choice(list(WHO)).capitalize(), rng.choice(PARTICLES).split()
    what, when = rng.choice(["it", "them"]), rng.choice(["yesterday", "again", "at once", "too"])
    return [(f"{who} {verb} {what} {particle} {when}.", f"{who} {verb} {particle} {what} {when}.")]


TASKS: list[Callable[[random.Random], list[Pair]]] = [
    tag_auxiliary, since_for, comparative_than, particle_pronoun]  # fmt: skip


def pairs(number: int = NUMBER) -> pd.DataFrame:
    """The table: good, bad, task, item; no good sentence stands in it twice."""
    rows = []
    for task in TASKS:
        rng, seen, items = random.Random(f"0/{task.__name__}"), set(), []
        while len(seen) < number:
            item = task(rng)
            goods = {good for good, _ in item}
            if seen.isdisjoint(goods):
                seen |= goods
                items.append(item)
        name = task.__name__
        rows += [(*pair, name, i) for i, item in enumerate(items) for pair in item]
    return pd.DataFrame(rows, columns=["good", "bad", "task", "item"])


def keep(run: tables.Run, out: Path) -> None:
    """Ship what chapter 13 reads of a run: its tables, the gradients' thinned."""
    shutil.rmtree(out, ignore_errors=True)
    for name in ("accuracy", "tasks", "placement", "lexical", "gradient"):
        table, keys = run.table(name), tables.TABLES[name][0]
        if name == "gradient":
            table = table[[*keys, *KEPT]].round(5)
        path = out / (f"{name}.csv.xz" if len(table) > 1000 else f"{name}.csv")
        tables.write_table(path, table, keys)
    about = dict(run.manifest) | {"made_by": "python scripts/four_constructions.py --model DIR"}
    about["shipped"] = {"gradient": {"kept": KEPT, "decimals": 5}}
    about["sha256"] = {path.name: store.file_hash(path) for path in sorted(out.iterdir())}
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    store.write_atomic(out / "manifest.json", text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="folder of the model to probe")
    parser.add_argument("--only", choices=COLUMNS, help="make this one of the two again")
    options = parser.parse_args()
    model, names = options.model, [options.only] if options.only else list(COLUMNS)
    found = pairs()
    store.write_atomic(PAIRS, found.to_csv(index=False, lineterminator="\n"))
    with tempfile.TemporaryDirectory() as place:
        for name in names if model else ():
            file, out = f"{place}/{name}.csv", f"{place}/{name}"
            found[COLUMNS[name]].to_csv(file, index=False, lineterminator="\n")
            status = cli.main([
                "probe", "--model", model, "--pairs", file, "--context", "blimp",
                "--preset", "quick", "--workers", "1", "--no-report", "--out", out,
            ])  # fmt: skip
            if status:
                sys.exit(status)
            keep(tables.Run(out), store.data_path("reference", name))


if __name__ == "__main__":
    main()
