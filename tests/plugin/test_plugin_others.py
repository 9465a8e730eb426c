"""With other plug-ins that users have: pytest-asyncio, anyio, hypothesis; on real Envoys. None of them is required."""

from __future__ import annotations

import re

import pytest

from tests.plugin.project import Project

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

ASYNC = """
import asyncio, pytest

MARK

async def test_a_fault(chaos, mesh):
    async with mesh.async_client(from_="page") as client:
        assert (await client.get("http://stars:8000/")).status_code == 200
        async with chaos.abort(to="stars", httpStatus=503) as fault:
            answers = await asyncio.gather(*(client.get("http://stars:8000/") for _ in range(5)))
        assert {one.status_code for one in answers} == {503}
        assert (await client.get("http://stars:8000/")).status_code == 200
    assert sum(one.injected for one in fault.record.injections) == 5

async def test_a_load(chaos):
    ticks = 0
    async with chaos.load("http://shop.example/", rate=40) as load:
        measuring = asyncio.ensure_future(load.during_async("1s"))
        while not measuring.done():
            ticks += 1
            await asyncio.sleep(0.01)
        result = await measuring
    assert ticks > 10, "the loop went on meanwhile"
    assert result.success == 1

async def test_cancelled(chaos, mesh):
    async def forever():
        async with chaos.load("http://shop.example/", rate=10) as load, chaos.abort(to="page", httpStatus=503):
            inside.set()
            await load.during_async("60s")

    inside = asyncio.Event()
    task = asyncio.ensure_future(forever())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mesh.journal.entries() == []
    async with mesh.async_client(from_="gateway") as client:
        assert (await client.get("http://shop.example/")).status_code == 200

@pytest.mark.chaos(abort={"to": "stars", "httpStatus": 503})
async def test_marked(mesh):
    async with mesh.async_client(from_="page") as client:
        assert (await client.get("http://stars:8000/")).status_code == 503
"""
DRAWN = """
from hypothesis import HealthCheck, given, settings, strategies as st
from pytest_meshchaos.strategies import aborts, faults, http_faults

few = settings(
    max_examples=4, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ASKED = []

@few
@given(fault=http_faults(to="stars", longest=50))
def test_the_page_is_there_without_stars(chaos, mesh, fault):
    with mesh.client(from_="gateway") as client, chaos.make(fault):
        assert client.get("http://shop.example/").status_code == 200
    ASKED.append(fault)

def test_several_were_drawn():
    assert len({repr(one) for one in ASKED}) > 1

@few
@given(fault=aborts(to=["stars", "page"], statuses=[500, 503]))
def test_the_least_that_breaks_it(chaos, mesh, fault):
    with mesh.client(from_="page") as client, chaos.make(fault):
        for url in ("http://stars:8000/", "http://page:8000/"):
            client.get(url)
        assert client.get("http://stars:8000/").status_code == 200

@few
@given(fault=faults("timeout", to="stars", timeout=st.integers(1, 9).map("{}s".format)))
def test_any_kind(chaos, fault):
    assert repr(fault).startswith("chaos.timeout(to='stars', timeout='")
    chaos.make(fault)
"""


@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_async_tests(up: Project, plugin: str) -> None:
    pytest.importorskip("pytest_asyncio" if plugin == "asyncio" else "anyio")
    marks = {
        "asyncio": "pytestmark = pytest.mark.asyncio",
        "anyio": 'pytestmark = pytest.mark.anyio\n\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"',
    }
    up.write(f"async/test_{plugin}.py", ASYNC.replace("MARK", marks[plugin]))
    more = ("-p", "no:asyncio") if plugin == "anyio" else ()
    ran = up.pytest(f"async/test_{plugin}.py", *more)
    assert (ran.code, ran.outcomes()) == (0, "4 passed")


def test_faults_drawn_by_hypothesis(up: Project) -> None:
    pytest.importorskip("hypothesis")
    up.write("drawn/test_drawn.py", DRAWN)
    ran = up.pytest("drawn")
    assert (ran.code, ran.outcomes()) == (1, "1 failed, 3 passed")
    assert re.search(r"fault=chaos\.abort\(to='stars', httpStatus=500\)", ran.text), (
        "it is shrunk, and shown as written"
    )
