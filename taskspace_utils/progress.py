"""Progress: what is being done, how far it is, and about how long the rest takes.

In a terminal and in a notebook it is one line that is written over and goes away at the end; in a
log it is a line now and then. A chapter that papermill runs keeps none of it (see `chapters`).
Bars of a library (tqdm) are not used: they take the time left from the clock alone, which is wrong
where some results lie in the store already and where jobs run side by side; and in a notebook they
leave an empty widget on the page.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

PAUSE = 10.0  # seconds between two lines of a log, at the beginning
IN_STORE = 0.3  # seconds: a result that took no longer was there already, or is no matter


class Progress:
    """Says on standard error how far jobs are, from a thread of its own, inside a `with` block.

    Args:
        jobs: objects with `cost`, `name` and `steps`, such as `jobs.Job`.
        workers: how many processes work on them now.
        waits: what to say while there are none.
    """

    def __init__(self, jobs: Sequence[Any], workers: Callable[[], int], waits: str = "") -> None:
        self.jobs, self.workers, self.waits = jobs, workers, waits
        self.began = self.at = time.monotonic()
        self.open = dict.fromkeys(range(len(jobs)))  # places of jobs that are not done
        self.seen: dict[int, list[tuple[float, float]]] = {}  # of those begun: (time, share done)
        self.worked = self.seconds = 0.0  # cost of the jobs that were computed; the seconds it took
        self.left: float | None = None  # seconds, as they were reckoned at `at`
        notebook = "ipykernel" in type(sys.stderr).__module__
        self.terminal = sys.stderr.isatty()
        self.live, self.width = self.terminal or notebook, 0
        self.ended, self.lock = threading.Event(), threading.Lock()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self.thread.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.ended.set()
        self.thread.join()
        self._over("")
        seconds = time.monotonic() - self.began
        if kind is None and seconds > 2 and (self.terminal or not self.live):
            _write(f"  {len(self.jobs)} of {len(self.jobs)} done in {_time(seconds)}\n")

    def begin(self, place: int) -> None:
        """A job was handed out; it may have to wait for a free worker."""
        with self.lock:
            self.seen[place] = []
            if self.jobs[place].steps:
                self._see(place, time.monotonic())

    def done(self, place: int, seconds: float) -> None:
        """A job is done, and took its worker so many seconds."""
        with self.lock:
            del self.open[place]
            seen = self.seen.pop(place, [])
            left = 1 - seen[0][1] if seen else 1.0  # of the job, when it was handed out
            if seconds > IN_STORE and left:  # what lay in the store says nothing of the rate
                self.worked += self.jobs[place].cost * left
                self.seconds += seconds
            self._reckon(time.monotonic())

    # ---------------------------------------------------------------------------- what is reckoned

    def _look(self, now: float) -> list[str]:
        """Ask the jobs at work how far they are; say it of those that tell."""
        told, changed = [], False
        for place, seen in self.seen.items():
            job = self.jobs[place]
            if job.steps is None:
                continue
            before = seen[-1][1]
            done, of = self._see(place, now)
            changed |= seen[-1][1] != before
            if done < of:  # else it is only looked at whether all is whole
                told.append(f"{job.name} {done}/{of}")
        if changed:
            self._reckon(now)
        return told

    def _see(self, place: int, now: float) -> tuple[int, int]:
        """Note how far a job is; the first note stays: what a broken-off run had done."""
        done, of = self.jobs[place].steps()
        seen, share = self.seen[place], done / of if of else 0.0
        if not seen or seen[-1][1] != share:
            seen[1:] = [(now, share)]
        return done, of

    def _reckon(self, now: float) -> None:
        worked, seconds = self.worked, self.seconds
        rest = sum(self.jobs[place].cost for place in self.open)
        for place, seen in self.seen.items():
            if seen:
                cost = self.jobs[place].cost
                rest -= cost * seen[-1][1]
                worked += cost * (seen[-1][1] - seen[0][1])
                seconds += seen[-1][0] - seen[0][0]
        workers = min(self.workers(), len(self.open))
        self.at, self.left = now, None
        if worked and workers:
            self.left = seconds / worked * rest / workers

    # ------------------------------------------------------------------------------- what is shown

    def _tick(self) -> None:
        pause = 0.5 if self.live else PAUSE
        while not self.ended.wait(pause):
            seconds = time.monotonic() - self.began
            if not self.live:
                pause = min(60.0, max(PAUSE, seconds / 20))  # a long log need not be a full one
            if text := self._text():
                self._over(text) if self.live else _write(f"{text}\n")

    def _text(self) -> str:
        with self.lock:
            now = time.monotonic()
            told = self._look(now)
            count, number = len(self.jobs) - len(self.open), len(self.jobs)
            if count == number:
                return ""
            text = f"  {count} of {number} done, {_time(now - self.began)}"
            if not self.workers():
                return f"{text}; {self.waits}"
            if self.left is not None:
                left = self.left - (now - self.at)
                text += f", about {_time(left)} left" if left > 0 else ", longer than reckoned"
            return "; ".join([text, *told[:2]])

    def _over(self, text: str) -> None:
        """Write over the line; spaces, since a notebook knows no code for clearing a line."""
        if self.live and (text or self.width):
            text = text[: shutil.get_terminal_size().columns - 1]
            _write(f"\r{text.ljust(self.width)}" if text else f"\r{' ' * self.width}\r")
            self.width = len(text)


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _time(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
