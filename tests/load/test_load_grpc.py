"""gRPC loads: real Locust against the stub's own HTTP/2 server, which can be made to misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from load_server import Server, until

from meshchaos.errors import UserError
from meshchaos.experiment.model import Load, Request
from meshchaos.history.samples import GRPC, Outcome
from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.load.generator.grpc import MOST_STREAMS
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.load.messages import encode
from meshchaos.load.plan import plan_loads
from meshchaos.mesh.grpc import frame, status_of
from meshchaos.mesh.http2 import Farewell
from meshchaos.mesh.local.http1 import Message
from meshchaos.mesh.local.stub_http2 import Front
from meshchaos.mesh.local.stub_server import Respond
from meshchaos.mesh.seam import Entry

Drive = Callable[[LoadPlan], LocustDriver]
GET = RequestPlan("get", "POST", "/shop.Quotes/Get", {"Tier": "web"}, frame(b"\x08\x07"), 1.0)


class GrpcServer(Server):
    """``mode`` may also be ``farewell``: each connection is said to take no more, and answers what it has."""

    def _connection(self) -> Any:
        front = Front(lambda request, respond: self._handle(front, request, respond), lambda: None)
        self._connections.append(front)
        return front

    def _handle(self, connection: Any, request: Message, respond: Respond) -> None:
        if self.mode == "farewell":
            stream = 1 + 2 * sum(1 for _, seen in self.seen if seen.headers["peer"] == str(id(connection)))
            request.headers["peer"] = str(id(connection))
            self.seen.append((0.0, request))
            connection._transport.write(b"\0\0\x08\x07\0\0\0\0\0" + stream.to_bytes(4, "big") + b"\0\0\0\0")
            self._loop.call_later(0.05, respond, 200, b"{}")
            return
        super()._handle(connection, request, respond)

    @property
    def connections(self) -> int:
        return len(self._connections)


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    made = GrpcServer()
    yield made
    made.close()


@pytest.fixture
def aimed(plan: LoadPlan, server: GrpcServer) -> LoadPlan:
    target = "grpc://quotes:9000/shop.Quotes/Get"
    return replace(plan, target=target, requests=(GET,), entry=replace(plan.entry, address=server.address))


def test_calls_share_a_connection_and_each_has_its_status(server: GrpcServer, aimed: LoadPlan, drive: Drive) -> None:
    driver = drive(aimed)
    until(lambda: driver.poll().due >= 100)
    server.mode = 503
    until(lambda: driver.poll().due >= 150)
    driver.stop(5.0)
    rows = driver.samples().rows
    assert len(rows) == len(server.seen)
    assert set(rows["status"]) == {200}
    assert set(rows["outcome"]) == {Outcome.ANSWERED}
    assert set(rows["grpc"]) == {0, 14}
    assert (driver.samples().good() == (rows["grpc"] == 0)).all()
    assert driver.samples().good(((GRPC, GRPC), (GRPC + 14, GRPC + 14))).all()
    assert server.connections == 1
    _, request = server.seen[0]
    assert (request.method, request.target, request.body) == ("POST", "/shop.Quotes/Get", frame(b"\x08\x07"))
    assert request.headers["tier"] == "web"
    assert request.headers["te"] == "trailers"
    assert request.headers["host"] == "shop.example"
    assert len({request.headers["x-request-id"] for _, request in server.seen}) == len(rows)


@pytest.mark.parametrize(("mode", "outcome"), [("silent", Outcome.TIMEOUT), ("reset", Outcome.RESET)])
def test_a_call_without_an_answer_is_none(
    server: GrpcServer, aimed: LoadPlan, drive: Drive, mode: str, outcome: Outcome
) -> None:
    server.mode = mode
    driver = drive(replace(aimed, timeout=0.3))
    until(lambda: driver.poll().due >= 50)
    driver.stop(5.0)
    assert set(driver.samples().rows["outcome"]) == {outcome}
    assert not driver.samples().good().any()


def test_another_connection_where_one_is_full(server: GrpcServer, aimed: LoadPlan, drive: Drive) -> None:
    server.mode = "silent"
    driver = drive(replace(aimed, timeout=1.0, rate=200.0))
    until(lambda: driver.poll().in_flight >= 1.2 * MOST_STREAMS)
    assert server.connections >= 2
    server.mode = 200
    until(lambda: driver.poll().in_flight < 20)
    driver.stop(5.0)


def test_a_message_larger_than_the_windows_arrives_whole(server: GrpcServer, aimed: LoadPlan, drive: Drive) -> None:
    big = frame(b"x" * 300_000)
    driver = drive(replace(aimed, rate=20.0, requests=(replace(GET, body=big),)))
    until(lambda: driver.poll().due >= 10)
    driver.stop(5.0)
    assert driver.samples().good().all()
    assert {len(request.body) for _, request in server.seen} == {len(big)}


def test_a_server_that_takes_no_more_answers_what_it_has(server: GrpcServer, aimed: LoadPlan, drive: Drive) -> None:
    server.mode = "farewell"
    driver = drive(replace(aimed, rate=10.0))
    until(lambda: driver.poll().due >= 15)
    driver.stop(5.0)
    assert driver.samples().good().all()
    assert server.connections >= 10


def test_nobody_there_is_no_answer(aimed: LoadPlan, drive: Drive) -> None:
    driver = drive(replace(aimed, entry=replace(aimed.entry, address="127.0.0.1:9")))
    until(lambda: driver.poll().due >= 20)
    driver.stop(5.0)
    assert set(driver.samples().rows["outcome"]) == {Outcome.CONNECT}


def test_a_farewell_is_found_wherever_the_bytes_are_cut() -> None:
    data = b"\0\0\x02\x06\0\0\0\0\0ab"
    goaway = b"\0\0\x08\x07\0\0\0\0\0\x00\x00\x00\x05\0\0\0\0"
    stream = data + goaway + data
    for cut in range(len(stream)):
        farewell = Farewell()
        first, said = farewell.feed(stream[:cut])
        second, later = farewell.feed(stream[cut:])
        assert first + second == data + data
        assert [one for one in (said, later) if one is not None] == [5]


def test_an_answer_that_is_none_has_the_status_of_its_http_one() -> None:
    assert [status_of(code) for code in (200, 401, 403, 404, 429, 500, 503, 504)] == [2, 16, 7, 12, 14, 2, 14, 14]


def protoset(folder: Path, *, streaming: bool = False) -> Path:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

    found = FileDescriptorSet()
    file = found.file.add(name="shop.proto", package="shop", syntax="proto3")
    asked = file.message_type.add(name="Asked")
    integer, string = FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_STRING
    asked.field.add(name="number", number=1, type=integer, label=1)
    asked.field.add(name="tags", number=2, type=string, label=3)
    service = file.service.add(name="Quotes")
    service.method.add(name="Get", input_type=".shop.Asked", output_type=".shop.Asked", client_streaming=streaming)
    path = folder / "shop.protoset"
    path.write_bytes(found.SerializeToString())
    return path


def test_messages_are_made_by_the_protoset(tmp_path: Path) -> None:
    path = protoset(tmp_path)
    assert encode("/shop.Quotes/Get", '{"number": 7, "tags": ["a"]}', path) == b"\x08\x07\x12\x01a"
    assert encode("/shop.Quotes/Get", None, path) == b""
    assert encode("/any.Service/Call", None, None) == b""
    assert encode("/grpc.health.v1.Health/Check", '{"service": "shop"}', None) == b"\x0a\x04shop"


@pytest.mark.parametrize(
    ("call", "message", "said"),
    [
        ("/shop.Quotes/Got", "{}", "service shop.Quotes has no method Got, did you mean 'Get'"),
        ("/shop.Quote/Get", "{}", "has no service shop.Quote, did you mean 'shop.Quotes'"),
        ("/shop.Quotes/Get", '{"numbr": 7}', 'message of shop.Quotes/Get: .*"numbr"'),
        ("/shop.Quotes/Get", '{"number": "many"}', "message of shop.Quotes/Get: .*number"),
    ],
)
def test_a_message_that_does_not_fit_is_told(tmp_path: Path, call: str, message: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        encode(call, message, protoset(tmp_path))


def test_what_is_no_protoset_and_what_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nowhere: No such file"):
        encode("/shop.Quotes/Get", None, tmp_path / "nowhere")
    (tmp_path / "shop.proto").write_text('syntax = "proto3";')
    with pytest.raises(UserError, match="no compiled descriptor set"):
        encode("/shop.Quotes/Get", None, tmp_path / "shop.proto")
    with pytest.raises(UserError, match="is not known without `protoset`"):
        encode("/shop.Quotes/Get", '{"number": 7}', None)
    with pytest.raises(UserError, match="takes a stream of messages"):
        encode("/shop.Quotes/Get", None, protoset(tmp_path, streaming=True))


def test_a_plans_body_is_the_framed_message(tmp_path: Path) -> None:
    request = Request("get", "POST", "/shop.Quotes/Get", {}, None, message='{"number": 7}')
    load = Load(
        name="main",
        target="grpc://quotes:9000/shop.Quotes/Get",
        source="page",
        rate=10.0,
        arrivals="uniform",
        timeout=1.0,
        max_in_flight=20,
        requests=(request,),
        protoset=str(protoset(tmp_path)),
    )
    way = Entry("127.0.0.1:1", "quotes:9000", proxied=True, words="")
    (plan,) = plan_loads(
        (load,), entry=lambda _: way, reveal=str, run_id="00ab12cd", seed=1, folder=tmp_path, duration=1.0
    )
    assert plan.grpc
    assert plan.requests[0].body == b"\0\0\0\0\x02\x08\x07"
