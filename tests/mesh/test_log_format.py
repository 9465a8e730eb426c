"""Reading a log that somebody writes at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshchaos.mesh import log_format
from meshchaos.mesh.log_format import end_of


@pytest.mark.parametrize("block", [1024 * 1024, 4])
@pytest.mark.parametrize(
    ("text", "end"),
    [(b"", 0), (b"{}\n", 3), (b'{}\n{"a"', 3), (b'{"half of the first', 0), (b"{}\n{}\n" + b"x" * 50, 6)],
)
def test_a_line_that_is_written_just_now_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, text: bytes, end: int
) -> None:
    monkeypatch.setattr(log_format, "_BLOCK", block)
    log = tmp_path / "access.log"
    assert end_of(log) == 0
    log.write_bytes(text)
    assert end_of(log) == end
