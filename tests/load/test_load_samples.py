"""Sample files, the generator's word, and answers off the wire: no process needed."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from meshchaos.errors import EvidenceError
from meshchaos.history.samples import ROW, STRUCT, Outcome, RowKind, Samples
from meshchaos.load import health, sample_file
from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.load.generator.answers import Answer, AnswerReader, BadAnswer
from meshchaos.load.generator.open_loop import arrivals, picks
from meshchaos.load.reader import read_samples
from meshchaos.load.sample_file import SampleFile


def row(start: float, *, lag: float = 0.0, outcome: int = 0, kind: int = 0, seq: int = 0, status: int = 200) -> bytes:
    return struct.pack(STRUCT, start, lag, lag + 0.01, seq, status, 0, outcome, kind, -1, 7)


def test_rows_come_in_by_and_by_torn_and_out_of_order(plan: LoadPlan) -> None:
    sample_file.create(plan)
    random = np.random.default_rng(5)
    starts = np.arange(10_000) + random.uniform(0, 40, 10_000)
    data = b"".join(row(start, seq=seq) for seq, start in enumerate(starts))
    file = SampleFile(plan.samples)
    with plan.samples.open("ab") as out:
        at = 0
        while at < len(data):
            step = int(random.integers(1, 20_000))
            out.write(data[at : at + step])
            out.flush()
            at += step
            file.read()
            seen = file.samples().rows
            assert len(seen) == min(at, len(data)) // 32
            assert (np.diff(seen["start"]) >= 0).all()
    order = np.argsort(starts)
    assert (file.samples().rows["seq"] == order).all()
    assert file.pulse is None
    file.close()
    read = read_samples(plan.samples.parent)["main"]
    assert read.requests == ("page",)
    assert (read.rows == file.samples().rows).all()
    assert len(read.between(100, 200)) == np.count_nonzero((starts >= 100) & (starts < 200))


def test_a_beat_is_a_pulse_not_a_sample(plan: LoadPlan) -> None:
    sample_file.create(plan)
    with plan.samples.open("ab") as out:
        out.write(row(10.0, lag=2.0, kind=RowKind.BEAT, seq=5, status=0) + row(9.0))
    file = SampleFile(plan.samples)
    file.read()
    file.close()
    assert len(file.samples()) == 1
    assert file.pulse is not None
    assert (file.pulse.at, file.pulse.oldest, file.pulse.due, file.pulse.in_flight) == (10.0, 2.0, 5, 7)
    assert 7.99 < file.pulse.resolved < 8.0
    assert not file.pulse.finished


@pytest.mark.parametrize("content", [b"", b"junk\n", b"[]\n", b'{"format": "meshchaos-samples", "version": 99}\n'])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "samples-x.bin").write_bytes(content)
    with pytest.raises(EvidenceError, match="no sample file"):
        read_samples(tmp_path)


def judged(rows: Sequence[bytes], beats: Sequence[bytes] = (row(10.5, kind=RowKind.BEAT),), **options: float) -> object:
    array = np.sort(np.frombuffer(b"".join(rows), dtype=ROW), order="start")
    samples = Samples("main", array, ("page",), timeout=2.0)
    dtype_beats = np.frombuffer(b"".join(beats), dtype=ROW)
    return health.judge(samples, dtype_beats, rate=100.0, start=0.0, end=10.0, **options)


ON_TIME = [row(i / 100, lag=0.001) for i in range(1000)]


def test_a_generator_in_time_is_healthy() -> None:
    found = judged(ON_TIME)
    assert found.healthy
    assert found.achieved == 100.0
    assert found.lag_p99 == pytest.approx(0.001)


def test_drops_at_the_cap_are_not_the_generators_fault() -> None:
    found = judged(ON_TIME[:500] + [row(5 + i / 100, outcome=Outcome.DROPPED) for i in range(500)])
    assert found.healthy
    assert found.dropped == 500


@pytest.mark.parametrize(
    ("lag", "limit", "healthy"), [(0.015, 0.05, True), (0.05, 0.8, True), (0.05, 0.25, False), (0.3, 2.0, False)]
)
def test_lag_matters_by_the_limit_it_could_flip(lag: float, limit: float, healthy: bool) -> None:
    late = [row(i / 100, lag=lag if i % 20 == 0 else 0.0) for i in range(1000)]
    found = judged(late, latency_limit=limit)
    assert found.healthy is healthy
    assert ("late" in found.reason) is not healthy


def test_arrivals_that_it_never_came_to_count_as_due() -> None:
    stuck = row(9.0, kind=RowKind.BEAT)  # latency 0.01: it was at 8.99, and the phase went on to 10
    found = judged(ON_TIME[:899], [stuck])
    assert not found.healthy
    assert found.achieved == pytest.approx(90, abs=0.2)
    assert not judged([row(i / 100, lag=1.5 if i > 950 else 0.0) for i in range(1000)]).healthy


def test_a_generator_that_counts_too_few_due_is_not_believed() -> None:
    """28 of 90 requests, and by its own count it made all that were due."""
    rows = [row(i / 2.8, seq=i) for i in range(28)]
    found = judged(rows, (row(10.5, kind=RowKind.BEAT, seq=28),))
    assert not found.healthy
    assert found.reason.startswith("only 28 requests were due where the rate makes about 1,000")


def test_an_arrival_without_a_row_is_lost_evidence() -> None:
    """A tenth of a percent may be all the failures there were."""
    rows = [row(i / 100, seq=i) for i in range(1100)]
    end = (row(11.0, kind=RowKind.BEAT, seq=1100, status=1),)
    assert judged(rows, end).healthy
    for lost in (slice(500, 501), slice(0, 1), slice(999, 1000), slice(990, 1100)):
        kept = [one for one in rows if one not in rows[lost]]
        found = judged(kept, end)
        assert not found.healthy
        assert "not in the sample file" in found.reason
    assert judged(rows[:1050], end).healthy, "nothing of the time that is judged"
    assert not judged([], end).healthy


def test_poisson_arrivals_have_the_rate_and_the_scatter(plan: LoadPlan) -> None:
    poisson = replace(plan, rate=50.0, arrivals="poisson")
    times = np.array(list(itertools.takewhile(lambda at: at < 400, arrivals(poisson))))
    counts = np.bincount(times.astype(int), minlength=400)
    assert counts.mean() == pytest.approx(50, rel=0.03)
    assert 0.8 < counts.var() / counts.mean() < 1.25  # 1 for Poisson, 0 for uniform; +- 3.5 sd for 400 seconds
    again = list(itertools.islice(arrivals(poisson), 100))
    assert again == times[:100].tolist()
    other = list(itertools.islice(arrivals(replace(poisson, seed=8)), 100))
    assert other != again


@pytest.mark.parametrize("kind", ["uniform", "poisson"])
def test_a_ramp_rises_linearly_to_the_rate(plan: LoadPlan, kind: Literal["uniform", "poisson"]) -> None:
    ramped = replace(plan, rate=1000.0, ramp=2.0, arrivals=kind)
    times = np.array(list(itertools.takewhile(lambda at: at < 4, arrivals(ramped))))
    counts = np.histogram(times, bins=[0, 1, 2, 3, 4])[0]
    assert (np.diff(times) > 0).all()
    assert counts == pytest.approx([250, 750, 1000, 1000], rel=0.15 if kind == "poisson" else 0.01)


def test_requests_are_drawn_by_weight_from_the_seed(plan: LoadPlan) -> None:
    three = tuple(RequestPlan(str(weight), "GET", "/", {}, None, weight) for weight in (1.0, 0.0, 3.0))
    drawn = np.array(list(itertools.islice(picks(replace(plan, requests=three)), 4000)))
    assert set(drawn) == {0, 2}
    assert (drawn == 2).mean() == pytest.approx(0.75, abs=0.03)


def read(data: bytes, size: int, *, head: bool = False) -> Answer | None:
    reader = AnswerReader(head=head)
    for at in range(0, len(data), size):
        answer = reader.feed(data[at : at + size])
        if answer is not None:
            assert at + size >= len(data), "whole before its end"
            return answer
    return reader.end()


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("data", "head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False, (200, 5, -1, True)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", True, (200, 0, -1, True)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, (204, 0, -1, True)),
        (b"HTTP/1.1 503 x\r\nConnection: close\r\ncontent-length: 0\r\n\r\n", False, (503, 0, -1, False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False, (200, 2, -1, False)),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", False, (200, 13, -1, False)),
        (b"HTTP/1.1 200 OK\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n", False, (200, 0, 14, True)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nt: x\r\n\r\n",
            False,
            (200, 15, -1, True),
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", False, (301, 0, -1, True)),
    ],
)
def test_answers_are_read_to_their_end(data: bytes, head: bool, expected: tuple[int, ...], size: int) -> None:
    answer = read(data, size, head=head)
    assert answer is not None
    assert tuple(answer) == expected


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"]
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(data, 100)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"])
def test_an_answer_cut_short_is_none(data: bytes) -> None:
    assert read(data, 100) is None


def test_bytes_after_an_answer_end_its_connection() -> None:
    answer = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200", 1000)
    assert answer is not None
    assert answer.keep_alive is False
