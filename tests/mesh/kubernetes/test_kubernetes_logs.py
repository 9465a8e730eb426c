"""A log that is followed: cut and taken up again without a line twice or lost, ours alone, told when it is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from meshchaos.errors import EvidenceError, MeshGone, NotFound
from meshchaos.mesh.kubernetes import logs as module
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.logs import FollowedLog

MARK = b'"meshchaos":"chaos-7-log"'


def line(second: str, number: int, mark: bytes = MARK) -> bytes:
    return f"2026-11-26T12:00:{second}Z ".encode() + b'{"n":%d,%s}' % (number, mark)


class Streams:
    """Each element is one stream: its lines, then how it ends."""

    def __init__(self, *streams: tuple[list[bytes], Exception | None]) -> None:
        self.streams = list(streams)
        self.asked: list[Mapping[str, str]] = []

    def lines(self, path: str, query: Mapping[str, str]) -> Any:
        self.asked.append(query)
        if not self.streams:
            raise NotFound("the Pod is gone")
        found, end = self.streams.pop(0)

        class Stream:
            def __iter__(self) -> Iterator[bytes]:
                yield from found
                if end is not None:
                    raise end

            def close(self) -> None:
                pass

        return Stream()


def follow(streams: Streams, folder: Path) -> FollowedLog:
    log = FollowedLog(cast(Api, streams), "shop", "web-1", folder / "logs" / "web-1.log", MARK)
    log.start()
    return log


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_stream_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    streams = Streams(
        ([line("01.5", 1), line("01.50001", 2)], MeshGone("cut")),
        ([line("01.5", 1), line("01.50001", 2), line("01.6", 3)], None),
        ([line("01.6", 3), line("02", 4)], MeshGone("cut")),
    )
    log = follow(streams, tmp_path)
    until(lambda: not log._thread.is_alive())
    assert [row.split(b",")[0] for row in log.file.read_bytes().splitlines()] == [
        b'{"n":1', b'{"n":2', b'{"n":3', b'{"n":4',
    ]  # fmt: skip
    assert "sinceSeconds" in streams.asked[0]
    assert streams.asked[1]["sinceTime"] == "2026-11-26T12:00:01.50001Z"
    log.check()
    log.close()


def test_lines_of_others_are_left_out(tmp_path: Path) -> None:
    other = b'"meshchaos":"chaos-8-log"'
    streams = Streams(([line("01", 1, other), line("02", 2), b"2026-11-26T12:00:03Z [info] starting"], None))
    log = follow(streams, tmp_path)
    until(lambda: not log._thread.is_alive())
    assert log.file.read_bytes() == b'{"n":2,%s}\n' % MARK
    log.close()


def test_a_log_that_cannot_be_had_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GIVE_UP", 0.1)
    monkeypatch.setattr(module, "_PAUSE", 0.05)
    streams = Streams(*(([], MeshGone("the node does not answer")) for _ in range(500)))
    log = follow(streams, tmp_path)
    until(lambda: not log._thread.is_alive())
    with pytest.raises(EvidenceError, match=r"the access log of web-1.shop cannot be read any more: the node"):
        log.check()
    log.close()
