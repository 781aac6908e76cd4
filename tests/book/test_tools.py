"""The tools around the book: environment files, make targets, Jupyter, plain papermill."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import pytest
import yaml
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class
from packaging.requirements import Requirement

from taskspace_utils import runs, store
from taskspace_utils.publishing import chapters

ROOT = store.project_root()
BIN = Path(sys.executable).parent


def run(*command, **options) -> subprocess.CompletedProcess:
    options = {"cwd": ROOT, "capture_output": True, "text": True, "check": False} | options
    return subprocess.run([str(part) for part in command], **options)


def test_the_lock_pins_every_direct_dependency_within_its_range():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins)
    locked = {name.lower().replace("_", "-"): v for name, v in (p.split("==") for p in pins)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["book"], *extras["dev"]]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[wanted.name.lower()]), text


def test_every_direct_dependency_says_what_it_is_for():
    text = (ROOT / "pyproject.toml").read_text()
    lines = re.findall(r'^  ("[\w-]+>=.*)$', text, re.MULTILINE)
    assert len(lines) > 15
    assert [line for line in lines if "# " not in line] == []


def test_conda_and_binder_install_the_lock_and_the_package():
    found = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert found == ["python=3.11", "pip", {"pip": ["-r requirements.txt", "-e ."]}]


def test_make_lists_its_targets():
    listed = run("make", env={**os.environ, "MAKEFLAGS": ""}).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE) == targets


def fake_python(folder: Path, check: int) -> Path:
    """A python whose version check ends with `check`, and whose environments have no pip."""
    text = (
        "#!/bin/sh\n"
        'if [ "$1" = -c ]; then exit ' + str(check) + "; fi\n"
        'if [ "$1" = -V ]; then echo Python 3.9.2; exit; fi\n'
        'mkdir -p "$3/bin"; printf "#!/bin/sh\\nexit 1\\n" > "$3/bin/python"\n'
        'chmod +x "$3/bin/python"\n'
    )
    path = store.write_atomic(folder / "python", text)
    path.chmod(0o755)
    return path


def test_an_old_python_is_refused_in_plain_words(tmp_path):
    env = tmp_path / "env"
    done = run("make", "env", f"VENV={env}", f"PYTHON={fake_python(tmp_path, 1)}")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "is Python 3.9.2" in done.stderr
    assert not env.exists()


def test_an_interrupted_install_is_not_taken_for_finished(tmp_path):
    env = tmp_path / "env"
    store.write_atomic(env / ".ready", "")
    os.utime(env / ".ready", (0, 0))  # older than the lock
    done = run("make", "env", f"VENV={env}", f"PYTHON={fake_python(tmp_path, 0)}")
    assert done.returncode != 0
    assert not (env / ".ready").exists()


def test_clean_leaves_the_store_alone():
    assert ".taskspaces" not in run("make", "-n", "clean").stdout


def test_the_code_is_in_the_house_style():
    done = run(BIN / "ruff", "check", "--no-cache", ".")
    assert done.returncode == 0, done.stdout


def test_only_the_ci_script_looks_outside_the_project():
    # joined at run time, or this file would find itself
    done = run("git", "grep", "-lF", "../" + "shared")
    assert done.stdout.split() in ([".ci/run"], [])


def test_saving_a_chapter_in_jupyter_changes_nothing(tmp_path):
    manager = build_sync_jupytext_contents_manager_class(LargeFileManager)()
    manager.root_dir = str(tmp_path)
    store.write_atomic(tmp_path / "jupytext.toml", (ROOT / "jupytext.toml").read_text())
    for path in chapters.chapters():
        copy = store.write_atomic(tmp_path / path.name, path.read_text())
        model = manager.get(path.name, type="notebook", content=True)
        for cell in model["content"]["cells"]:
            cell["metadata"]["execution"] = {"shell.execute_reply": "now"}
        manager.save({"type": "notebook", "content": model["content"]}, path.name)
        assert copy.read_text() == path.read_text()


def test_a_double_click_opens_a_chapter_as_a_notebook():
    path = ROOT / "scripts" / "jupyter" / "labconfig" / "default_setting_overrides.json"
    viewers = json.loads(path.read_text())["@jupyterlab/docmanager-extension:plugin"]
    assert viewers["defaultViewers"]["myst"] == "Jupytext Notebook"


def test_plain_papermill_runs_a_chapter(smoke_store, tmp_path):
    plain, done = tmp_path / "plain.ipynb", tmp_path / "done.ipynb"
    jupytext.write(jupytext.read(chapters.find_chapter(1)), plain)
    papermill = (sys.executable, "-m", "papermill", "--no-progress-bar")
    given = {"profile": "smoke"} | runs.load_profile("smoke").chapters["01_one_pair"]
    options = [word for name, value in given.items() for word in ("-p", name, str(value))]
    result = run(*papermill, plain, done, *options)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_plain_jupyter_book_build_says_that_nothing_ran(tmp_path):
    result = run(BIN / "jupyter-book", "build", ROOT, "--path-output", tmp_path, "-q")
    assert result.returncode == 0, result.stderr
    for path in chapters.chapters():
        page = tmp_path / "_build" / "html" / "notebooks" / f"{path.stem}.html"
        assert "without their results" in page.read_text(encoding="utf-8")
