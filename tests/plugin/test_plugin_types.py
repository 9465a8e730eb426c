"""The methods of ``chaos`` are what the schemas of the kinds say, and a type checker tells a user's mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meshchaos.experiment.specs import adapter
from meshchaos.run.vocabulary import load_kinds
from pytest_meshchaos.kinds import base
from tests.plugin.kinds_source import FOLDER, written

RIGHT = """
from pytest_meshchaos import Chaos, LiveMesh


def test_right(chaos: Chaos, mesh: LiveMesh) -> None:
    with mesh.client(from_="page") as client, chaos.delay(to="stars", fixedDelay="2s", percentage=50) as fault:
        status: int = client.get("http://stars:8000/").status_code
    at: float | None = fault.record.live_at
    with chaos.together(chaos.kill(workload="page", what="app"), chaos.fault("brownout", to="stars")):
        print(status, at)
    match: dict[str, str] = {}
    chaos.abort(to="stars", httpStatus=503, from_=["page"], match={"headers": {"x-user": "jason"}})
    chaos.authorization(deny={"to": "stars", "from": "page", "paths": match.get("paths", "/")})
"""
WRONG = {
    'chaos.delay(to="stars")': 'Missing named argument "fixedDelay"',
    'chaos.delay(to="stars", fixedDelay=2)': 'Argument "fixedDelay" to "delay"',
    'chaos.delay(to="stars", fixed_delay="2s")': 'Unexpected keyword argument "fixed_delay"',
    'chaos.kill(workload="page", what="node")': 'Argument "what" to "kill"',
    'chaos.abrot(to="stars")': '"Chaos" has no attribute "abrot"',
    'chaos.abort(to="stars", match={"header": {}})': 'Argument "match" to "abort"',
    'chaos.authorization(deny={"from": "page"})': 'Argument "deny" to "authorization"',
}


def test_the_methods_are_those_of_the_schemas() -> None:
    for name, source in written().items():
        assert (FOLDER / name).read_text("utf-8") == source, f"{name}: say python -m tests.plugin.kinds_source"


def test_the_forms_are_those_of_the_schemas() -> None:
    found = {}
    for kind in load_kinds().faults.values():
        found |= adapter(kind.kind.spec).json_schema(by_alias=True).get("$defs", {})
    found = {name: schema for name, schema in found.items() if hasattr(base, name)}
    assert sorted(found) == ["Calls", "HttpMatch"]
    for name, schema in found.items():
        form = getattr(base, name)
        assert sorted(form.__annotations__) == sorted(schema["properties"]), name
        assert sorted(form.__required_keys__) == sorted(schema.get("required", ())), name


def test_a_type_checker_knows_them(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    calls = "".join(f"    {call}\n" for call in WRONG)
    (tmp_path / "right.py").write_text(RIGHT, "utf-8")
    (tmp_path / "wrong.py").write_text(
        f"from pytest_meshchaos import Chaos\n\n\ndef test_wrong(chaos: Chaos) -> None:\n{calls}", "utf-8"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "right.py", "wrong.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    print(done.stdout + done.stderr)
    told = {line.partition(": error: ")[0]: line for line in done.stdout.splitlines() if ": error: " in line}
    assert list(told) == [f"wrong.py:{number}" for number in range(5, 5 + len(WRONG))]
    for line, words in zip(told.values(), WRONG.values(), strict=True):
        assert words in line
