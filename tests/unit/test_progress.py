"""What is left is reckoned from what was computed; a line is written over or goes to the log."""

from __future__ import annotations

import io
import time

import pytest

from taskspace_utils import progress, store
from taskspace_utils.jobs import Job, run
from taskspace_utils.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Time goes on as a test says."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class Screen(io.StringIO):
    """A terminal that remembers what was written."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        """Its lines, as they look in the end."""
        found = []
        for line in self.getvalue().split("\n"):
            cells: list[str] = []
            for part in line.split("\r"):
                if part.startswith("\x1b[K"):
                    part, cells = part.removeprefix("\x1b[K"), []
                cells[: len(part)] = part
            found.append("".join(cells).rstrip())
        return found


def job(cost: float = 1.0, **more) -> Job:
    return Job(max, (1, 2), cost, **more)


def test_time_left_counts_work_and_not_jobs(clock):
    bar = Progress([job(1.0), job(3.0)], lambda: 1)
    bar.done(0, 20.0)
    clock.now = 20.0
    assert bar.left == pytest.approx(60.0)
    bar.at = clock.now
    clock.now = 30.0
    assert bar._text() == "  1 of 2 done, 30 s, about 50 s left"
    clock.now = 90.0  # 0 s left, again and again, would be no help
    assert bar._text() == "  1 of 2 done, 90 s, longer than reckoned"


def test_results_from_the_store_say_nothing_of_the_rate(clock):
    bar = Progress([job() for _ in range(100)], lambda: 1)
    for place in range(50):
        bar.done(place, 0.002)
    assert bar.left is None
    clock.now = 10.0
    bar.done(50, 10.0)
    assert bar.left == pytest.approx(490.0)  # and not the 9.6 that the clock alone would give
    assert bar._text() == "  51 of 100 done, 10 s, about 8 min left"


def test_processes_share_the_rest_but_no_more_than_there_are_jobs(clock):
    bar = Progress([job() for _ in range(5)], lambda: 4)
    bar.done(0, 8.0)
    assert bar.left == pytest.approx(8.0)
    for place in (1, 2, 3):
        bar.done(place, 8.0)
    assert bar.left == pytest.approx(8.0)


def test_a_long_job_tells_its_steps(clock):
    at = [400]  # an earlier run had come so far
    bar = Progress([job(8.0, name="training L", steps=lambda: (at[0], 800)), job(2.0)], lambda: 1)
    bar.begin(0)
    assert bar._text() == "  0 of 2 done, 0 s; training L 400/800"
    clock.now, at[0] = 30.0, 600
    # a quarter of 8 took 30 s; a quarter of it and 2 are left
    assert bar._text() == "  0 of 2 done, 30 s, about 60 s left; training L 600/800"
    clock.now = 45.0
    assert "about 45 s left" in bar._text()


def test_a_training_that_was_there_says_nothing_of_the_rate(clock):
    whole, half = ([5], [4])
    jobs = [
        job(100.0, name="whole", steps=lambda: (whole[0], 5)),
        job(8.0, name="half", steps=lambda: (half[0], 8)),
        job(4.0),
    ]
    bar = Progress(jobs, lambda: 1)
    for place in range(3):
        bar.begin(place)
    assert bar._text() == "  0 of 3 done, 0 s; half 4/8"
    clock.now = 2.0
    bar.done(0, 2.0)  # its files were looked through
    assert bar.left is None
    clock.now, half[0] = 10.0, 8
    bar.done(1, 8.0)  # half of 8 took 8 s
    assert bar.left == pytest.approx(8.0)


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "40")
    bar = Progress([job(), job(name="x" * 99, steps=lambda: (1, 2))], lambda: 1)
    bar.done(0, 1.0)
    bar.began -= 5
    with bar:
        bar._over(bar._text())
        bar.begin(1)
        bar._over(bar._text())
        assert len(screen.shown()[-1]) == 39  # a longer one would begin a second line
        store.say("a message")
        bar._over("  short")
        assert screen.shown() == ["a message", "  short"]
    assert screen.shown() == ["a message", "  2 of 2 done in 5 s", ""]


def test_a_notebook_keeps_nothing(monkeypatch):
    kind = type("OutStream", (Screen,), {"__module__": "ipykernel.iostream"})
    kind.isatty = lambda self: False
    screen = kind()
    monkeypatch.setattr("sys.stderr", screen)
    bar = Progress([job()], lambda: 1)
    bar.began -= 5
    with bar:
        bar._over("  half")
        assert screen.shown() == ["  half"]
    assert screen.shown() == [""]


def test_a_log_has_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PAUSE", 0.1)
    run([Job(time.sleep, (0.5,))] * 2, workers=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  0 of 2 done, 0 s"
    assert any(line.startswith("  1 of 2 done, 1 s, about 0 s left") for line in lines)
    assert not any("\r" in line for line in lines)


def test_quick_work_says_nothing(capsys):
    run([job(), job()], workers=1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5400, "90 min"), (9000, "2.5 h")],
)
def test_durations_have_the_unit_that_suits_them(seconds, text):
    assert progress._time(seconds) == text
