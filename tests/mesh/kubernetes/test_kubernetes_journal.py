"""The lock and the undo records in the cluster: their order, who may write, what is left when something dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_api import CUT, Failure, FakeApi

from meshchaos.errors import Locked, MeshError, Refused
from meshchaos.mesh.apply import apply_change, undo_all
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.kubernetes import journal as module
from meshchaos.mesh.kubernetes.api import connect
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.journal import KubernetesJournal
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.objects import Ref


def filter_in(namespace: str, name: str = "chaos-1-0", **spec: object) -> Create:
    return Create(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"configPatches": [], **spec},
        }
    )


CHANGES: list[Change] = [filter_in("shop"), filter_in("elsewhere")]


def another(api: FakeApi, folder: Path, clock: Callable[[], float] | None = None) -> KubernetesJournal:
    client = connect("fake", api.kubeconfig(folder))
    more = {"clock": clock} if clock is not None else {}
    return KubernetesJournal(client, Kinds.ask(client), ("shop",), **more)


def ours(api: FakeApi) -> list[tuple[str, str, str]]:
    return sorted(key for key in api.objects if key[0] in ("leases", "configmaps", "envoyfilters"))


def test_leases_then_records_then_changes_and_back(api: FakeApi, mesh: KubernetesMesh) -> None:
    mesh.journal.open("1", "me", CHANGES, 30)
    apply_change(mesh, CHANGES[0], "1")
    assert [line.rsplit("/", 1)[1] for line in api.written] == [
        "leases", "leases", "configmaps", "configmaps", "envoyfilters",
    ]  # fmt: skip
    assert {key[1] for key in ours(api) if key[0] == "leases"} == {"shop", "elsewhere"}
    undo_all(mesh, CHANGES, "1")
    mesh.journal.close("1")
    assert ours(api) == []
    mesh.journal.close("1")


def test_another_process_reads_what_was_written(api: FakeApi, mesh: KubernetesMesh, tmp_path: Path) -> None:
    mesh.journal.open("1", "me", CHANGES, 30)
    (entry,) = another(api, tmp_path).entries()
    assert (entry.run_id, entry.owner, entry.changes) == ("1", "me", tuple(CHANGES))
    for name in ("1", "2"):
        with pytest.raises(Locked, match=r"run 1 \(me\)"):
            another(api, tmp_path).open(name, "you", [], 30)
    assert len(ours(api)) == 4


def test_a_namespace_that_another_mesh_holds_is_refused_and_nothing_stays(
    api: FakeApi, mesh: KubernetesMesh, tmp_path: Path
) -> None:
    client = connect("fake", api.kubeconfig(tmp_path))
    KubernetesJournal(client, Kinds.ask(client), ("elsewhere",)).open("other", "they", [], 30)
    before = ours(api)
    with pytest.raises(Locked, match=r"run other \(they\) holds namespace elsewhere"):
        mesh.journal.open("1", "me", CHANGES, 30)
    assert ours(api) == before


def test_large_changes_come_in_parts(
    api: FakeApi, mesh: KubernetesMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_SIZE", 100)
    large = filter_in("shop", text="x" * 1000)
    mesh.journal.open("1", "me", [large, CHANGES[1]], 30)
    assert len([key for key in ours(api) if key[0] == "configmaps"]) > 10
    assert another(api, tmp_path).entries()[0].changes == (large, CHANGES[1])


def test_secrets_are_never_written_down(api: FakeApi, mesh: KubernetesMesh) -> None:
    secret = Create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}})
    with pytest.raises(Refused, match="Secret is never written into a journal"):
        mesh.journal.open("1", "me", [secret], 30)
    assert ours(api) == []


def test_whoever_was_healed_writes_nothing_any_more(api: FakeApi, mesh: KubernetesMesh, tmp_path: Path) -> None:
    mesh.journal.open("1", "me", CHANGES, 30)
    another(api, tmp_path).take_over("1")
    before = ours(api)
    with pytest.raises(Locked, match="run 1 does not hold this mesh any more"):
        apply_change(mesh, CHANGES[0], "1")
    with pytest.raises(Locked):
        mesh.journal.renew("1", 30)
    assert ours(api) == before
    (entry,) = another(api, tmp_path).entries()
    assert (entry.run_id, entry.expires) == ("1", 0.0)


def test_whoever_slept_through_its_lease_writes_nothing(
    api: FakeApi, mesh: KubernetesMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.journal.open("1", "me", CHANGES, 30)
    real = module.time.monotonic
    monkeypatch.setattr(module.time, "monotonic", lambda: real() + 31)
    asked = len(api.requests)
    with pytest.raises(Locked):
        apply_change(mesh, CHANGES[0], "1")
    assert not [line for line in api.requests[asked:] if not line.startswith("GET")]


WEB = Ref("DestinationRule", "shop", "web")


@pytest.mark.parametrize("asleep_at", ["POST", "PUT"])
def test_whoever_is_healed_in_the_middle_of_a_write_takes_it_back(
    api: FakeApi, mesh: KubernetesMesh, tmp_path: Path, asleep_at: str
) -> None:
    meta = {"name": "web", "namespace": "shop"}
    kind = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"}
    web = api.put("destinationrules", {**kind, "metadata": meta, "spec": {"host": "web"}})
    edit = recorded(web, EditObject(WEB, (SetField(("spec", "exportTo"), MISSING, ["."]),)))
    changes: list[Change] = [CHANGES[0], edit]
    mesh.journal.open("1", "me", changes, 30)
    call = mesh._api.call

    def asleep(method: str, path: str, *more: object) -> object:
        if method == asleep_at and "istio" in path:
            mesh._api.call = call  # type: ignore[method-assign]
            with KubernetesMesh.open(mesh._spec, tmp_path, guarded=False) as healer:
                healer.journal.take_over("1")
                assert undo_all(healer, changes, "1") == []
                healer.journal.close("1")
        return call(method, path, *more)  # type: ignore[arg-type]

    mesh._api.call = asleep  # type: ignore[assignment, method-assign]
    with pytest.raises(Locked):
        _ = [apply_change(mesh, change, "1") for change in changes]
    assert ours(api) == []
    found = api.objects["destinationrules", "shop", "web"]
    assert (found["spec"], found["metadata"].get("annotations")) == ({"host": "web"}, None)


def test_a_write_begins_only_with_time_enough_left(
    api: FakeApi, mesh: KubernetesMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.journal.open("1", "me", CHANGES, 30)
    renewed = api.objects["leases", "shop", "meshchaos"]["spec"]["renewTime"]
    apply_change(mesh, CHANGES[0], "1")
    assert api.objects["leases", "shop", "meshchaos"]["spec"]["renewTime"] == renewed
    real = module.time.monotonic
    monkeypatch.setattr(module.time, "monotonic", lambda: real() + 20)
    apply_change(mesh, CHANGES[1], "1")
    assert api.objects["leases", "shop", "meshchaos"]["spec"]["renewTime"] > renewed


def test_a_lease_ends_when_its_renewal_stood_still_not_by_clocks(
    api: FakeApi, mesh: KubernetesMesh, tmp_path: Path
) -> None:
    mesh.journal.open("1", "me", CHANGES, 30)
    now = [5000.0]  # decades behind the run's clock
    journal = another(api, tmp_path, lambda: now[0])
    assert journal.entries()[0].expires == 5030.0
    now[0] = 5029.0
    mesh.journal.renew("1", 30)
    assert journal.entries()[0].expires == 5059.0
    now[0] = 5060.0
    assert journal.entries()[0].expires == 5059.0


def test_a_renewal_meets_somebodys_write_to_the_lease(api: FakeApi, mesh: KubernetesMesh) -> None:
    mesh.journal.open("1", "me", CHANGES, 30)
    lease = dict(api.objects["leases", "shop", "meshchaos"])
    api.put("leases", {**lease, "metadata": {**lease["metadata"], "labels": {"a": "b"}}})
    mesh.journal.renew("1", 30)
    assert api.objects["leases", "shop", "meshchaos"]["metadata"]["labels"] == {"a": "b"}
    assert api.objects["leases", "shop", "meshchaos"]["spec"]["renewTime"] > lease["spec"]["renewTime"]


@pytest.mark.parametrize("died_after", range(5))
def test_opening_that_dies_after_any_write_is_healed(
    api: FakeApi, mesh: KubernetesMesh, tmp_path: Path, died_after: int
) -> None:
    writes = [0]
    call = mesh._api.call

    def counted(method: str, *more: object, **rest: object) -> object:
        if method != "GET":
            if writes[0] == died_after:
                raise KeyboardInterrupt
            writes[0] += 1
        return call(method, *more, **rest)  # type: ignore[arg-type]

    mesh._api.call = counted  # type: ignore[assignment, method-assign]

    def begin() -> None:
        mesh.journal.open("1", "me", CHANGES, 30)
        apply_change(mesh, CHANGES[0], "1")

    with pytest.raises(KeyboardInterrupt):
        begin()
    healer = KubernetesMesh.open(mesh._spec, tmp_path, guarded=False)
    for entry in healer.journal.entries():
        healer.journal.take_over(entry.run_id)
        assert undo_all(healer, entry.changes, entry.run_id) == []
        healer.journal.close(entry.run_id)
    healer.close()
    assert ours(api) == []


@pytest.mark.parametrize("plural", ["leases", "configmaps"])
def test_opening_whose_answers_are_cut_is_open_once(
    api: FakeApi, mesh: KubernetesMesh, tmp_path: Path, plural: str
) -> None:
    group = "/apis/coordination.k8s.io/v1" if plural == "leases" else "/api/v1"
    api.fail = [Failure(f"POST {group}/namespaces/shop/{plural}", CUT, 1)]
    mesh.journal.open("1", "me", CHANGES, 30)
    assert another(api, tmp_path).entries()[0].changes == tuple(CHANGES)
    mesh.journal.close("1")
    assert ours(api) == []


def test_a_record_that_cannot_be_written_means_that_nothing_begins(api: FakeApi, mesh: KubernetesMesh) -> None:
    api.fail = [Failure("POST /api/v1/namespaces/shop/configmaps", 403, 1, reason="Forbidden")]
    with pytest.raises(MeshError, match="may not do this"):
        mesh.journal.open("1", "me", CHANGES, 30)
    assert ours(api) == []
