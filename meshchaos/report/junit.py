"""JUnit XML from results, as ``pytest --junitxml`` has it of the same experiments: a test case for ``run``, for each
expectation and for ``heal``, with the verdict, its reason and the run as properties.

FAIL, INVALID and INCONCLUSIVE are a ``<failure>`` whose ``type`` they are; ERROR, and what could not be put back, an
``<error>``. The form is the "xunit2" of Jenkins' plug-in, which GitLab and others read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from meshchaos.errors import EvidenceError
from meshchaos.report.items import Outcome, failure_text, items_of, outcome
from meshchaos.run.result import Result, iso

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may hold, not even escaped (XML 1.0, 2.2)."""


def write(path: Path, results: Sequence[Result]) -> None:
    """One file, a test suite a run. Raises EvidenceError in one line."""
    root = document(results)
    indent(root)
    try:
        with path.open("wb") as file:
            ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise EvidenceError(f"cannot write {path}: {error.strerror}") from error


def document(results: Sequence[Result]) -> Element:
    """``<testsuites>``."""
    root = Element("testsuites", name="meshchaos")
    for result in results:
        root.append(_suite(result))
    return root


def _suite(result: Result) -> Element:
    data = {**result.to_json(), "folder": str(result.folder)}
    told = [(name, outcome(name, expectation, data)) for name, expectation in items_of(data)]
    bad = [one.verdict for _, one in told if one.verdict != "PASS"]
    seconds = f"{result.finished - result.started:.3f}"
    suite = Element(
        "testsuite",
        name=_clean(result.experiment),
        tests=str(len(told)),
        failures=str(len(bad) - bad.count("ERROR")),
        errors=str(bad.count("ERROR")),
        skipped="0",
        time=seconds,
        timestamp=str(iso(result.started)),
    )
    classname = _clean(f"{result.source.replace('/', '.')}.{result.experiment}")
    for name, one in told:
        case = SubElement(suite, "testcase", classname=classname, name=_clean(name))
        case.set("time", seconds if name == "run" else "0.000")
        _properties(case, one, result)
        if one.verdict != "PASS":
            kind = "error" if one.verdict == "ERROR" else "failure"
            element = SubElement(case, kind, type=one.verdict, message=_clean(f"{one.verdict}: {one.reason}"))
            element.text = _clean(failure_text(result.source, one, data))
    return suite


def _properties(case: Element, told: Outcome, result: Result) -> None:
    properties = SubElement(case, "properties")
    for name, value in (
        ("verdict", told.verdict),
        ("reason", told.reason),
        ("experiment", result.experiment),
        ("run", result.run_id),
        ("mesh", result.mesh),
        ("seed", str(result.seed)),
        ("folder", str(result.folder)),
    ):
        SubElement(properties, "property", name=f"meshchaos.{name}", value=_clean(value))


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
