"""Worker processes that are lost, unfit or not there: one message, nothing lost, the same bytes."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from taskspace_utils import cli, cluster, jobs, progress, runs, store
from taskspace_utils.cluster import Asked, WorkLost
from taskspace_utils.jobs import Job
from taskspace_utils.store import InputError

TASKS = ("agreement_simple", "reflexive_number", "npi_ever_simple")
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def profile() -> runs.Profile:
    small = {"tasks": TASKS, "pairs_per_task": 16, "sentences": 200, "steps": 6, "ladder": {}}
    small |= {"probe_at": (0, 6), "transfer_at": (0, 6), "chapters": {}}
    return replace(runs.load_profile("smoke"), name="tiny", **small)


@pytest.fixture(scope="module")
def undisturbed(profile, tmp_path_factory) -> dict[str, bytes]:
    """The tables of a sweep in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(tmp_path_factory.mktemp("undisturbed")))
        return tables(runs.sweep(profile, workers=1))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def tables(run: store.Run) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in run.folder.iterdir() if p.name != "manifest.json"}


def cell_files(home: Path) -> dict[Path, int]:
    """When each cell of a store was written."""
    return {p: p.stat().st_mtime_ns for p in (home / "cells").rglob("*.json")}


def when(true: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Do something as soon as something is so, beside what a test does."""

    def watch() -> None:
        end = time.monotonic() + 60
        while not true() and time.monotonic() < end:
            time.sleep(0.005)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


# ------------------------------------------------------------------------------------------ cluster


@pytest.fixture
def dask(tmp_path) -> Iterator[SimpleNamespace]:
    """A real scheduler, and what starts real workers; all processes end with the test."""
    file, begun = tmp_path / "scheduler.json", []
    # workers must find our code, and nothing that this process knows of the store
    env = {k: v for k, v in os.environ.items() if not k.startswith("TASKSPACES_")}
    env["PYTHONPATH"] = os.pathsep.join([str(store.project_root()), *sys.path])

    def start(*command: str) -> subprocess.Popen:
        log = (tmp_path / f"{len(begun)}.log").open("w")
        whole = [sys.executable, "-m", "dask", *command, "--scheduler-file", str(file)]
        whole += ["--host", HERE, "--no-dashboard"]
        begun.append(subprocess.Popen(whole, env=env, stdout=log, stderr=log, cwd=tmp_path))
        log.close()
        return begun[-1]

    def worker(threads: int = 1) -> subprocess.Popen:
        return start("worker", "--no-nanny", "--nthreads", str(threads))

    scheduler = start("scheduler", "--port", "0")
    while not (file.is_file() and file.read_text()):
        time.sleep(0.05)
        assert scheduler.poll() is None, (tmp_path / "0.log").read_text()
    yield SimpleNamespace(file=str(file), scheduler=scheduler, worker=worker)
    for process in begun:
        process.kill()
        process.wait()


def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(dask, profile, undisturbed, home):
    lost, _other = dask.worker(), dask.worker()
    kept: dict[Path, int] = {}

    def kill() -> None:
        lost.kill()
        kept.update(cell_files(home))

    watch = when(lambda: len(cell_files(home)) >= 4, kill)
    run = runs.sweep(profile, scheduler=dask.file)
    watch.join()
    assert lost.poll() == -signal.SIGKILL
    after = cell_files(home)
    assert 4 <= len(kept) < len(after)  # it was in the middle
    assert {path: after[path] for path in kept} == kept
    assert tables(run) == undisturbed
    assert not list(home.glob(".seen-*"))


def test_no_worker_is_waited_for_and_a_late_one_is_looked_at(dask, capsys, monkeypatch):
    monkeypatch.setattr(progress, "PAUSE", 0.2)
    late = threading.Timer(1.0, dask.worker, (2,))
    late.start()
    with pytest.raises(InputError, match=r"has 2 threads, .*--nthreads 1"):
        jobs.run([Job(max, (1, 2))] * 3, scheduler=dask.file)
    assert f"0 of 3 done, 1 s; {cluster.WAITS}" in capsys.readouterr().err
    with pytest.raises(InputError, match="has 2 threads"):  # now before any work
        jobs.run([], scheduler=dask.file)


def test_a_scheduler_that_is_lost_is_named(dask, capsys):
    dask.worker()
    work = [Job(time.sleep, (0.5,)) for _ in range(20)]
    threading.Timer(5.0, dask.scheduler.kill).start()
    began = time.monotonic()
    with pytest.raises(WorkLost, match=r"scheduler .*\.json is gone\. What was finished is kept"):
        jobs.run(work, scheduler=dask.file)
    assert time.monotonic() - began < 25


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (f"tcp://{HERE}:1", f"--scheduler tcp://{HERE}:1: no dask scheduler answers there"),
        ("http://x:1", "--scheduler http://x:1: neither an address .* nor a file"),
        ("no/such.json", r"--scheduler no/such\.json: neither an address"),
    ],
)
def test_a_scheduler_that_is_not_there(scheduler, message, monkeypatch):
    monkeypatch.setattr(cluster, "REACHED", 1)
    with pytest.raises(InputError, match=message):
        jobs.run([Job(max, (1, 2))], scheduler=scheduler)


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'taskspace-utils\[cluster\]'"):
        jobs.run([Job(max, (1, 2))], scheduler="tcp://x:1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"token": ".seen-nothing"}, "cannot read and write the store .*TASKSPACES_STORE"),
        ({"data": "/no/such"}, "does not see the data in /no/such: let TASKSPACES_DATA"),
        ({"versions": (("torch", "0.1"),)}, r"has torch .* \(here 0\.1\): .*same environment"),
        ({"code": "0" * 12}, "has other code of taskspace_utils"),
    ],
)
def test_workers_that_are_not_fit_are_told_apart(change, message, home, monkeypatch):
    for name in ("DATA", "DEVICE", "PRECISION"):  # `fault` sets what the asker sees
        monkeypatch.setenv(f"TASKSPACES_{name}", "")
    store.write_atomic(home / ".seen-it", "")
    fit = Asked(
        store=str(home), data="", token=".seen-it", device="cpu", precision="fp32",
        code=cluster._code(), versions=cluster._versions(),
    )  # fmt: skip
    worker = SimpleNamespace(address="tcp://node7:1", state=SimpleNamespace(nthreads=1))
    fault = replace(fit, **change).fault(worker)
    assert bool(fault) == bool(message)
    if message:
        assert fault.startswith(f"worker tcp://node7:1 on {platform.node()}")
        assert re.search(message, fault)


SRUN = """#!/bin/sh
# what `srun` does: the same command for each task
"$@" & "$@" & wait
"""
# the command line and the cluster are real; the sweep is six jobs that tell who did them
SWEEP = """#!{python}
import os, time
from types import SimpleNamespace
from taskspace_utils import cli, jobs, runs
def who(): time.sleep(0.5); return os.getpid()
def sweep(profile, out, workers, scheduler):
    found = jobs.run([jobs.Job(who, ())] * 6, workers, scheduler)
    print(profile, "workers:", len(set(found) - {{os.getpid()}}))
    return SimpleNamespace(folder="there")
runs.sweep = sweep
raise SystemExit(cli.main())
"""


def test_the_slurm_example_runs(tmp_path):
    bin = tmp_path / ".venv" / "bin"
    programs = {"srun": SRUN, "taskspaces": SWEEP.format(python=sys.executable)}
    programs["dask"] = f'#!/bin/sh\nexec {sys.executable} -m dask "$@" --host {HERE}\n'
    for name, text in programs.items():
        store.write_atomic(bin / name, text).chmod(0o755)
    store.write_atomic(bin / "activate", f"PATH={bin}:$PATH\n")
    env = os.environ | {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "7"}
    env["PYTHONPATH"] = os.pathsep.join([str(store.project_root()), *sys.path])
    script = store.project_root() / "scripts" / "cluster" / "sweep.slurm"
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            ["bash", script, "smoke"], env=env, cwd=tmp_path, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=log,
        ) as job,
    ):  # fmt: skip
        try:
            said = job.stdout.readline()
            assert said == "smoke workers: 2\n", (tmp_path / "log").read_text()
            assert job.wait(20) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)  # as SLURM does with what is left of a job
    assert not list(tmp_path.glob("scheduler-*.json"))


# ------------------------------------------------------------------------- this machine's processes


def test_a_killed_process_ends_a_sweep_and_the_next_goes_on(profile, undisturbed, home):
    kept: dict[Path, int] = {}

    def kill() -> None:
        kept.update(cell_files(home))
        here = psutil.Process().children(recursive=True)
        workers = [p for p in here if "popen_loky" in " ".join(p.cmdline())]
        workers[-1].send_signal(signal.SIGKILL)

    watch = when(lambda: len(cell_files(home)) >= 4, kill)
    with pytest.raises(WorkLost, match=r"killed from outside.*fewer --workers"):
        runs.sweep(profile, workers=2)
    watch.join()
    assert len(kept) >= 4
    run = runs.sweep(profile, workers=2)
    after = cell_files(home)
    assert {path: after[path] for path in kept} == kept
    assert tables(run) == undisturbed


def test_a_killed_process_is_one_message_and_status_1(monkeypatch, capsys):
    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    sweep = functools.partial(jobs.run, [Job(dies, ())] * 2, 2)
    monkeypatch.setattr(runs, "sweep", lambda *options: sweep())
    assert cli.main(["sweep", "--profile", "smoke"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("taskspaces sweep: one of 2 worker processes was killed from outside")
    assert len(said.splitlines()) == 1


def test_workers_or_a_scheduler_and_not_both(capsys):
    for wrong in (["--workers", "0"], ["--workers", "2", "--scheduler", "tcp://x:1"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(["sweep", *wrong])
        assert caught.value.code == 2
    with pytest.raises(InputError, match="give it or --scheduler"):
        jobs.run([], workers=2, scheduler="tcp://x:1")
