"""A store that is full, unwritable, from the future, shared, or whose processes are killed.

Sweeps are run with a tiny profile, some by processes that are really killed. Such processes are
forked from one that has imported everything, so that many can be killed in a short time.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from taskspace_utils import cells, cli, records, runs, store
from taskspace_utils.store import InputError

SMALL = {"tasks": ["agreement_simple", "reflexive_number"], "pairs_per_task": 8, "sentences": 200}
SMALL |= {"steps": 6, "probe_at": [0, 6], "transfer_at": [6], "ladder": {}, "chapters": {}}

# Reads orders, a JSON object a line: profiles to sweep at once, the store, before or after which
# of its renames a process kills itself, and so on. Writes the processes' ids, then their statuses.
NURSERY = """
import json, os, resource, signal, sys
from dataclasses import replace
from taskspace_utils import cli, runs
from taskspace_utils import cells, checks, ftgd, hypotheses, ladder, models, pretraining, probing

small = json.loads(sys.argv[1])
small = {k: tuple(v) if isinstance(v, list) else v for k, v in small.items()}
tiny = replace(runs.load_profile("smoke"), name="tiny", **small)
other = replace(tiny, name="other", tunings=tiny.tunings[:1])
long = replace(tiny, name="long", steps=100_000)
known = {one.name: one for one in (tiny, other, long)}
runs.load_profile = known.get
for one in known.values():
    runs.task_pairs(one), runs.corpus(one)
rename, run = os.replace, runs.jobs.run

def child(name, order):
    os.environ["TASKSPACES_STORE"] = order["store"]
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    runs.jobs.run = lambda work, **others: run(work, order["workers"])
    if order["largest"]:  # file that the system allows, in bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest"], order["largest"]))
    left = [order["renames"]]

    def deadly(*arguments):
        left[0] -= 1
        if left[0] == 0 and order["before"]:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*arguments)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = deadly
    os.dup2(os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    sys.exit(cli.main(["sweep", "--profile", name]))

print("ready", flush=True)
for line in sys.stdin:
    order, ids = json.loads(line), []
    for name in order["profiles"]:
        ids.append(os.fork())
        if ids[-1] == 0:
            child(name, order)
    print(json.dumps(ids), flush=True)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(i, 0)[1]) for i in ids]), flush=True)
"""


def tables(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "manifest.json"}


def run_of(home: Path, name: str = "tiny") -> Path:
    (folder,) = (home / "runs").glob(f"{name}-*")
    return folder


def state(home: Path) -> dict[str, tuple[int, int]]:
    """The cells and checkpoints of a store: which file it is, and when it was written."""
    found = [*home.glob("cells/*/[0-9a-f]*.json"), *home.glob("models/*/step-*/model.safetensors")]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found}


class Nursery:
    """A process that forks others, which sweep; see `NURSERY`."""

    def __init__(self, folder: Path) -> None:
        (folder / "nursery.py").write_text(NURSERY)
        command = [sys.executable, str(folder / "nursery.py"), json.dumps(SMALL)]
        self.log = folder / "log"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def start(self, home: Path, *profiles: str, **more) -> list[int]:
        order = {"store": str(home), "profiles": profiles or ["tiny"], "log": str(self.log)}
        order |= {"renames": 0, "before": False, "workers": 1, "largest": 0} | more
        self.log.write_text("")
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ends(self) -> list[int]:
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    found = Nursery(tmp_path_factory.mktemp("nursery"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def undisturbed(nursery, tmp_path_factory) -> tuple[Path, float]:
    """A store with both profiles' runs, and how long the first took."""
    home, began = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
    nursery.start(home)
    assert nursery.ends() == [0], nursery.log.read_text()
    seconds = time.monotonic() - began
    nursery.start(home, "other")
    assert nursery.ends() == [0]
    return home, seconds


# ------------------------------------------------------------------------------- killed, and shared


@pytest.mark.parametrize("how", ["by the clock", "at a rename"])
def test_a_sweep_that_is_killed_again_and_again(how, nursery, undisturbed, tmp_path):
    rng, seen, killed = random.Random(how), {}, 0
    for attempt in range(200):
        at_rename = {"renames": rng.randint(1, 15), "before": rng.random() < 0.5}
        (process,) = nursery.start(tmp_path, **(at_rename if how == "at a rename" else {}))
        if how == "by the clock":
            time.sleep(rng.uniform(0, undisturbed[1] * min(1, 0.2 + attempt / 10)))
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(process, signal.SIGKILL)
        (status,) = nursery.ends()
        now = state(tmp_path)
        assert {path: now.get(path) for path in seen} == seen, "what was finished was made again"
        seen = now
        if status == 0:
            break
        assert status == -signal.SIGKILL, nursery.log.read_text()
        killed += 1
    assert status == 0
    assert killed >= 2
    assert tables(run_of(tmp_path)) == tables(run_of(undisturbed[0]))
    sound = subprocess.run(
        [sys.executable, "-m", "taskspace_utils.cli", "store", "verify"],
        env={**os.environ, "TASKSPACES_STORE": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (sound.returncode, sound.stdout.split(", ")[-1]) == (0, "0 faults\n")


def test_two_sweeps_at_once_and_a_third_that_shares_their_model(nursery, undisturbed, tmp_path):
    nursery.start(tmp_path, "tiny", "tiny", "other")
    assert nursery.ends() == [0, 0, 0], nursery.log.read_text()
    said = nursery.log.read_text()
    assert "another process is at work on sweep-" in said
    assert said.count("step 6/6") == 1  # it was trained once
    for name in ("tiny", "other"):
        assert tables(run_of(tmp_path, name)) == tables(run_of(undisturbed[0], name))
    assert len(list(tmp_path.glob("models/*"))) == 1
    assert not store.leftovers(tmp_path / "runs")


def members(group: int) -> list[int]:
    """Ids of the processes of a group that are at work."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            what, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        if int(rest.split()[2]) == group and rest.split()[0] != "Z":
            found.append(int(what.split()[0]))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("whom", ["the command", "all, as a terminal does"])
def test_an_interrupt_ends_all_processes(whom, nursery, tmp_path):
    (process,) = nursery.start(tmp_path, "long", workers=2)
    while "step 100/" not in nursery.log.read_text():  # the worker is at it
        time.sleep(0.1)
        assert os.path.exists(f"/proc/{process}"), nursery.log.read_text()
    assert len(members(process)) > 1
    (os.kill if whom == "the command" else os.killpg)(process, signal.SIGINT)
    assert nursery.ends() == [130], nursery.log.read_text()
    said = nursery.log.read_text()
    assert said.count("stopped; the same command goes on where this one was") == 1
    assert "Traceback" not in said
    end = time.monotonic() + 10
    while members(process) and time.monotonic() < end:
        time.sleep(0.1)
    assert members(process) == []


# --------------------------------------------------------------------------------- disks and stores


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    small = {k: tuple(v) if isinstance(v, list) else v for k, v in SMALL.items()}
    profile = replace(runs.load_profile("smoke"), name="tiny", **small)
    monkeypatch.setattr(runs, "load_profile", lambda name: profile)
    real = runs.jobs.run
    monkeypatch.setattr(runs.jobs, "run", lambda work, **others: real(work, 1))
    return tmp_path / "store"


FAULTS = {
    "full": (os, "fdopen", errno.ENOSPC, "No space left on device"),
    "unwritable": (tempfile, "mkstemp", errno.EACCES, "Permission denied"),
}


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("writes", [0, 3, 12])
def test_a_disk_that_refuses(what, writes, home, undisturbed, monkeypatch, capsys):
    """One message, no half of anything; the same command goes on with what was finished."""
    module, name, number, text = FAULTS[what]
    real, count = getattr(module, name), [0]

    def refuses(*arguments, **options):
        count[0] += 1
        if count[0] > writes:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, refuses)
        assert cli.main(["sweep"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert sum("taskspaces sweep" in line for line in said) == 1
    assert said[-1].startswith(f"taskspaces sweep: {home}")
    assert said[-1].endswith(f"{text}. Mend that; what was finished is kept")
    left = [p for p in home.rglob(".*") if p.name != ".gitignore"]
    assert left == []
    finished = state(home)
    assert cli.main(["sweep"]) == 0
    assert {path: state(home)[path] for path in finished} == finished
    assert tables(run_of(home)) == tables(run_of(undisturbed[0]))


def test_a_model_that_the_disk_has_no_room_for(nursery, tmp_path):
    """The system itself refuses: weights are written by another library, which says it its way."""
    nursery.start(tmp_path, largest=50_000)
    assert nursery.ends() == [2], nursery.log.read_text()
    last = nursery.log.read_text().strip().splitlines()[-1]
    assert last.startswith(f"taskspaces sweep: {tmp_path}/models/XS-seed0-")
    assert "File too large" in last
    assert last.endswith("Mend that; what was finished is kept")
    assert "Traceback" not in nursery.log.read_text()
    assert not list(tmp_path.glob("models/*/step-*"))


def test_a_fault_in_a_worker_process_says_its_file_too(monkeypatch, tmp_path):
    """An error travels pickled."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space") as caught:
        store.write_atomic(tmp_path / "a", "a")
    there = pickle.loads(pickle.dumps(caught.value))
    assert (there.filename, there.errno) == (str(tmp_path / "a"), errno.ENOSPC)


NEWER = {
    "sweep": ["sweep"],
    "book": ["book", "--profile", "smoke"],
    "chapter": ["chapter", "01"],
    "list": ["store", "list"],
    "prune": ["store", "prune"],
}


@pytest.mark.parametrize("what", NEWER)
def test_a_store_of_a_newer_version_is_not_touched(what, home, monkeypatch, capsys):
    home.mkdir()
    (home / store.MARKER).write_text('{"layout": 99, "more": true}\n')
    monkeypatch.setattr(cells, "_compute", lambda *a: pytest.fail("computed"))
    assert cli.main(NEWER[what]) == 2
    said = capsys.readouterr().err
    assert f"the store {home} is from a newer version of the package: its layout is 99" in said
    assert "Update the package, or name another folder with TASKSPACES_STORE" in said
    assert [p.name for p in home.iterdir()] == [store.MARKER]
    assert len(said.strip().splitlines()) == 1


def test_a_store_is_marked_when_it_is_first_written_to(home):
    assert store.store_path("cells") == home / "cells"
    assert not home.exists()  # to ask is not to write
    store.write_atomic(store.store_path("cells", "a.json"), "{}")
    assert json.loads((home / store.MARKER).read_text()) == {"layout": store.LAYOUT}
    (home / store.MARKER).write_text('{"layout": ')
    with pytest.raises(InputError, match="is broken"):
        store.store_path()


def test_what_lies_outside_the_store_is_not_marked(home, tmp_path):
    store.write_atomic(tmp_path / "elsewhere" / "a", "a")
    assert not home.exists()


def test_a_store_of_before_there_were_checksums_is_used_on(home, undisturbed, capsys):
    """Its results have other names; they stay until they are pruned."""
    shutil.copytree(undisturbed[0] / "models", home / "models")
    (old,) = (home / "models").glob("*/checksums.json")
    old.unlink()
    store_of_then = home / "cells" / "ab" / "ab12ab12ab12ab12.json"
    store_of_then.parent.mkdir(parents=True)
    store_of_then.write_text('{"accuracy": []}')
    (home / store.MARKER).unlink(missing_ok=True)
    assert cli.main(["sweep"]) == 0
    assert tables(run_of(home)) == tables(run_of(undisturbed[0]))
    assert old.is_file()  # what was there is noted from now on
    assert store_of_then.is_file()
    assert json.loads((home / store.MARKER).read_text()) == {"layout": store.LAYOUT}


def test_inputs_that_vanish_during_a_sweep_are_said(home):
    with pytest.raises(InputError, match="gone or broken: start the same command again"):
        cells._inputs("0123456789abcdef")


def test_the_first_record_that_is_finished_stays(home):
    path = home / "inputs" / f"{store.key_of({'a': 1})}.json"
    records.write_record(path, {"a": 1}, [1])
    first = path.stat().st_ino
    records.write_record(path, {"a": 1}, [2])
    assert (records.read_record(path), path.stat().st_ino) == ([1], first)
    path.write_text("torn")
    records.write_record(path, {"a": 1}, [2])
    assert records.read_record(path) == [2]


def test_a_lock_is_free_when_its_process_was_killed(home):
    code = (
        "import sys, time\nfrom taskspace_utils import store\n"
        "with store.locked('it'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(BlockingIOError, match="at work on it"), store.locked("it", wait=False):
        pass
    process.kill()
    process.communicate()
    with store.locked("it", wait=False):
        pass
