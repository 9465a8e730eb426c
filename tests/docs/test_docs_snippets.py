"""What the docs show is true: each YAML block is read by what reads the user's files, each experiment is planned on a
local mesh of real Envoys, and each command is one that there is, with files that there are.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from meshchaos.cli.app import cli
from meshchaos.errors import UserError
from meshchaos.experiment.config import LocalMeshConfig, read_config
from meshchaos.mesh.local.objects import manifests
from meshchaos.run.api import make_suite
from meshchaos.run.catalog import Catalog, open_catalog
from meshchaos.run.plan import make_checks
from meshchaos.run.suite import Suite
from meshchaos.run.vocabulary import load_kinds
from tests.docs.snippets import MESHES, PAGES, ROOT, Snippet, every, snippets

EXPERIMENT = {"apiVersion": "meshchaos.dev/v1", "kind": "Experiment", "metadata": {"name": "shown"}}
REST: dict[str, Any] = {
    "hypothesis": "What a part of an experiment in the docs is completed with.",
    "load": {"target": "http://bookinfo.example/productpage", "rate": 100},
    "faults": [{"abort": {"to": "ratings", "httpStatus": 503, "percentage": 10}}],
    "expect": [{"success": "90%"}],
}
BODY = frozenset((*REST, "mesh", "phases", "stopIf", "confidence", "deadlines", "overrides"))
CONFIG = frozenset(("meshes", "defaultMesh", "slos", "issuers"))
PLANNED = frozenset(("run", "plan", "validate"))
"""Commands that are about experiments, which are planned instead."""


@dataclass
class Workshop:
    """Meshes that stay up, by their configuration, and what it leads to."""

    suites: dict[str, Suite] = field(default_factory=dict)

    def plan(self, catalog: Catalog, file: Path, sets: tuple[str, ...] = ()) -> None:
        """Of every experiment of a file. On a cluster they are only read. Raises UserError."""
        for experiment in catalog.read([file], sets):
            name = catalog.mesh_name(experiment)
            if not isinstance(catalog.config.mesh(name).kind, LocalMeshConfig):
                make_checks(experiment, catalog.kinds, catalog.slos)
                continue
            suite = self.suites.setdefault(_state(catalog), make_suite(catalog, [], seed=1))
            suite.catalog = catalog  # the same configuration, and perhaps another --mesh
            suite.plan(experiment)

    def clear(self, folder: Path) -> None:
        """Ends the meshes that are configured below ``folder``."""
        for key in [key for key in self.suites if key.startswith(f"{folder}/")]:
            with self.suites.pop(key):
                pass


def _state(catalog: Catalog) -> str:
    """The configuration, and what is in the files that a reader made for it."""
    path = catalog.config.path
    assert path is not None
    if ROOT in path.parents:
        return str(path)
    files = [one for one in sorted(path.parent.rglob("*.yaml")) if not one.name.endswith(".chaos.yaml")]
    return f"{path}\n" + "\n".join(one.read_text("utf-8") for one in files)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    with contextlib.ExitStack() as stack:
        yield made
        for suite in made.suites.values():
            stack.enter_context(suite)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workshop: Workshop) -> Iterator[Path]:
    """A reader's working folder: the examples are there, by themselves and in their folder."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    for file in (ROOT / "experiments").glob("*.chaos.yaml"):
        (tmp_path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    workshop.clear(tmp_path)


@pytest.mark.envoy
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_what_a_page_shows_is_taken(page: Path, desk: Path, workshop: Workshop) -> None:
    for snippet in snippets(page):
        try:
            refused = snippet.about.get("refused")
            with contextlib.nullcontext() if refused is None else pytest.raises(UserError, match=re.escape(refused)):
                _take(snippet, desk, workshop)
                _follow(snippet, desk, workshop)
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(f"in {snippet}")
            raise


def test_there_is_something_to_take() -> None:
    """The reading of pages finds blocks at all."""
    assert len(every("yaml")) >= 20
    assert sum(len(one.commands) for page in PAGES for one in snippets(page)) > 5


@pytest.mark.parametrize("folder", ["faults", "expectations"])
def test_each_kind_has_its_page(folder: str) -> None:
    vocabulary = load_kinds().vocabulary
    kinds = vocabulary.faults if folder == "faults" else vocabulary.checks
    for key in kinds:
        shown = [one for one in snippets(ROOT / "docs" / folder / f"{key}.md") if one.language == "yaml"]
        assert any(f"- {key}:" in one.text for one in shown), f"docs/{folder}/{key}.md shows no {key}"


def _write(snippet: Snippet, desk: Path) -> Path:
    file = desk / (snippet.title or f"line-{snippet.line}.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(snippet.text, "utf-8")
    return file


def _take(snippet: Snippet, desk: Path, workshop: Workshop) -> None:
    """One block; of YAML by what its first level says it is."""
    if snippet.language == "python":
        compile(snippet.text, str(snippet), "exec")
        return
    if snippet.language != "yaml" and snippet.title is None:
        return
    file = _write(snippet, desk)
    if snippet.language != "yaml":
        return
    if "for" in snippet.about:
        assert snippet.documents, "there is nothing in it"
        return
    for number, document in enumerate(snippet.documents):
        assert isinstance(document, dict), f"{document!r} is no mapping"
        keys = frozenset(document)
        if document.get("apiVersion") == EXPERIMENT["apiVersion"]:
            experiment = _experiment(document, file, number)
        elif keys <= BODY:
            experiment = _experiment({**EXPERIMENT, "spec": {**REST, **document}}, file, number)
        elif keys <= CONFIG:
            _make_folders(document, file.parent)
            read_config(file)
            continue
        else:
            assert {"apiVersion", "kind"} <= keys, f"what is a block with {', '.join(sorted(keys))}? Say for=REASON"
            manifests.read([file])
            return
        workshop.plan(_catalog(file, desk, snippet.about.get("mesh")), experiment)


def _make_folders(config: Mapping[str, Any], folder: Path) -> None:
    """The user's own, where a page says manifests: [k8s]."""
    for mesh in (config.get("meshes") or {}).values():
        for name in (mesh.get("local") or {}).get("manifests") or ():
            if not (folder / name).exists():
                (folder / name).mkdir(parents=True)


def _experiment(document: Mapping[str, Any], file: Path, number: int) -> Path:
    made = file.parent / f"{file.name.partition('.')[0]}-{number}.chaos.yaml"
    made.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    return made


def _catalog(file: Path, desk: Path, mesh: str | None) -> Catalog:
    """What the reader has at that moment: the page's own meshchaos.yaml, else the repository's."""
    if mesh is not None:
        return open_catalog(config=MESHES, mesh=mesh)
    own = next((one / "meshchaos.yaml" for one in file.parents if (one / "meshchaos.yaml").exists()), None)
    found = own if own is not None and desk in own.parents else ROOT / "meshchaos.yaml"
    return open_catalog(config=found)


def _follow(snippet: Snippet, desk: Path, workshop: Workshop) -> None:
    """The commands of a block. What is not ours is left alone, but for the folder to be in."""
    here = desk
    for words in snippet.commands:
        if words[0] == "cd":
            here = here / words[1]
            assert here.is_dir(), f"there is no folder {words[1]}"
        elif words[0] == "meshchaos":
            asked = _parsed(words[1:])
            if asked.info_name in PLANNED:
                _plan(asked.params, here, desk, workshop, snippet)


def _parsed(words: list[str]) -> click.Context:
    """The command's options, as the command itself reads them. Raises click's errors for a mistake."""
    context: click.Context = cli.make_context("meshchaos", words)
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context


def _plan(asked: Mapping[str, Any], here: Path, desk: Path, workshop: Workshop, snippet: Snippet) -> None:
    catalog = _catalog(here / "x", desk, snippet.about.get("mesh"))
    mesh = asked["mesh"]
    if mesh is not None and mesh not in catalog.config.meshes:
        others = [one for one in snippets(snippet.page) if one.language == "yaml" and f"\n  {mesh}:" in one.text]
        assert others, f"no meshchaos.yaml of this page has a mesh {mesh}"
        config = desk / "meshchaos-of-the-page.yaml"
        slos = yaml.safe_load((ROOT / "meshchaos.yaml").read_text("utf-8"))["slos"]  # a block shows a part of the file
        config.write_text(yaml.safe_dump({"slos": slos, **others[0].documents[0]}), "utf-8")
        catalog = open_catalog(config=config)
    catalog = Catalog(catalog.config, catalog.kinds, mesh or catalog.chosen, catalog.given)
    assert asked["paths"], "which experiments?"
    for path in asked["paths"]:
        file = here / path
        assert file.exists(), f"there is no {path} here"
        workshop.plan(catalog, file, asked["sets"])
