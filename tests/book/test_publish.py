"""Notebooks on a branch of a repository, pushed to a bare one on this machine."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest
import yaml

from taskspace_utils import store
from taskspace_utils.publishing import pages

ROOT = store.project_root()


def git(folder, *arguments: str) -> str:
    """What git prints, without this machine's configuration."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """The script, over a small repository of its own with a remote beside it."""
    spec = importlib.util.spec_from_file_location("publish", ROOT / "scripts" / "publish.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    source = tmp_path / "source"
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    config["repository"]["url"] = "https://github.com/some/where"
    store.write_atomic(source / "_config.yml", yaml.safe_dump(config))
    store.write_atomic(source / ".gitignore", "*.ipynb\n")  # as the project has it
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", "source")
    git(tmp_path, "init", "--quiet", "--bare", "remote")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", "first")
    monkeypatch.setattr(script, "ROOT", source)
    script.source, script.remote = source, tmp_path / "remote"
    return script


def run(script, built, monkeypatch, *more: str) -> int:
    arguments = ["--remote", str(script.remote), "--built", str(built), "--smoke", *more]
    monkeypatch.setattr(sys, "argv", ["publish.py", *arguments])
    return script.main()


def test_notebooks_are_on_the_branch_and_nowhere_else(publish, smoke_book, monkeypatch, capsys):
    before = [git(publish.source, *c) for c in (("rev-parse", "HEAD"), ("status", "--porcelain"))]
    assert run(publish, smoke_book, monkeypatch) == 0
    there = git(publish.remote, "ls-tree", "-r", "--name-only", pages.BRANCH).splitlines()
    chapters = sorted(p.name for p in (smoke_book / "_sources" / "notebooks").glob("*.ipynb"))
    assert len(chapters) > 12
    assert sorted(there) == sorted(
        ["_config.yml", ".gitignore"]
        + [f"notebooks/{name}" for name in chapters]
        + [f"notebooks/student/{name}" for name in chapters]
    )

    def cells(path: str) -> list[dict]:
        return json.loads(git(publish.remote, "show", f"{pages.BRANCH}:{path}"))["cells"]

    ran = cells("notebooks/01_one_pair.ipynb")
    unsolved = cells("notebooks/student/01_one_pair.ipynb")
    assert any(cell.get("outputs") for cell in ran)
    assert not any(cell.get("outputs") for cell in unsolved)
    text = "".join("".join(cell["source"]) for cell in unsolved)
    assert "NotImplementedError" in text
    assert "# SOLUTION" not in text
    for notebook in (ran, unsolved):
        setup = next(cell for cell in notebook if cell["cell_type"] == "code")
        assert "git clone" in "".join(setup["source"])
        assert "https://github.com/some/where" in "".join(setup["source"])
    after = [git(publish.source, *c) for c in (("rev-parse", "HEAD"), ("status", "--porcelain"))]
    assert before == after
    assert git(publish.source, "branch", "--format=%(refname:short)") == "main"


def test_what_is_published_grows_and_only_when_something_changed(
    publish, smoke_book, monkeypatch, capsys
):
    assert run(publish, smoke_book, monkeypatch) == 0
    first = git(publish.remote, "rev-parse", pages.BRANCH)
    assert run(publish, smoke_book, monkeypatch) == 0
    assert "nothing has changed" in capsys.readouterr().err
    assert git(publish.remote, "rev-parse", pages.BRANCH) == first

    store.write_atomic(publish.source / "more.txt", "more")
    git(publish.source, "add", ".")
    git(publish.source, "commit", "--quiet", "--message", "second")
    assert run(publish, smoke_book, monkeypatch) == 0
    assert git(publish.remote, "rev-parse", f"{pages.BRANCH}^") == first
    assert git(publish.remote, "show", f"{pages.BRANCH}:more.txt") == "more"


def test_what_should_not_be_published_is_refused(
    publish, smoke_book, tmp_path, monkeypatch, capsys
):
    store.write_atomic(publish.source / "_config.yml", "repository: {url: ''}\n")
    assert run(publish, smoke_book, monkeypatch) == 2
    assert "commit them" in capsys.readouterr().err
    assert run(publish, tmp_path, monkeypatch) == 2
    assert "run `make book` first" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["publish.py", "--built", str(smoke_book)])
    assert publish.main() == 2
    assert "is of profile smoke" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["publish.py", "--built", str(smoke_book), "--smoke"])
    assert publish.main() == 2
    assert "repository.url in _config.yml is empty" in capsys.readouterr().err
    assert git(publish.remote, "for-each-ref") == ""


def test_the_first_cell_does_nothing_but_on_colab(publish, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell

    # whoever runs the tests with another environment activated is warned of that by IPython
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    shell = InteractiveShell.instance()
    said = []
    shell.system = shell.system_piped = said.append
    done = shell.run_cell(publish.SETUP.format(address="nowhere", branch="b"))
    done.raise_error()
    assert said == []
