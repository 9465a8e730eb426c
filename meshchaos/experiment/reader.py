"""``read``: a ``*.chaos.yaml`` as experiments.

File, then ``overrides`` of the mesh, then ``--set``; validated after merging, every mistake in its place. What the
contract leaves open when left out: one load is called ``main`` and comes ``from`` the gateway, with Poisson
arrivals; a request is called by its method and path; phases as in ``experiment.phases``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshchaos.errors import FileError, FileErrors
from meshchaos.experiment.document import API_VERSION, ExperimentDoc, StopIfDoc
from meshchaos.experiment.kinds import Scene, check_scope, expectations_of, faults_of
from meshchaos.experiment.loads import loads_of
from meshchaos.experiment.model import Deadlines, Experiment, Load, StopIf, Vocabulary
from meshchaos.experiment.overrides import Changed, Setting, merged, parse_settings
from meshchaos.experiment.phases import phases_of
from meshchaos.experiment.problems import Problems, together
from meshchaos.experiment.resolved import resolved
from meshchaos.experiment.specs import validate
from meshchaos.experiment.tree import Branch, Leaf, Node, plain
from meshchaos.experiment.yaml_source import parse_documents, read_text
from meshchaos.units import shown

_LATER = ("GameDay", "CanaryGate")


def read(
    path: Path | str,
    vocabulary: Vocabulary,
    *,
    mesh: str | None = None,
    sets: Sequence[str] = (),
    default_mesh: str | None = None,
) -> tuple[Experiment, ...]:
    """The experiments of a file, in its order.

    ``mesh``: the one chosen on the command line; else the file's; else ``default_mesh``. Its overrides apply.
    ``sets``: texts ``spec.load.rate=20``, for every experiment of the file. Raises FileError, or FileErrors with
    a line for each mistake.
    """
    path = Path(path)
    return read_string(
        read_text(path), str(path), vocabulary, mesh=mesh, sets=sets, default_mesh=default_mesh, folder=path.parent
    )


def read_string(
    text: str,
    file: str,
    vocabulary: Vocabulary,
    *,
    mesh: str | None = None,
    sets: Sequence[str] = (),
    default_mesh: str | None = None,
    folder: Path = Path(),
) -> tuple[Experiment, ...]:
    """The same from a text; ``file`` names it in messages, ``folder`` is where its relative paths start."""
    settings = parse_settings(sets)
    reading = _Reading(file, folder, vocabulary, mesh or _setting_of(settings), default_mesh, settings)
    documents = parse_documents(text, file)
    if not documents:
        raise FileError(f"is empty: an experiment begins with apiVersion: {API_VERSION}", file=file)
    found: list[Experiment] = []
    errors: list[FileError] = []
    for document in documents:
        try:
            one = reading.experiment(document)
        except FileError as error:
            errors.append(error)
        except FileErrors as several:
            errors += several.errors
        else:
            if one.name in {other.name for other in found}:
                where = one.where
                text = f"two experiments of this file are named {one.name!r}"
                errors.append(FileError(text, file=file, line=where.line, col=where.col, path="metadata.name"))
            found.append(one)
    if errors:
        raise together(errors)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What every document of a file is read with."""

    file: str
    folder: Path
    vocabulary: Vocabulary
    mesh: str | None
    default_mesh: str | None
    settings: tuple[Setting, ...]

    def experiment(self, document: Node) -> Experiment:
        first = Problems(self.file, document)
        if not isinstance(document, Branch):
            raise first.alone(f"an experiment is a mapping, not {shown(plain(document))}")
        kind = _leaf(document, "kind")
        if kind in _LATER:
            raise first.alone(f"{kind} is not built yet", ("kind",))
        mesh = self.mesh or _text(_leaf(document, "spec", "mesh")) or self.default_mesh
        experiment = self.meant_for(mesh, document)
        if errors := [error for name in _overridden(document) if name != mesh for error in self.slips(name, document)]:
            raise together(errors)
        return experiment

    def slips(self, mesh: str, document: Branch) -> list[FileError]:
        """The mistakes in the overrides of a mesh that is not chosen: they should not wait until it is."""
        try:
            self.meant_for(mesh, document)
        except (FileError, FileErrors) as error:
            errors = error.errors if isinstance(error, FileErrors) else (error,)
            return [one for one in errors if one.message.endswith(f"(from overrides.{mesh})")]
        return []

    def meant_for(self, mesh: str | None, document: Branch) -> Experiment:
        root, changed = merged(document, mesh, self.settings, self.file)
        written = plain(root)
        problems = Problems(self.file, root)
        body = written.get("spec")
        existing = False
        if isinstance(body, dict) and body.get("load") == "existing":
            existing = True
            del body["load"]
        doc = validate(ExperimentDoc, written, problems, ())
        if doc is not None and not problems.errors:
            return self.built(doc, written, changed, mesh, problems, existing=existing)
        if isinstance(body, dict):
            faults_of(_many(body.get("faults")), self.vocabulary.faults, problems, None)
            expectations_of(_many(body.get("expect")), self.vocabulary.checks, problems, None)
        raise problems.error()

    def built(
        self,
        doc: ExperimentDoc,
        written: dict[str, Any],
        changed: tuple[Changed, ...],
        mesh: str | None,
        problems: Problems,
        *,
        existing: bool,
    ) -> Experiment:
        body = doc.spec
        some = bool(body.faults)
        loads = loads_of(body.load, _many(written["spec"].get("load")), problems, self.folder)
        phases = phases_of(body.phases, problems, faults=some)
        fault_phase = next((phase for phase in phases if phase.name == "fault"), None)
        faults = faults_of(body.faults, self.vocabulary.faults, problems, fault_phase)
        if not body.expect:
            problems.add("says nothing: an experiment expects something", ("spec", "expect"))
        expect = expectations_of(body.expect, self.vocabulary.checks, problems, Scene(some, phases, loads, existing))
        stop = _stop_if(body.stop_if, loads, problems, existing=existing)
        if problems.errors:
            raise problems.error()
        limits = body.deadlines
        return Experiment(
            name=doc.metadata.name,
            namespace=doc.metadata.namespace,
            labels=dict(doc.metadata.labels),
            hypothesis=body.hypothesis,
            mesh=mesh,
            loads=loads,
            phases=phases,
            faults=faults,
            expect=expect,
            stop_if=stop,
            confidence=body.confidence,
            deadlines=Deadlines(limits.live, limits.gone, limits.heal, limits.run),
            where=problems.where(()),
            resolved=resolved(
                written, doc, mesh=mesh, loads=loads, phases=phases, folder=self.folder, existing=existing
            ),
            overrides=changed,
            existing=existing,
        )


def _stop_if(doc: StopIfDoc | None, loads: Sequence[Load], problems: Problems, *, existing: bool) -> StopIf | None:
    if doc is None:
        return None
    below, place = doc.success, ("spec", "stopIf", "success")
    if loads:
        check_scope(below.load, below.request, loads, problems, place)
    elif existing:
        if below.to is None:
            text = "stopIf needs an edge (`to`, perhaps `from`) where the load is `existing`: none of it is ours"
            problems.add(text, place, at_key=True)
    else:
        problems.add("stopIf needs requests to judge, and spec.load is left out", place, at_key=True)
    return StopIf(below.below, below.load, below.request, below.to, tuple(below.from_), problems.where(place))


def _setting_of(settings: Sequence[Setting]) -> str | None:
    return next((_text(one.value) for one in reversed(settings) if one.loc == ("spec", "mesh")), None)


def _overridden(root: Branch) -> tuple[str, ...]:
    spec = root.entries.get("spec")
    if spec is None or not isinstance(spec.node, Branch) or "overrides" not in spec.node.entries:
        return ()
    overrides = spec.node.entries["overrides"].node
    return tuple(overrides.entries) if isinstance(overrides, Branch) else ()


def _leaf(root: Branch, *keys: str) -> Any:
    node: Node = root
    for key in keys:
        if not isinstance(node, Branch) or key not in node.entries:
            return None
        node = node.entries[key].node
    return node.value if isinstance(node, Leaf) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
