"""Jobs: pieces of work for several processes, some of which wait until another is done.

What a job computes, it stores; so work that was broken off goes on where it stopped. This module
knows nothing of models: it hands out jobs and returns their results. The processes are this
machine's (loky, through joblib) or a dask cluster's; both are executors of `concurrent.futures`, so
there is one loop for either and no scheduler of ours.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass

from taskspace_utils import cluster, store
from taskspace_utils.cluster import Asked, WorkLost
from taskspace_utils.progress import Progress
from taskspace_utils.store import InputError


@dataclass(frozen=True)
class Job:
    """A function and its arguments.

    Attributes:
        cost: how much work it is beside the other jobs; it only serves the estimate of time left.
        after: place of the job that must be done before.
        name: what a person calls it, where it is long enough to be named while it runs.
        steps: tells from outside how many steps of how many are done; asked while it runs.
    """

    function: Callable
    arguments: tuple
    cost: float = 1.0
    after: int | None = None
    name: str = ""
    steps: Callable[[], tuple[int, int]] | None = None


def run(jobs: list[Job], workers: int | None = None, scheduler: str | None = None) -> list:
    """The results of all jobs, in their order; a process a core by default.

    An exception of one ends all; what the others finished is in the store.

    Args:
        workers: number of processes; with 1, everything runs in this one.
        scheduler: a dask scheduler's address or file: its workers do the jobs instead.

    Raises:
        InputError: both are given; the scheduler or a worker isn't fit for it (see `cluster`).
        WorkLost: a process was killed from outside, or the scheduler is gone.
    """
    if scheduler:
        if workers:
            raise InputError("--workers are processes of this machine: give it or --scheduler")
        with (
            cluster.workers(scheduler) as (executor, asked, count),
            Progress(jobs, count, cluster.WAITS) as progress,
        ):
            return spread(jobs, executor, progress, asked)
    workers = min(workers or cores(), max(1, len(jobs)))
    with Progress(jobs, lambda: workers) as progress:
        if workers > 1:
            with _processes(workers) as executor:
                return spread(jobs, executor, progress)
        found: dict[int, object] = {}
        for after in [None, *range(len(jobs))]:
            for place, job in enumerate(jobs):
                if job.after == after and place not in found:
                    progress.begin(place)
                    found[place], seconds = _timed(None, job.function, *job.arguments)
                    progress.done(place, seconds)
    return [found[place] for place in range(len(jobs))]


def spread(
    jobs: list[Job], executor: Executor, progress: Progress, asked: Asked | None = None
) -> list:
    """The results of all jobs, in their order, from an executor's processes or threads.

    Args:
        asked: what each job makes sure of first, in the process that runs it.
    """
    found: dict[int, object] = {}
    running: dict[Future, int] = {}

    def begin(after: int | None) -> None:
        for place, job in enumerate(jobs):
            if job.after == after:
                progress.begin(place)
                running[executor.submit(_timed, asked, job.function, *job.arguments)] = place

    begin(None)
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            place = running.pop(future)
            found[place], seconds = future.result()
            progress.done(place, seconds)
            begin(place)
    return [found[place] for place in range(len(jobs))]


def _timed(asked: Asked | None, function: Callable, *arguments) -> tuple:
    """A job's result, and the seconds it took."""
    if asked and (fault := asked.fault()):
        raise InputError(fault)
    began = time.monotonic()
    return function(*arguments), time.monotonic() - began


def cores() -> int:
    """How many processes may work at a time: a batch job may have fewer cores than its machine."""
    from joblib import cpu_count

    return cpu_count()


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    from joblib.externals.loky import BrokenProcessPool, get_reusable_executor

    # A worker that held a large space is replaced by a fresh one; loky warns of it as of a leak.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", module="joblib")
    # Workers that stand from an earlier call are used again only if they see the same places.
    places = {name: os.environ.get(name, "") for name in store.SETTINGS}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    executor = get_reusable_executor(max_workers=workers, timeout=60, env=places | threads)
    try:
        yield executor
    except BaseException as error:
        executor.shutdown(wait=False, kill_workers=True)
        if isinstance(error, BrokenProcessPool):
            raise WorkLost(
                f"one of {workers} worker processes was killed from outside; most often the system "
                "does that when memory runs out. What was finished is kept, and the same command "
                "goes on from there; fewer --workers take less memory"
            ) from error
        raise
