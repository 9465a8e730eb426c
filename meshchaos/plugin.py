"""All that a fault or an expectation of your own is written with: ``from meshchaos.plugin import ...``.

What is named here stays; import nothing from deeper inside. ``docs/own-faults-and-checks.md`` shows how, and
``tests/example_plugin`` is a whole package to copy. In short:

- Words of the file: :func:`spec`, with the types that are named here (``Duration``, ``Share``, ...) and :class:`About`
  for editors. A :class:`SpecKind` gives them their key.
- A fault (:class:`FaultKind`, entry point group ``meshchaos.faults``): ``place`` makes a :class:`Placement` of
  :class:`Create` and :class:`EditObject` changes and a :class:`Proof` (or :class:`ConfigProof`, ... where no request
  carries the fault). Pure; it may raise :class:`CannotPlace`. Ours
  can be built upon: ``DELAY.place(build(DELAY.kind, {"to": ..., "fixedDelay": "2s"}), mesh, context)``.
- An expectation (:class:`CheckKind`, group ``meshchaos.checks``): ``checks`` makes one or more :class:`Check`. One
  about requests is a :class:`RateCheck` with a :class:`Measure` of your own, and gets our statistics; any other judges
  a :class:`History` itself and answers with a :class:`Finding`.
"""

from __future__ import annotations

from meshchaos.checks.kind import Check, CheckContext, CheckKind, Finding, Verdict
from meshchaos.checks.naming import check_scope, full_name, mistake, phases_of
from meshchaos.checks.needs import Need, needs_of
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.success import bad_share
from meshchaos.checks.tally import Measure
from meshchaos.errors import CannotPlace, UserError
from meshchaos.experiment.fields import (
    About,
    Duration,
    GrpcStatus,
    HeaderMatches,
    HttpMatch,
    HttpStatus,
    Name,
    OneOrMany,
    Percentage,
    PositiveDuration,
    Rate,
    Replicas,
    Share,
    StringMatch,
    Text,
    spec,
)
from meshchaos.experiment.model import Expectation, Experiment, PhaseName, SpecKind, Where
from meshchaos.experiment.specs import build
from meshchaos.faults.http_fault import ABORT, DELAY
from meshchaos.faults.kind import (
    AcceptedProof,
    ConfigProof,
    EndpointsProof,
    FaultContext,
    FaultKind,
    Kill,
    KilledProof,
    PartitionProof,
    Placement,
    Probe,
    Proof,
    StaleProof,
    WeightsProof,
)
from meshchaos.history.records import FaultRecord, GeneratorHealth, History, Injection, PhaseRecord
from meshchaos.history.samples import Outcome, Samples
from meshchaos.mesh.changes import Change, Create, EditObject
from meshchaos.mesh.edits import MISSING, EditItem, InsertNamed, SetField
from meshchaos.mesh.istio.services import Service, ServicePort, find_service, workloads_of
from meshchaos.mesh.objects import Manifest, Ref, ref_of, selects
from meshchaos.mesh.seam import Replica, Snapshot, Workload

__all__ = [
    "ABORT",
    "DELAY",
    "MISSING",
    "About",
    "AcceptedProof",
    "CannotPlace",
    "Change",
    "Check",
    "CheckContext",
    "CheckKind",
    "ConfigProof",
    "Create",
    "Duration",
    "EditItem",
    "EditObject",
    "EndpointsProof",
    "Expectation",
    "Experiment",
    "FaultContext",
    "FaultKind",
    "FaultRecord",
    "Finding",
    "GeneratorHealth",
    "GrpcStatus",
    "HeaderMatches",
    "History",
    "HttpMatch",
    "HttpStatus",
    "Injection",
    "InsertNamed",
    "Kill",
    "KilledProof",
    "Manifest",
    "Measure",
    "Name",
    "Need",
    "OneOrMany",
    "Outcome",
    "PartitionProof",
    "Percentage",
    "PhaseName",
    "PhaseRecord",
    "Placement",
    "PositiveDuration",
    "Probe",
    "Proof",
    "Rate",
    "RateCheck",
    "Ref",
    "Replica",
    "Replicas",
    "Samples",
    "Service",
    "ServicePort",
    "SetField",
    "Share",
    "Snapshot",
    "SpecKind",
    "StaleProof",
    "StringMatch",
    "Text",
    "UserError",
    "Verdict",
    "WeightsProof",
    "Where",
    "Workload",
    "bad_share",
    "build",
    "check_scope",
    "find_service",
    "full_name",
    "mistake",
    "needs_of",
    "phases_of",
    "ref_of",
    "selects",
    "spec",
    "workloads_of",
]
