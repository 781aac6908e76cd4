"""Predictions are kept once, with their time, and not changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from taskspace_utils.exercises.predictions import write_down
from taskspace_utils.store import InputError


def test_a_prediction_is_kept_with_its_time(tmp_path):
    path = write_down(tmp_path / "mine.json", first=" it falls ", second="no change – 0 ± 1")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["predictions"] == {"first": "it falls", "second": "no change – 0 ± 1"}
    age = datetime.now(UTC) - datetime.fromisoformat(kept["written"])
    assert timedelta(seconds=-1) <= age < timedelta(minutes=1)


def test_it_can_be_run_again_but_not_changed(tmp_path):
    path = write_down(tmp_path / "mine.json", first="it falls")
    before = path.read_bytes()
    assert write_down(path, first="it falls") == path
    with pytest.raises(InputError, match=r"mine.json was written on 20.*isn't changed"):
        write_down(path, first="it rises")
    with pytest.raises(InputError, match="isn't changed"):
        write_down(path, first="it falls", second="and I knew this too")
    assert path.read_bytes() == before


def test_an_empty_one_is_no_prediction(tmp_path, capsys):
    assert write_down(tmp_path / "mine.json", first="it falls", second="  ") is None
    assert write_down(tmp_path / "mine.json") is None
    assert list(tmp_path.iterdir()) == []
    assert "second still empty" in capsys.readouterr().err


def test_a_number_is_asked_for_as_text(tmp_path):
    with pytest.raises(InputError, match=r"slope is 0.3: write a prediction as text"):
        write_down(tmp_path / "mine.json", slope=0.3)
