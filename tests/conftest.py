"""What all tests share: a store of their own, no network, no chance, and what may be skipped.

The smoke book is built once, by `make test`, before pytest starts; tests read it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "_build" / "test"  # where `make test` builds the smoke book, and its store

# before anything of ours is imported: never the reader's store, one thread, no hub
STORE = tempfile.mkdtemp(prefix="taskspaces-store-")
os.environ.update(TASKSPACES_STORE=STORE, HF_HUB_OFFLINE="1", MPLBACKEND="agg")
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

hypothesis.settings.register_profile(
    "fixed", derandomize=True, deadline=None, database=None, max_examples=50
)
hypothesis.settings.load_profile("fixed")


def pytest_sessionfinish() -> None:
    shutil.rmtree(STORE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may talk to this machine (a browser, a kernel), and to no other."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _no_figure_left():
    """pyplot's figures belong to the process: what one test leaves open, the next would find."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _lacking(name: str) -> str:
    """Why a test that needs `name` can't run here; "" if it can."""
    if name == "browser":
        missing = [p for p in ("chromium", "chromedriver") if shutil.which(p) is None]
        return f"{' and '.join(missing)} not installed" if missing else ""
    if name == "data":
        folder = Path(os.environ.get("TASKSPACES_DATA") or "nowhere") / "blimp" / "data"
        return "" if folder.is_dir() else "TASKSPACES_DATA names no folder with blimp/data"
    if name == "gpu":
        import torch

        return "" if torch.cuda.is_available() else "no CUDA device"
    raise ValueError(f"unknown requirement {name!r}")


def _require(name: str) -> None:
    if reason := _lacking(name):
        if name in os.environ.get("TASKSPACES_REQUIRE", "").split(","):
            pytest.fail(f"{reason}, but TASKSPACES_REQUIRE asks for {name}")
        pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)  # before any fixture, also one that a module's tests share
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in ("browser", "data", "gpu"):
        if item.get_closest_marker(name):
            _require(name)


@pytest.fixture
def require():
    """`require("browser")`, `require("data")`: skip with a reason, or fail if it was asked for.

    The markers of the same names do this before a test starts.
    """
    return _require


@pytest.fixture(scope="session")
def smoke_book() -> Path:
    """The folder of the built smoke book's pages."""
    html = BUILT / "html"
    if not (html / "index.html").is_file():
        pytest.fail("the smoke book is not there: run `make test`, which builds it first")
    return html


@pytest.fixture
def smoke_store(smoke_book: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store that the smoke book was built with, in place of the tests' empty one."""
    monkeypatch.setenv("TASKSPACES_STORE", str(BUILT / "store"))
    return BUILT / "store"
