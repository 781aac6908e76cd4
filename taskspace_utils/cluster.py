"""Cluster: the workers of a dask scheduler as an executor, looked at before they work.

dask hands out the work, and gives the jobs of a worker that is lost to another. What this module
adds is that no number can come from a worker with another store, another code or other versions.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskspace_utils import store
from taskspace_utils.store import InputError

REACHED = 10  # seconds in which a scheduler must answer
WAITS = "no worker is there (one that left says why in its log): waiting, Ctrl-C ends"


class WorkLost(RuntimeError):
    """Processes that did the work are gone; what they had finished is in the store."""


@dataclass(frozen=True)
class Asked:
    """What a worker must have for its numbers to be those that this process would get."""

    store: str
    data: str  # "" where TASKSPACES_DATA isn't set
    token: str  # a file in the store that only a worker of the same file system sees
    device: str
    precision: str
    code: str
    versions: tuple[tuple[str, str], ...]

    def fault(self, dask_worker: Any = None) -> str:
        """What is wrong with the worker that runs this, and what to do; "" where nothing is.

        From here on the worker sees the asker's store and data.

        Args:
            dask_worker: by this name dask gives the worker to what is run outside any job.
        """
        from distributed import get_worker

        worker = dask_worker or get_worker()
        where = f"worker {worker.address} on {platform.node()}"
        os.environ["TASKSPACES_STORE"] = self.store
        os.environ["TASKSPACES_DATA"] = self.data
        os.environ["TASKSPACES_DEVICE"] = self.device
        os.environ["TASKSPACES_PRECISION"] = self.precision
        if worker.state.nthreads != 1:
            return (
                f"{where} has {worker.state.nthreads} threads, which would tune one model at the "
                "same time: start it with --nthreads 1 (and --nworkers for more)"
            )
        if not (Path(self.store, self.token).is_file() and os.access(self.store, os.W_OK)):
            return (
                f"{where} cannot read and write the store {self.store}: let TASKSPACES_STORE name "
                "a folder that all machines share, and start the same command again"
            )
        if self.data and not Path(self.data).is_dir():
            return (
                f"{where} does not see the data in {self.data}: let TASKSPACES_DATA name a "
                "folder that all machines share"
            )
        own = dict(_versions())
        if other := [f"{n} {own[n]} (here {v})" for n, v in self.versions if own[n] != v]:
            return (
                f"{where} has {', '.join(other)}: start it from the same environment "
                "(requirements.txt), then the same command"
            )
        if _code() != self.code:
            return (
                f"{where} has other code of taskspace_utils than this process: start it again "
                "from the same folder"
            )
        return ""


def _code() -> str:
    here = Path(store.__file__).parent
    found = (path.relative_to(here).with_suffix("") for path in here.rglob("*.py"))
    return store.code_version(*sorted(path.as_posix() for path in found))


@functools.cache  # looking them up takes longer than many a job
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple(store.versions().items())


def _address(scheduler: str) -> str:
    """A scheduler's address, from its file where it isn't one."""
    if re.fullmatch(r"((tcp|tls)://)?[\w.-]+:\d+", scheduler):
        return scheduler
    try:
        return json.loads(Path(scheduler).read_text())["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"--scheduler {scheduler}: neither an address (tcp://host:port) nor a file that "
            "`dask scheduler --scheduler-file` wrote"
        ) from error


@contextmanager
def workers(scheduler: str) -> Iterator[tuple[Executor, Asked, Callable[[], int]]]:
    """An executor of a scheduler's workers, what each job must ask of its worker, their number.

    Workers that are there have been looked at; those that come later are when they get a job.

    Args:
        scheduler: its address (`tcp://host:port`) or its scheduler file.

    Raises:
        InputError: dask is missing, no scheduler answers, or a worker is not fit for the work.
        WorkLost: the scheduler is gone, or a job killed every worker that it was given to.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import CommClosedError
    except ImportError as error:
        raise InputError(
            f"--scheduler needs dask: pip install 'taskspace-utils[cluster]' ({error})"
        ) from error
    try:
        client = Client(_address(scheduler), timeout=REACHED, set_as_default=False)
    except OSError as error:
        raise InputError(
            f"--scheduler {scheduler}: no dask scheduler answers there within {REACHED} s. "
            "Start one with `dask scheduler`, or name the one that runs"
        ) from error
    token = store.write_atomic(store.store_path(f".seen-{secrets.token_hex(8)}"), "")
    data = os.environ.get("TASKSPACES_DATA", "")
    asked = Asked(
        store=str(token.parent),
        data=data and str(Path(data).absolute()),
        token=token.name,
        **store.hardware(),
        code=_code(),
        versions=_versions(),
    )
    try:
        with client:
            for worker, fault in client.run(asked.fault, on_error="return").items():
                if isinstance(fault, Exception):  # it could not even import the package
                    fault = f"worker {worker}: {fault}: start it from the same environment"
                if fault:
                    raise InputError(fault)
            yield client.get_executor(pure=False), asked, lambda: len(client.nthreads())
    except KilledWorker as error:
        raise WorkLost(
            f"a job took {error.allowed_failures + 1} workers with it, the last one "
            f"{error.last_worker.address}: most often their memory ran out (see their logs). What "
            "was finished is kept, and the same command goes on from there with larger workers"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise WorkLost(
            f"the scheduler {scheduler} is gone. What was finished is kept: start scheduler and "
            "workers again, and the same command goes on from there"
        ) from error
    finally:
        token.unlink(missing_ok=True)
