"""Secrets are read when they are needed, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshchaos.errors import UserError
from meshchaos.experiment.model import Secret
from meshchaos.experiment.secrets import located, resolve


def test_where_secrets_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAY_TOKEN", "abc")
    (tmp_path / "token").write_text(" def \r\n")
    assert resolve("plain") == "plain"
    assert resolve(Secret("env", "PAY_TOKEN", prefix="Bearer ")) == "Bearer abc"
    assert resolve(Secret("file", "token"), folder=tmp_path) == " def "
    assert resolve(located(Secret("file", "token", "x"), tmp_path)) == "x def "


def test_secrets_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    monkeypatch.setenv("EMPTY_TOKEN", "")
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "empty").touch()
    for secret, said in [
        (Secret("env", "NO_SUCH_TOKEN"), "the environment variable NO_SUCH_TOKEN is not set"),
        (Secret("env", "EMPTY_TOKEN"), "the environment variable EMPTY_TOKEN is empty"),
        (Secret("file", "none"), f"the secret's file {tmp_path}/none cannot be read: No such file or directory"),
        (Secret("file", "latin"), f"the secret's file {tmp_path}/latin is not UTF-8"),
        (Secret("file", "empty"), "the secret's file empty is empty"),
    ]:
        with pytest.raises(UserError) as caught:
            resolve(secret, folder=tmp_path)
        assert str(caught.value) == said
