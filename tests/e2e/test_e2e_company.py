"""Others on the same mesh: a second run, a colleague who edits or deletes what the fault is made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import EXPERIMENT, FILE, SHORT, Stage, kept_up, lines_with, long, said, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

OWNED = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stars, namespace: shop}
spec:
  hosts: [stars]
  http: [{name: theirs, route: [{destination: {host: stars}}], timeout: 2s}]
"""
AT_CLIENT = EXPERIMENT.replace("httpStatus: 503}", "httpStatus: 503, at: client}")


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        made.add_objects(OWNED)
        made.write(AT_CLIENT, "client.chaos.yaml")
        with kept_up(made):
            yield made


@pytest.fixture(autouse=True)
def healed(request: pytest.FixtureRequest) -> Iterator[None]:
    """What one test leaves, when it fails, is not the next one's."""
    yield
    if "up" in request.fixturenames:
        request.getfixturevalue("up").command("heal", "--force")


def test_a_second_run_on_one_mesh_is_refused(up: Stage) -> None:
    with up.running("run", FILE, "--set", "spec.phases.fault=4s") as first:
        first.until_said("baseline for 1 s")
        line = up.one_line(5, "run", FILE)
        assert "if you know it is over, say: meshchaos heal --mesh shop --force" in line
        held = up.command("heal")
        assert held.returncode == 4, held.stdout
        assert "may be alive; the mesh puts it back by itself in" in held.stdout
        assert "process " in line, "whose run it is"
        assert first.end() == 0, said(first)


def test_two_runs_on_meshes_of_their_own(shop: Stage) -> None:
    """In one runtime folder: each run has its own mesh, and neither knows of the other's."""
    with stage() as other:
        other.environment = {**shop.environment}
        with shop.running("run", FILE) as one, other.running("run", FILE) as two:
            assert one.end() == 0, said(one)
            assert two.end() == 0, said(two)
        assert shop.result()["runId"] != other.result()["runId"]
    shop.nothing_left()


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("mesh.delete(ref, mesh.get(ref)['metadata']['uid'])", ["the object was deleted"]),
        (
            "import json\nfound = mesh.get(ref)\n"
            "found['spec'] = json.loads(json.dumps(found['spec']).replace('503', '500'))\nmesh.replace(found)",
            ["kubectl-edit wrote it last (Update at "],
        ),
    ],
    ids=["deleted", "edited"],
)
def test_a_fault_that_somebody_takes_away(up: Stage, deed: str, words: list[str]) -> None:
    with up.running("run", SHORT, *long("fault")) as run:
        run.until_said("fault for 60 s")
        up.on_mesh(
            "name = next(o['metadata']['name'] for o in mesh.snapshot().objects if o['kind'] == 'EnvoyFilter')\n"
            f"ref = Ref('EnvoyFilter', 'shop', name)\n{deed}"
        )
        code = run.end()
    text = said(run)
    assert lines_with(text, " INVALID: the fault chaos-", "vanished in mid-phase", "EnvoyFilter chaos-", *words), text
    assert code in (3, 4), text
    result = up.newest()
    assert code == (4 if result["leftovers"] else 3)


def test_an_owners_edit_outlives_a_client_side_fault(up: Stage) -> None:
    with up.running("run", "client.chaos.yaml", *long("fault")) as run:
        run.until_said("fault for 60 s")
        up.on_mesh(
            "found = mesh.get(Ref('VirtualService', 'shop', 'stars'))\n"
            "assert len(found['spec']['http']) == 2, found\n"
            "found['spec']['http'][-1]['timeout'] = '1s'\n"
            "mesh.replace(found)\n"
        )
        assert run.end() == 3, said(run)
    assert lines_with(said(run), " INVALID: ", "VirtualService stars.shop was changed under it: kubectl-edit wrote it")
    result = up.newest()
    assert (result["verdict"], result["healed"], result["leftovers"]) == ("INVALID", True, [])
    up.on_mesh(
        "spec = mesh.get(Ref('VirtualService', 'shop', 'stars'))['spec']\n"
        "assert [(r['name'], r['timeout']) for r in spec['http']] == [('theirs', '1s')], spec\n"
    )
    assert up.command("heal").stdout == "nothing to heal\n"


def test_an_owner_who_writes_over_a_client_side_fault(up: Stage) -> None:
    """As a controller does that applies its own version again: INVALID, and its version stays."""
    with up.running("run", "client.chaos.yaml", *long("fault")) as run:
        run.until_said("fault for 60 s")
        up.on_mesh(
            "found = mesh.get(Ref('VirtualService', 'shop', 'stars'))\n"
            "found['spec']['http'] = [dict(found['spec']['http'][-1], timeout='3s')]\n"
            "mesh.replace(found)\n"
        )
        assert run.end() == 3, said(run)
    assert lines_with(said(run), " INVALID: ", "vanished in mid-phase: VirtualService stars.shop", "kubectl-edit")
    up.on_mesh(
        "spec = mesh.get(Ref('VirtualService', 'shop', 'stars'))['spec']\n"
        "assert [(r['name'], r['timeout']) for r in spec['http']] == [('theirs', '3s')], spec\n"
    )
    assert up.newest()["leftovers"] == []
    assert up.command("heal").stdout == "nothing to heal\n"
