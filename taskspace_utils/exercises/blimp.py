"""Self-check of chapter 11: nearest neighbours, and what chance would find."""

from __future__ import annotations

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, number, short, stage

GROUPS = ("verbs", "verbs", "gaps", "gaps", "islands")  # the last task is alone
SPACE = (
    (0.9, 0.6, 0.2, 0.1, 0.5),  # nearest: the second, a fellow
    (0.6, 0.9, 0.7, 0.0, 0.1),  # the third, no fellow
    (0.2, 0.7, 0.9, 0.8, 0.3),  # the fourth, a fellow
    (0.1, 0.0, 0.8, 0.9, 0.2),  # the third, a fellow
    (0.5, 0.1, 0.3, 0.2, 0.9),
)


def _two(answer, space, groups):
    kept = np.array(space)
    found = answer(given := kept.copy(), list(groups))
    if not np.array_equal(given, kept):
        raise Hint("the space was changed: work on a copy, `space.copy()`.")
    if np.ndim(found) == 0 or len(found) != 2:
        raise Hint(f"two numbers are asked for, the share and chance; it gave {short(found)}.")
    return [number(one) for one in found]


@stage("nearest-by-chance", "the share of tasks whose nearest is of their group")
def _(answer):
    compare(
        _two(answer, SPACE, GROUPS)[0],
        3 / 4,
        {
            "every task is its own nearest: the diagonal is a task with itself, so leave it "
            "out.": 1.0,
            "the task that is alone in its group can't find a fellow in any space: count only "
            "tasks that have one.": 3 / 5,
            "a number of tasks: the share divides it by the tasks that could have been right.": 3.0,
        },
        "the share",
    )


@stage("nearest-by-chance", "what chance would find")
def _(answer):
    compare(
        _two(answer, SPACE, GROUPS)[1],
        1 / 4,
        {
            "one over the number of groups would be chance if groups were drawn. Tasks are drawn: "
            "how many of the *other* tasks are of the group?": 1 / 3,
            "a task can't be its own neighbour, so it counts neither above nor below the line: "
            "(n − 1) / (N − 1).": 2 / 5,
            "the task without a fellow is in this mean: leave it out here too.": 1 / 5,
        },
        "chance",
    )


@stage("nearest-by-chance", "groups of unequal size")
def _(answer):
    groups = ["verbs", "verbs", "verbs", "gaps", "gaps", "islands"]
    space = np.random.default_rng(0).uniform(size=(6, 6))
    compare(
        _two(answer, space + space.T, groups)[1],
        (3 * 2 / 5 + 2 * 1 / 5) / 5,
        {
            "this is a mean over groups: it is tasks that look for a neighbour, so a group of "
            "three counts three times.": (2 / 5 + 1 / 5) / 2,
        },
        "chance",
    )


def _hits(space, groups, own=False, alone=False):
    labels, space = np.array(groups), np.array(space)
    if not own:
        np.fill_diagonal(space, -np.inf)
    asked = [i for i, label in enumerate(labels) if alone or (labels == label).sum() > 1]
    return [labels[space[i].argmax()] == labels[i] for i in asked]


def _chances(groups, alone=False):
    mates = np.array([list(groups).count(label) - 1 for label in groups])
    return (mates if alone else mates[mates > 0]) / (len(groups) - 1)


@mistake("nearest-by-chance", "its own nearest")
def _(space, groups):
    """The diagonal is left in."""
    return np.mean(_hits(space, groups, own=True)), _chances(groups).mean()


@mistake("nearest-by-chance", "can't find a fellow")
def _(space, groups):
    """A task without a fellow counts as a miss."""
    return np.mean(_hits(space, groups, alone=True)), _chances(groups).mean()


@mistake("nearest-by-chance", "one over the number of groups")
def _(space, groups):
    """Chance as if groups were drawn."""
    return np.mean(_hits(space, groups)), 1 / len(set(groups))


@mistake("nearest-by-chance", "counts neither above nor below")
def _(space, groups):
    """Chance as if a task could be its own neighbour."""
    n = [groups.count(g) for g in groups if groups.count(g) > 1]
    return np.mean(_hits(space, groups)), np.mean(n) / len(groups)


@mistake("nearest-by-chance", "leave it out here too")
def _(space, groups):
    """Chance is averaged over all tasks, those without a fellow too."""
    return np.mean(_hits(space, groups)), _chances(groups, alone=True).mean()


@mistake("nearest-by-chance", "a mean over groups")
def _(space, groups):
    """Chance is averaged over groups."""
    n = [groups.count(g) for g in set(groups) if groups.count(g) > 1]
    return np.mean(_hits(space, groups)), np.mean([(m - 1) / (len(groups) - 1) for m in n])
