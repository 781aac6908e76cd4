"""Self-checks of chapter 6: what is news in an asymmetry."""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils.exercises import Hint, compare, mistake, stage

# Gradients of three tasks, by hand: squared lengths 1, 8 and 16.
GRADIENTS = {"a": [1.0, 0.0], "b": [2.0, 2.0], "c": [4.0, 0.0]}
LENGTHS = {"a": 1.0, "b": 8**0.5, "c": 4.0}


def _first_order() -> pd.DataFrame:
    """τ as the gradients foretell it: τ[A,B] = ⟨g_A, g_B⟩ / ‖g_A‖², source by target."""
    rows = {
        a: {b: np.dot(GRADIENTS[a], GRADIENTS[b]) / np.dot(GRADIENTS[a], GRADIENTS[a])
            for b in GRADIENTS} for a in GRADIENTS
    }  # fmt: skip
    return pd.DataFrame(rows).T


def _square(found, size: int = 3) -> np.ndarray:
    table = np.array(found, dtype=float)
    if table.shape != (size, size):
        raise Hint(f"a table of {size} × {size} is asked for, a cell for each source and target; "
                   f"this has the shape {table.shape}.")  # fmt: skip
    np.fill_diagonal(table, 0.0)  # a task beside itself says nothing: any value will do
    return table


@stage("excess-asymmetry", "three tasks whose transfer is what their gradients foretell")
def _(answer):
    lengths = pd.Series(LENGTHS)
    ratio = np.log(np.divide.outer(lengths.to_numpy() ** 2, lengths.to_numpy() ** 2))  # ‖A‖² / ‖B‖²
    found = _square(answer(_first_order(), lengths))
    compare(
        np.round(found, 9),
        np.zeros((3, 3)),
        {
            "nothing is taken away: this is the bare log ratio, which here comes from the norms "
            "alone.": np.round(-ratio, 9),
            "the ratio of the norms is the wrong way round: the task with the *longer* gradient "
            "receives more.": np.round(-2 * ratio, 9),
            "the norms come in squared: it is twice their log ratio that is taken away.": np.round(
                -ratio / 2, 9
            ),
            "this is the same with A and B exchanged in one of the two terms.": np.round(
                2 * ratio, 9
            ),
        },
        "the excess of three tasks in which only norms differ, everywhere 0:",
    )


@stage("excess-asymmetry", "a transfer beyond the gradients, and its sign")
def _(answer):
    tau = _first_order()
    tau.loc["a", "b"] *= np.e  # a gives b e times what its gradient foretells
    right = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0]], dtype=float)
    compare(
        np.round(_square(answer(tau, pd.Series(LENGTHS))), 9),
        right,
        {
            "the sign is turned round: cell [A, B] has τ of source A above the line.": -right,
            "a size has no direction: the excess of [B, A] is minus that of [A, B].": np.abs(right),
        },
        "the excess when a gives b more than foretold",
    )


@stage("excess-asymmetry", "transfers that are negative or zero")
def _(answer):
    tau = _first_order()
    tau.loc["a", "b"], tau.loc["b", "a"] = -0.2, -0.1
    tau.loc["a", "c"] = -tau.loc["a", "c"]
    tau.loc["b", "c"] = 0.0
    before = tau.copy()
    found = _square(answer(tau, pd.Series(LENGTHS)))
    if not before.equals(tau):
        raise Hint("the table that was given has changed: work on a copy, for others need it.")
    if np.isfinite(found[0, 1]) or np.isfinite(found[1, 0]):
        raise Hint(
            "both transfers of a and b are negative, so their ratio is positive, yet it means "
            "nothing of what is meant here: leave such cells out, as NaN."
        )
    if np.isfinite(found[0, 2]) or np.isfinite(found[2, 0]):
        raise Hint(
            "a transfer that is negative has no logarithm, and its size is not what was "
            "transferred: leave such cells out, as NaN."
        )
    if np.isinf(found).any() or np.isfinite(found[1, 2]):
        raise Hint("a transfer of exactly 0 gives an infinite log ratio: leave it out, as NaN.")


def _excess(tau, norms, factor=2.0, keep=None):
    tau, norms = tau.to_numpy(dtype=float), norms.to_numpy(dtype=float)
    keep = (tau > 0) & (tau.T > 0) if keep is None else keep(tau)
    with np.errstate(all="ignore"):
        ratio = np.log(np.where(keep, tau / tau.T, np.nan))
        return ratio - factor * np.log(norms[None, :] / norms[:, None])


@mistake("excess-asymmetry", "nothing is taken away")
def _(tau, norms):
    """The bare log ratio."""
    return _excess(tau, norms, factor=0.0)


@mistake("excess-asymmetry", "wrong way round")
def _(tau, norms):
    """Norms of source over target."""
    return _excess(tau, norms, factor=-2.0)


@mistake("excess-asymmetry", "come in squared")
def _(tau, norms):
    """Once the log ratio of the norms, not twice."""
    return _excess(tau, norms, factor=1.0)


@mistake("excess-asymmetry", "no direction")
def _(tau, norms):
    """The size of the excess, without its sign."""
    return np.abs(_excess(tau, norms))


@mistake("excess-asymmetry", "sign is turned round")
def _(tau, norms):
    """τ of target over τ of source, and norms likewise."""
    return -_excess(tau, norms)


@mistake("excess-asymmetry", "both transfers")
def _(tau, norms):
    """Looks at the sign of the ratio, not at those of its parts."""
    return _excess(tau, norms, keep=lambda t: (t / t.T) > 0)


@mistake("excess-asymmetry", "not what was")
def _(tau, norms):
    """Takes the sizes of single negative transfers, and leaves out those of couples."""
    both = ~((tau.to_numpy() < 0) & (tau.to_numpy().T < 0))
    return _excess(tau.abs(), norms, keep=lambda t: both)
