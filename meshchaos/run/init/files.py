"""The files of a first project: meshchaos.yaml, an experiment, a test. None that is there is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshchaos.errors import UserError
from meshchaos.experiment.config import FILE_NAME
from meshchaos.run.init.survey import Found

_CONFIG: Final = """\
# What meshchaos runs on: these manifests, on a local mesh of real Envoys.
meshes:
  {mesh}:
    local:
      manifests: {manifests}{inject}
      # Each Deployment is a stub that answers 200 at once. Say here what yours call, or run the real programs:
      # workloads:
      #   my-page: {{stub: {{latency: 5ms, calls: ["http://my-backend:8080/"]}}}}
      #   my-backend: {{command: ["python", "backend.py"], port: 8080}}
defaultMesh: {mesh}
"""
_INJECT: Final = """
      inject: all  # no label in the manifests asks for sidecars; Istio would inject none"""
_EXPERIMENT: Final = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: slow-{name}}}
spec:
  hypothesis: Answers come within a second although a tenth of the requests to {name} wait 200 ms.
  load: {{target: "{url}", from: {source}, rate: 50}}
  phases: {{warmup: 1s, baseline: 5s, fault: 10s, recovery: 5s}}
  faults:
    - delay: {{to: {service}, fixedDelay: 200ms, percentage: 10}}
  expect:
    - success: 98%
    - latency: {{p95: 1s}}
"""
_TEST: Final = '''\
"""What must hold while something is broken. Say: pytest"""


def test_slow_{word}(chaos, mesh):
    with mesh.client(from_="{source}") as client, chaos.delay(to="{service}", fixedDelay="200ms"):
        answer = client.get("{url}")
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 1
'''


@dataclass(frozen=True, slots=True)
class File:
    """``path`` below the working folder; ``what`` it is, in a few words."""

    path: Path
    text: str
    what: str


def files_of(found: Found, manifests: Sequence[str]) -> tuple[File, ...]:
    """meshchaos.yaml first."""
    mesh = re.sub(r"[^A-Za-z0-9._-]+", "-", found.mesh)
    config = _CONFIG.format(
        mesh=mesh, manifests=json.dumps(list(manifests)), inject=_INJECT if found.inject_all else ""
    )
    fields = {"name": found.name, "url": found.url, "source": found.source, "service": found.service}
    word = re.sub(r"\W", "_", found.name)
    stubs = f"{found.workloads} workload{'s' if found.workloads != 1 else ''}"
    return (
        File(Path(FILE_NAME), config, f"the local mesh {mesh}: {stubs}, each a stub until you say otherwise"),
        File(
            Path("experiments") / f"slow-{found.name}.chaos.yaml",
            _EXPERIMENT.format(**fields),
            f"requests to {found.url} while {found.service} is slow",
        ),
        File(
            Path("tests") / f"test_slow_{word}.py",
            _TEST.format(word=word, **fields),
            "such a fault in a test",
        ),
    )


def refuse_again(folder: Path) -> None:
    """Raises UserError where meshchaos.yaml is there already."""
    if (folder / FILE_NAME).exists():
        raise UserError(f"{FILE_NAME} is here already, and init writes over nothing: say meshchaos run experiments")


def write(files: Sequence[File], folder: Path) -> list[tuple[File, bool]]:
    """Each with whether it was written; one that is there already is left as it is. Raises UserError for one that
    cannot be written.
    """
    done = []
    for file in files:
        path = folder / file.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as out:
                out.write(file.text)
        except FileExistsError:
            done.append((file, False))
        except OSError as error:
            raise UserError(f"{file.path}: cannot be written: {error.strerror}") from error
        else:
            done.append((file, True))
    return done
