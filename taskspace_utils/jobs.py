"""Jobs: pieces of work for several processes, some of which wait until another is done.

What a job computes, it stores; so work that was broken off goes on where it stopped. This module
knows nothing of models: it hands out jobs, says how far they are, and returns their results.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from taskspace_utils import store


@dataclass(frozen=True)
class Job:
    """A function and its arguments.

    Attributes:
        cost: how much work it is beside the other jobs; it only serves the estimate of time left.
        after: place of the job that must be done before.
    """

    function: Callable
    arguments: tuple
    cost: float = 1.0
    after: int | None = None


def run(jobs: list[Job], workers: int | None = None) -> list:
    """The results of all jobs, in their order; a process a core by default.

    An exception of one ends all; what the others finished is in the store.

    Args:
        workers: number of processes; with 1, everything runs in this one.
    """
    workers = min(workers or os.cpu_count() or 1, max(1, len(jobs)))
    progress = _Progress(jobs)
    if workers > 1:
        return _spread(jobs, workers, progress)
    found: dict[int, object] = {}
    for after in [None, *range(len(jobs))]:
        for place, job in enumerate(jobs):
            if job.after == after and place not in found:
                found[place] = job.function(*job.arguments)
                progress.done(job)
    return [found[place] for place in range(len(jobs))]


def _spread(jobs: list[Job], workers: int, progress: _Progress) -> list:
    from joblib.externals.loky import get_reusable_executor

    # A worker that held a large space is replaced by a fresh one; loky warns of it as of a leak.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", module="joblib")
    # Workers that stand from an earlier call are used again only if they see the same places.
    places = {name: os.environ.get(name, "") for name in ("TASKSPACES_STORE", "TASKSPACES_DATA")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    executor = get_reusable_executor(max_workers=workers, timeout=60, env=places | threads)
    found: dict[int, object] = {}
    running: dict[Future, int] = {}

    def begin(after: int | None) -> None:
        for place, job in enumerate(jobs):
            if job.after == after:
                running[executor.submit(job.function, *job.arguments)] = place

    try:
        begin(None)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place = running.pop(future)
                found[place] = future.result()
                progress.done(jobs[place])
                begin(place)
    except BaseException:
        executor.shutdown(wait=False, kill_workers=True)
        raise
    return [found[place] for place in range(len(jobs))]


class _Progress:
    """Says on standard error, now and then, how many jobs are done and how long the rest takes."""

    def __init__(self, jobs: list[Job]) -> None:
        self.began = self.said = time.monotonic()
        self.total, self.number = sum(job.cost for job in jobs), len(jobs)
        self.cost, self.count = 0.0, 0

    def done(self, job: Job) -> None:
        self.cost += job.cost
        self.count += 1
        now = time.monotonic()
        if now - self.said > 10 or (self.count == self.number and now - self.began > 2):
            self.said, seconds = now, now - self.began
            left = seconds / self.cost * (self.total - self.cost)
            store.say(
                f"  {self.count} of {self.number} done, {seconds:.0f} s, about {left:.0f} s left"
            )
