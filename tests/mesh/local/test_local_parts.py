"""The parts of the local mesh that need no Envoy."""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path

import pytest

from meshchaos.errors import Conflict, Locked, MeshError, MeshGone, UserError
from meshchaos.mesh.changes import Create, EditObject
from meshchaos.mesh.edits import InsertNamed, SetField
from meshchaos.mesh.local import runtime
from meshchaos.mesh.local.addresses import GUARD_PORT, AddressBlock
from meshchaos.mesh.local.certificates import IDENTITY, ROOT, Authority
from meshchaos.mesh.local.journal import FileJournal
from meshchaos.mesh.local.processes import last_words
from meshchaos.mesh.local.spec import MeshSpec, ProgramSpec, StubSpec
from meshchaos.mesh.local.strain import strain
from meshchaos.mesh.local.wire import Connection, error_form, pack, raise_error
from meshchaos.mesh.local.xds import _read_request
from meshchaos.mesh.objects import Ref


def test_blocks_of_addresses_are_exclusive_and_released() -> None:
    one, two = AddressBlock(), AddressBlock()
    assert one.network != two.network
    first = one.network.removesuffix("/20")
    with socket.socket() as intruder, pytest.raises(OSError, match="in use"):
        intruder.bind((first, GUARD_PORT))
    assert one.replica() != one.replica()
    assert one.service() not in {one.replica(), first}
    two.close()
    one.close()
    with socket.socket() as successor:
        successor.bind((first, GUARD_PORT))


def test_a_block_that_is_used_up_says_so() -> None:
    block = AddressBlock()
    try:
        given = {block.replica() for _ in range(3071)}
        assert len(given) == 3071
        with pytest.raises(MeshError, match="3071"):
            block.replica()
    finally:
        block.close()


def test_identities_are_spiffe_names_of_our_own_authority() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = Authority("cluster.local")
    name = "spiffe://cluster.local/ns/shop/sa/web"
    secrets = authority.secrets(name)
    assert set(secrets) == {IDENTITY, ROOT}
    chain = x509.load_pem_x509_certificates(
        secrets[IDENTITY]["tls_certificate"]["certificate_chain"]["inline_string"].encode()
    )
    root = x509.load_pem_x509_certificate(secrets[ROOT]["validation_context"]["trusted_ca"]["inline_string"].encode())
    leaf = chain[0]
    leaf.verify_directly_issued_by(root)
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.UniformResourceIdentifier
    ) == [name]
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.secrets(name)[IDENTITY] is secrets[IDENTITY], "kept until half of its life is over"
    assert Authority("cluster.local", lifetime=0).secrets(name) != Authority("cluster.local").secrets(name)


def test_renewal_makes_a_new_key() -> None:
    authority = Authority("cluster.local", lifetime=0.0)
    assert authority.secrets("spiffe://a")[IDENTITY] != authority.secrets("spiffe://a")[IDENTITY]


def test_a_journal_survives_its_process(tmp_path: Path) -> None:
    now = [1000.0]
    path = tmp_path / "journal.json"
    edit = EditObject(
        Ref("VirtualService", "shop", "web"),
        (SetField(("spec", "a"), 1, 2), InsertNamed(("spec", "http"), 0, {"name": "x"})),
    )
    journal = FileJournal(path, "heal it", lambda: now[0])
    journal.open("run", "me@here", [edit, Create({"kind": "X", "metadata": {"name": "n"}})], 10)
    again = FileJournal(path, "heal it", lambda: now[0])
    assert again.entries() == journal.entries()
    assert again.expired() == []
    now[0] = 1011.0
    assert [entry.run_id for entry in again.expired()] == ["run"]
    again.renew("run", 10)
    assert again.expired() == []
    with pytest.raises(Locked, match="heal it"):
        again.open("other", "you@there", [], 1)
    again.close("run")
    assert FileJournal(path, "").entries() == []


def test_a_damaged_journal_is_an_error_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_text("[{")
    with pytest.raises(MeshError, match="cannot be read"):
        FileJournal(tmp_path / "journal.json", "")


def test_errors_travel_by_their_class() -> None:
    with pytest.raises(Conflict, match="somebody"):
        raise_error(error_form(Conflict("somebody wrote it")))
    try:
        {}["a bug"]
    except KeyError as bug:
        form = error_form(bug)
    with pytest.raises(RuntimeError, match="test_local_parts") as told:
        raise_error(form)
    assert "a bug" in str(told.value)


@pytest.mark.parametrize("answer", [b"", b"\x00\x00", pack({"result": 1})[:-1]])
def test_a_supervisor_that_ends_in_mid_answer_is_gone(tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        connection = Connection(str(tmp_path / "s"))
        with pytest.raises(MeshGone):
            connection.call("hello", timeout=5)
        thread.join()


def test_nobody_at_the_socket_is_gone(tmp_path: Path) -> None:
    with pytest.raises(MeshGone, match="does not answer"):
        Connection(str(tmp_path / "nobody"))


def test_a_runtime_folder_that_others_can_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime.root() == tmp_path / "meshchaos"
    (tmp_path / "meshchaos").chmod(0o755)
    with pytest.raises(UserError, match="not a private folder"):
        runtime.root()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 90)))
    with pytest.raises(UserError, match="too long"):
        runtime.root()


def test_last_words_are_the_telling_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == ""
    log.write_text("[info] one\n[2026][critical][main] no such port\n[info] exiting\n")
    assert last_words(log) == "[2026][critical][main] no such port"


def test_a_spec_survives_json() -> None:
    spec = MeshSpec(
        mesh="m",
        config="/c",
        folder="/",
        logs="/l",
        manifests=({"kind": "X"},),
        workloads={
            "a": StubSpec(({"url": "http://b/"},), 0.1, {"share": 0.5, "status": 500}, 3, {"stars": [5, None]}),
            "b": ProgramSpec((sys.executable, "-V"), 80, {"TOKEN": "x"}),
        },
        inject_all=True,
        endpoints=("10.1.0.0/16",),
        seed=7,
    )
    assert MeshSpec.loads(spec.dumps()) == spec


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({"node": {"id": "resource_names"}, "type_url": "t"}, ("", "")),
        ({"version_info": "7", "node": {}, "type_url": "t"}, ("", "7")),
        ({"version_info": "7", "node": {}, "resource_names": ["a|b"], "type_url": "t"}, ("a|b", "7")),
        ({"node": {}, "resource_names": ['q"x'], "type_url": "t"}, ('q"x', "")),
    ],
)
def test_polls_are_read_without_their_node(request_body: dict[str, object], expected: tuple[str, str]) -> None:
    assert _read_request(json.dumps(request_body, separators=(",", ":")).encode()) == expected


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, None),
        ({"stalls": 5}, None),
        ({"stalls": 6}, "got no CPU in 6 of 100 looks"),
        ({"ticks": 80}, "got no CPU for 19% of the time"),
        ({"cpu": 9.5}, "saturated (95% of its core)"),
        ({"saturated": 5000}, None),
        ({"pid": 2, "ticks": 3}, None),
    ],
)
def test_what_strains_a_stub(more: dict[str, float], said: str | None) -> None:
    before = {"pid": 1, "at": 50.0, "ticks": 0, "stalls": 0, "cpu": 0.0, "saturated": 0}
    after = {"pid": 1, "at": 60.0, "ticks": 100, "stalls": 0, "cpu": 2.0, "saturated": 0}
    found = strain("api-1.shop", before, {**after, **more})
    assert found is None if said is None else found is not None and said in found
