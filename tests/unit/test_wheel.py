"""The wheel: what it holds is enough to probe a model in an environment without the project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from taskspace_utils import load_grammar, scales
from taskspace_utils.publishing import beside
from taskspace_utils.store import project_root
from taskspace_utils.tables import reference_run

MEGABYTES = 12  # the most that a wheel may take
PARTS = ["pyproject.toml", "setup.py", "README.md", "LICENSE", "LICENSE-text", "taskspace_utils",
         "data"]  # fmt: skip


def run(*command: object, folder: Path, **environment: str) -> str:
    """A command in a folder, in an environment that knows nothing of the project."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TASKSPACES"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=kept | environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("setuptools is older than 77, which a wheel of this package needs")
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        path = project_root() / part
        if path.is_dir():
            shutil.copytree(path, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, source / part)
    stale = source / "build" / "lib" / "taskspace_utils" / "gone.py"  # of an earlier wheel
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--no-index", "--wheel-dir", source / "dist", ".", folder=source)  # fmt: skip
    [found] = (source / "dist").glob("*.whl")
    return found


def test_it_holds_what_a_probe_reads_and_is_small(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "publishing/report.md", "data/scales.yml", "data/grammar/paradigms.yml",
        "data/hypotheses/blimp.csv",
        "data/reference/blimp-8M/gradient.csv.xz", "data/reference/grammar/accuracy.csv",
        "data/published/blimp_models.csv", "data/profiles/smoke.yml",
    ):  # fmt: skip
        assert f"taskspace_utils/{needed}" in names
    inside = [Path(name).parts[2:] for name in names if "/data/reference/" in name]
    of_runs = {parts[1:] for parts in inside if len(parts) == 3}
    assert {name for name, _ in of_runs} == set(beside.REFERENCES)
    for shipped in map(reference_run, beside.REFERENCES):
        for table in ("accuracy", "gradient", "tasks"):  # that `beside` reads
            assert {(shipped.folder.name, path.name) for path in shipped.paths(table)} <= of_runs
    assert not [name for name in names if "data/course" in name or name.startswith("tests")]
    assert "taskspace_utils/gone.py" not in names, "a module that is no more"
    assert wheel.stat().st_size < MEGABYTES * 1e6


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory) -> Path:
    """A new environment with the wheel alone, which sees the packages of this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", folder=folder)
    python = folder / "env" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-index", wheel, folder=folder)  # fmt: skip
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
               folder=folder).strip()  # fmt: skip
    Path(site, "outside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_a_tiny_model_is_probed_and_reported_on_away_from_the_project(elsewhere):
    python = elsewhere / "env" / "bin" / "python"
    where = "import taskspace_utils; print(taskspace_utils.__file__)"
    assert Path(run(python, "-c", where, folder=elsewhere)).is_relative_to(elsewhere)
    scale = scales.load_scale("XS")
    tokenizer = scales.new_tokenizer(scale, [" ".join(load_grammar().vocabulary())])
    scales.new_model(scale, len(tokenizer), 0).save_pretrained(elsewhere / "model")
    tokenizer.save_pretrained(elsewhere / "model")
    nouns = ["teacher", "student", "doctor", "farmer", "guest", "lawyer", "nurse", "baker"]
    rows = [f"the {noun} laughs .,the {noun} laugh .,mine" for noun in nouns]
    (elsewhere / "pairs.csv").write_text("\n".join(["good,bad,task", *rows]) + "\n")
    command = elsewhere / "env" / "bin" / "taskspaces"
    run(command, "probe", "--model", "model", "--pairs", "pairs.csv", "--context", "grammar",
        "--preset", "quick", "--pairs-per-task", 8, "--workers", 1, "--out", "run",
        folder=elsewhere, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")  # fmt: skip
    manifest = json.loads((elsewhere / "run" / "manifest.json").read_text())
    assert manifest["own"] == ["mine"]
    assert len(manifest["tasks"]) > 60
    page = (elsewhere / "run" / "report.html").read_text(encoding="utf-8")
    assert "that the reference models grammar were asked too" in page
    assert (elsewhere / ".taskspaces" / "cells").is_dir(), "the store is in the folder of work"


def test_what_needs_the_chapters_says_so(elsewhere):
    command = elsewhere / "env" / "bin" / "taskspaces"
    done = subprocess.run(
        [command, "chapter", "05"], cwd=elsewhere, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TASKSPACES"))},
    )  # fmt: skip
    assert done.returncode == 2
    assert "the chapters are not part of the installed package" in done.stderr
