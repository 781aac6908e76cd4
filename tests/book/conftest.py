"""A project of two small chapters, to break, edit and build."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from taskspace_utils import runs, store
from taskspace_utils.publishing import drawing

from .browsing import FLAGS, Quiet

ROOT = store.project_root()

CHAPTER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Chapter {name}

```{{code-cell}} ipython3
:tags: [parameters]

profile: str = "laptop"  # which grid
k: float = 0.01  # share of parameters
```

```{{code-cell}} ipython3
print("{name} ran with", profile, k)
```
"""

TOC = """format: jb-book
root: book/intro
chapters:
  - glob: notebooks/[0-9][0-9]_*
  - file: book/references
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose sweep is instant; `book.build("tiny", root=project)` builds it."""
    root = tmp_path / "project"
    for name in ("01_first", "02_second"):
        store.write_atomic(root / "notebooks" / f"{name}.md", CHAPTER.format(name=name))
    shutil.copytree(ROOT / "book" / "assets", root / "book" / "assets")
    shutil.copy(ROOT / "_config.yml", root)
    store.write_atomic(root / "book" / "references.bib", "")
    store.write_atomic(root / "book" / "intro.md", "# Start\n")
    store.write_atomic(root / "_toc.yml", TOC)
    store.write_atomic(root / "book" / "references.md", "# References\n")
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    profile = SimpleNamespace(name="tiny", chapters={"02_second": {"k": 0.5}})
    monkeypatch.setattr(runs, "load_profile", lambda name: profile)
    monkeypatch.setattr(runs, "sweep", lambda *options: SimpleNamespace(folder=tmp_path / "run"))
    monkeypatch.setattr(drawing, "vendored", lambda *packages: False)
    return root


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Replaces Jupyter Book, which takes seconds: the pages of each drawing, by file name."""
    calls = []

    def draw(texts, root, out, offline):
        calls.append(texts)
        html = out / "drawn" / "html"
        for name in ("index.html", *(f"notebooks/{Path(n).stem}.html" for n in texts)):
            store.write_atomic(html / name, "page")
        return html

    monkeypatch.setattr(drawing, "draw", draw)
    return calls


@pytest.fixture(scope="module")
def address(smoke_book):
    handler = functools.partial(Quiet, directory=str(smoke_book))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    # without it, a window that was printed keeps no focus
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    driver.set_script_timeout(180)  # axe takes its time where others compute
    yield driver
    driver.quit()
