"""How late and how true the load generator is, through gateway -> page -> service on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.spec import StubSpec
from tests.bench.figure import Figure, bookinfo, quantile, running

SECONDS = 20.0
WARMUP = 2.0


def measure() -> Iterator[Figure]:
    """200 and 2,000 requests a second, uniform; productpage calls details. Beside it 2,000 a second to details from
    outside: a machine that the whole way fills up shows there what the generator itself can do.
    """
    call = {"url": "http://details:9080/details/0", "timeout": None, "optional": False, "method": "GET"}
    with running(bookinfo(), {"productpage-v1": StubSpec((call,))}) as mesh:
        yield from _at(mesh, 2000.0, "outside", "http://details:9080/details/0", "straight to one service")
        for rate in (200.0, 2000.0):
            yield from _at(mesh, rate, "gateway", "http://bookinfo.example/productpage", "gateway, page, service")


def _at(mesh: LocalMesh, rate: float, source: str, target: str, words: str) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="meshchaos-bench-") as folder:
        plan = LoadPlan(
            name="main",
            index=0,
            run_id="00000001",
            entry=mesh.entry(source, target, "bookinfo"),
            target=target,
            requests=(RequestPlan("page", "GET", urlsplit(target).path, {}, None, 1.0),),
            rate=rate,
            arrivals="uniform",
            timeout=10.0,
            max_in_flight=int(2 * rate * 10),
            seed=1,
            duration=SECONDS + 30,
            samples=Path(folder, "samples-main.bin"),
            log=Path(folder, "locust.log"),
            ramp=WARMUP / 2,
        )
        driver = LocustDriver(plan)
        try:
            driver.start()
            began = time.time() + WARMUP
            end = began + SECONDS
            while time.time() < end:
                driver.poll()
                time.sleep(0.1)
            driver.stop(15)
            samples = driver.samples().between(began, end)
            health = driver.health(began, end)
        finally:
            driver.close()
    rows = samples.rows
    name = f"{rate:,.0f} requests/s, {words}"
    off = abs(len(samples) / SECONDS / rate - 1) * 100
    yield Figure(f"generator's lag p99 at {name}", quantile(rows["lag"].tolist(), 0.99) * 1000, "ms", 5, len(samples))
    share = "" if health.cpu_share is None else f"generator's share of a core {health.cpu_share:.2f}"
    yield Figure(f"rate off target at {name}", off, "%", 1, len(samples), share)
    remark = f"{100 * float(samples.good().mean()):.2f} % good"
    yield Figure(
        f"latency p99 at {name}", quantile(rows["latency"].tolist(), 0.99) * 1000, "ms", None, len(samples), remark
    )
