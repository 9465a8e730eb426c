"""Hooks, options and fixtures. Thin: what they do is in ``collect`` and ``session``, imported when needed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_meshchaos.chaos import Chaos
    from pytest_meshchaos.live_mesh import LiveMesh

SUFFIX = ".chaos.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--meshchaos-*`` options, and the ini keys that stand for them."""
    group = parser.getgroup("meshchaos", "resilience experiments on a service mesh")
    group.addoption("--meshchaos-mesh", metavar="NAME", help="the mesh of meshchaos.yaml to run on")
    group.addoption("--meshchaos-config", metavar="FILE", help="meshchaos.yaml (default: found upwards)")
    group.addoption("--meshchaos-output", metavar="DIR", help="where runs leave their folders (default: reports)")
    group.addoption("--meshchaos-seed", metavar="N", type=int, help="seed of every random choice")
    group.addoption(
        "--meshchaos-inconclusive",
        choices=("fail", "skip"),
        help="what an expectation is that its samples decide neither way (default: fail)",
    )
    group.addoption(
        "--meshchaos-yes",
        metavar="CONTEXT",
        action="append",
        help="a cluster, by its context, that may be changed; may be said again",
    )
    parser.addini("meshchaos_yes", "clusters, by their contexts, that may be changed", type="args")
    parser.addini("meshchaos_inconclusive", "fail or skip: what an INCONCLUSIVE expectation is")
    parser.addini("meshchaos_mesh", "the mesh of meshchaos.yaml to run on")
    parser.addini("meshchaos_config", "path of meshchaos.yaml, relative to the ini file's folder")
    parser.addini("meshchaos_output", "where runs leave their folders, relative to the ini file's folder")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_meshchaos import hooks

    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "chaos(kind={fields}): a fault of meshchaos that is live while the test runs; set on every collected "
        "*.chaos.yaml with its labels",
    )
    if config.getoption("xmlpath", None):
        config.pluginmanager.register(Junit(config), "meshchaos-junit")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Each ``*.chaos.yaml`` is a file of tests: for each experiment in it ``run``, its expectations, and ``heal``."""
    if not file_path.name.endswith(SUFFIX):
        return None
    from pytest_meshchaos.collect import ChaosFile

    return ChaosFile.from_parent(parent, path=file_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that has to do with the mesh has it to itself, and what it leaves is taken back however it ends."""
    if not _about_the_mesh(item):
        return (yield)
    from meshchaos.errors import UserError
    from meshchaos.run.interrupts import ending_raises
    from pytest_meshchaos.session import session_of

    with ExitStack() as stack:
        stack.enter_context(ending_raises())
        with suppress(UserError):  # the fixture says it
            stack.enter_context(session_of(item.config).holding())
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """``@pytest.mark.chaos(delay={...})``: the fault is live while the test runs, its fixtures not among it."""
    markers = _faults(item)
    if not markers:
        return (yield)
    from pytest_meshchaos.session import session_of

    with session_of(item.config).marked(markers):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """An item of a file that is skipped says so with its line there, not with ours."""
    report = yield
    from pytest_meshchaos.telling import skipped_at

    skipped_at(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """What could not be put back ends the session, once the last item of the experiment has said so."""
    try:
        yield
    finally:
        _end_over_leftovers(item, nextitem)


def _end_over_leftovers(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    from pytest_meshchaos.stash import KEY

    session = item.config.stash.get(KEY, None)
    if session is None or session.left_behind is None:
        return
    from pytest_meshchaos.collect import ChaosItem

    if not isinstance(item, ChaosItem) or nextitem is None or nextitem.parent is not item.parent:
        item.session.shouldfail = session.left_behind


class Junit:
    """Registered where pytest writes its XML: after that."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        from pytest_meshchaos.junit import tell_junit

        tell_junit(self._config, report)


def _about_the_mesh(item: pytest.Item) -> bool:
    return bool(_faults(item)) or (
        isinstance(item, pytest.Function) and not {"mesh", "chaos"}.isdisjoint(item.fixturenames)
    )


def _faults(item: pytest.Item) -> list[pytest.Mark]:
    """The markers that ask for faults, the outermost first; on an experiment they are its labels."""
    if not isinstance(item, pytest.Function):
        return []
    return [marker for marker in item.iter_markers("chaos") if marker.args or marker.kwargs][::-1]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    from pytest_meshchaos.github import tell_github

    tell_github(terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Meshes that this session opened end with it, and the files that workers of xdist shared. After the fixtures, and
    before a worker says that it is through: the others may still be about its mesh.
    """
    from pytest_meshchaos.options import output_folder
    from pytest_meshchaos.sharing import forget

    _close(session.config)
    forget(session.config, output_folder(session.config))


def pytest_unconfigure(config: pytest.Config) -> None:
    _close(config)


def _close(config: pytest.Config) -> None:
    from pytest_meshchaos.stash import KEY

    session = config.stash.get(KEY, None)
    if session is not None:
        session.close()


@pytest.fixture(scope="session")
def mesh(request: pytest.FixtureRequest) -> LiveMesh:
    """The running mesh (``--meshchaos-mesh``, else the configuration's default), brought up once a session."""
    from pytest_meshchaos.live_mesh import LiveMesh
    from pytest_meshchaos.session import session_of

    found = LiveMesh(session_of(request.config))
    _ = found.seam  # brought up here, and not in the middle of a test
    return found


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Iterator[Chaos]:
    """``with chaos.delay(to="ratings", fixedDelay="2s"):`` makes a fault, and ``chaos.run("slow.chaos.yaml")`` runs the
    experiments of a file and returns their results. Nothing outlives the test.
    """
    from pytest_meshchaos.chaos import Chaos
    from pytest_meshchaos.session import session_of

    session = session_of(request.config)
    yield Chaos(session, request.path.parent)
    session.take_back()
