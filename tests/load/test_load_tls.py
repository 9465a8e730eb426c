"""Loads over TLS: real Locust against a real server, with a certificate that is believed and with one that is not."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from load_server import Server, until

from meshchaos.errors import UserError
from meshchaos.history.samples import Outcome
from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.mesh.client_tls import context_of, tls_of
from meshchaos.mesh.local.certificates import Authority
from meshchaos.mesh.seam import Tls
from meshchaos.run.probe import probe_load

Drive = Callable[[LoadPlan], LocustDriver]
AUTHORITY = Authority("cluster.local")


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """Files of a certificate and its key."""
    made = AUTHORITY.served(f"served-to-clients:{','.join(names)}")["tls_certificate"]
    files = folder / "cert.pem", folder / "key.pem"
    for file, part in zip(files, ("certificate_chain", "private_key"), strict=True):
        file.write_text(made[part]["inline_string"], "utf-8")
    return files


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path, "shop.example"))
    server = Server(context)
    yield server
    server.close()


@pytest.fixture
def over_tls(plan: LoadPlan, secure: Server) -> LoadPlan:
    tls = Tls("shop.example", AUTHORITY.root)
    return replace(plan, target="https://shop.example/", entry=replace(plan.entry, address=secure.address, tls=tls))


def test_requests_and_answers_of_any_size_go_through(secure: Server, over_tls: LoadPlan, drive: Drive) -> None:
    secure.body = b"x" * 300_000
    large = RequestPlan("pay", "POST", "/pay", {}, b"money" * 50_000, 1.0)
    driver = drive(replace(over_tls, requests=(*over_tls.requests, large)))
    until(lambda: driver.poll().due >= 150)
    driver.stop(5.0)
    samples = driver.samples()
    assert samples.good().all()
    assert len(samples.rows) == driver.poll().due == len(secure.seen)
    assert set(samples.rows["bytes"]) == {300_000}
    assert {request.headers["host"] for _, request in secure.seen} == {"shop.example"}
    assert {request.body for _, request in secure.seen} == {b"", large.body}
    assert len(secure._connections) < len(samples.rows) / 2, "connections are kept"


@pytest.mark.parametrize(
    "tls", [Tls("shop.example"), Tls("other.example", AUTHORITY.root)], ids=["nobody-trusts-it", "another-name"]
)
def test_a_certificate_that_is_not_believed_is_no_connection(
    secure: Server, over_tls: LoadPlan, drive: Drive, tls: Tls
) -> None:
    wrong = replace(over_tls, entry=replace(over_tls.entry, tls=tls))
    assert "shows a certificate that is not trusted: " in str(probe_load(wrong, 5.0))
    driver = drive(wrong)
    until(lambda: driver.poll().due >= 40)
    driver.stop(5.0)
    assert set(driver.samples().rows["outcome"]) == {Outcome.CONNECT}
    assert not secure.seen
    assert probe_load(over_tls, 5.0) is None


def test_a_server_that_hangs_up_or_says_nothing_is_told_apart(secure: Server, over_tls: LoadPlan, drive: Drive) -> None:
    secure.mode = "reset"
    driver = drive(replace(over_tls, timeout=1.0))
    until(lambda: driver.poll().due >= 40)
    secure.mode = "silent"
    until(lambda: driver.poll().due >= 80)
    driver.stop(5.0)
    assert set(driver.samples().rows["outcome"]) == {Outcome.RESET, Outcome.TIMEOUT}


def test_what_is_spoken_to_in_plaintext_is_no_connection(server: Server, over_tls: LoadPlan, drive: Drive) -> None:
    driver = drive(replace(over_tls, entry=replace(over_tls.entry, address=server.address)))
    until(lambda: driver.poll().due >= 40)
    driver.stop(5.0)
    assert set(driver.samples().rows["outcome"]) <= {Outcome.CONNECT, Outcome.TIMEOUT}


def test_files_that_do_not_do_are_named(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "client.example")
    nowhere, bare = tmp_path / "nowhere.pem", tmp_path / "bare.pem"
    bare.write_text("no certificate", "utf-8")
    context_of(tls_of(cert, cert, key))
    for files, words in (
        ((nowhere, None, None), r"gateway.caFile .*nowhere.pem cannot be read: No such file"),
        ((bare, None, None), r"gateway.caFile holds no certificate in PEM form"),
        ((None, nowhere, key), r"gateway.certFile .*nowhere.pem or its keyFile cannot be read: No such file"),
        ((None, cert, bare), r"gateway.certFile .*cert.pem and keyFile do not fit"),
    ):
        with pytest.raises(UserError, match=words):
            tls_of(*files)
