"""Jobs come back in their order, wait for one another, and end together when one fails."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from taskspace_utils import jobs
from taskspace_utils.jobs import Job
from taskspace_utils.store import InputError


@pytest.fixture
def at_work() -> SimpleNamespace:
    """Functions that travel to another process by value: this module can't be imported there."""

    def note(folder: str, name: str, seconds: float = 0.0) -> tuple[str, int]:
        time.sleep(seconds)
        Path(folder, name).touch()
        return name, os.getpid()

    def seen(folder: str, name: str) -> bool:
        return Path(folder, name).exists()

    def fail(message: str) -> None:
        raise InputError(message)

    return SimpleNamespace(note=note, seen=seen, fail=fail)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_whatever_ends_first(workers, tmp_path, at_work):
    work = [Job(at_work.note, (str(tmp_path), f"{i}", 0.3 * (i == 0))) for i in range(5)]
    found = jobs.run(work, workers)
    assert [name for name, _ in found] == list("01234")
    assert (os.getpid() in {process for _, process in found}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_waits_for_the_one_it_needs_and_for_no_other(workers, tmp_path, at_work):
    folder = str(tmp_path)
    work = [
        Job(at_work.seen, (folder, "slow"), after=2),
        Job(at_work.seen, (folder, "quick"), after=3),
        Job(at_work.note, (folder, "slow", 0.5)),
        Job(at_work.note, (folder, "quick")),
    ]
    assert jobs.run(work, workers)[:2] == [True, True]


def test_a_quick_model_is_not_kept_waiting_by_a_slow_one(tmp_path, at_work):
    folder = str(tmp_path)
    work = [
        Job(at_work.note, (folder, "slow", 2.0)),
        Job(at_work.note, (folder, "quick")),
        Job(at_work.seen, (folder, "slow"), after=1),
    ]
    assert jobs.run(work, workers=2)[2] is False  # it ran while the slow one was still at work


@pytest.mark.parametrize("workers", [1, 2])
def test_a_persons_error_reaches_the_person(workers, tmp_path, at_work):
    work = [
        Job(at_work.fail, ("no such thing",)),
        Job(at_work.note, (str(tmp_path), "later"), after=0),
    ]
    with pytest.raises(InputError, match="no such thing"):
        jobs.run(work, workers)
    assert not (tmp_path / "later").exists()
    assert jobs.run([Job(at_work.note, (str(tmp_path), "again"))] * 2, workers)[0][0] == "again"


def test_no_jobs_no_results():
    assert jobs.run([]) == []
