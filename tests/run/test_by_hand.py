"""One fault by hand, on fakes: the order of things, and that nothing is left whatever happens inside."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from meshchaos.errors import Conflict, FaultNotProved, Leftover, Locked, NotLive, UserError
from meshchaos.run.by_hand import ByHand
from meshchaos.run.rooms import Rooms
from tests.fakes import FakeClock, FakeMesh, FakeProver
from tests.run.bench import KINDS
from tests.run.shop import wait_for


class Hands:
    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock()
        self.mesh = FakeMesh(self.clock)
        self.before = self.mesh.without_versions()
        self.prover = FakeProver(0.5)
        rooms = Rooms(
            driver=None,  # type: ignore[arg-type]
            prover=lambda mesh, placement, run_id: self.prover,
            log_headers=lambda placements: (),
            probe=lambda load, timeout: None,
        )
        self.hand = ByHand(self.mesh, KINDS, rooms, folder, "meshchaos heal --mesh fake", clock=self.clock)

    def untouched(self) -> bool:
        return self.mesh.without_versions() == self.before and self.mesh.entries() == [] and self.hand.active is None


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


def test_live_inside_and_proved_on_leaving(hands: Hands) -> None:
    with hands.hand.fault("fake", {"edit": True}) as fault:
        assert fault.record.live_at is not None
        assert fault.record.gone_at is None
        (entry,) = hands.mesh.entries()
        assert entry.expires - entry.opened == 60
        assert not hands.untouched()
    calls = hands.mesh.calls
    assert calls.index("journal.open") < calls.index("observe") < calls.index("replace ratings")
    assert calls.index("confirm gone") < calls.index("journal.close")
    assert fault.record.gone_at is not None
    assert fault.record.injections[0].injected == 500
    assert hands.untouched()
    (history,) = hands.folder.glob("by-hand-fake-*/history.jsonl")
    steps = [json.loads(line).get("step") for line in history.read_text("utf-8").splitlines()]
    assert [step for step in steps if step] == ["applied", "live", "removed", "gone"]


def test_one_that_did_not_bite(hands: Hands) -> None:
    hands.prover = FakeProver(0.0)
    with (
        pytest.raises(FaultNotProved, match="fake on page -> ratings:9080: none of 1,000 requests"),
        hands.hand.fault("fake", {}),
    ):
        pass
    assert hands.untouched()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_tests_own_exception_comes_through(hands: Hands, error: type[BaseException]) -> None:
    hands.prover = FakeProver(0.0)
    with pytest.raises(error, match="mine"), hands.hand.fault("fake", {}):
        raise error("mine")
    assert hands.untouched()


def test_one_that_is_never_live(hands: Hands) -> None:
    hands.mesh.fail["confirm live"] = [NotLive("ratings-v1-1.shop: not there")] * 100
    with pytest.raises(NotLive, match="ratings-v1-1"), hands.hand.fault("fake", {}):
        pytest.fail("it was entered")
    assert hands.untouched()


def test_a_mesh_that_is_held(hands: Hands) -> None:
    hands.mesh.fail["journal.open"] = [Locked("somebody was quicker")]
    with pytest.raises(Locked, match="quicker"), hands.hand.fault("fake", {}):
        pytest.fail("it was entered")
    assert hands.untouched()
    hands.mesh.open("11111111", "somebody@elsewhere, process 1", (), 60.0)
    with pytest.raises(Locked, match="run 11111111"), hands.hand.fault("fake", {}):
        pytest.fail("it was entered")
    assert hands.mesh.writes() == []


def test_what_cannot_be_put_back(hands: Hands) -> None:
    hands.mesh.fail["delete"] = [Conflict("not yours")] * 10
    with pytest.raises(Leftover, match=r"could not put back: EnvoyFilter .* say: meshchaos heal --mesh fake"):
        with_nothing(hands)
    assert len(hands.mesh.entries()) == 1, "the journal stays open for heal"
    assert len(hands.hand.leftovers) == 1


def test_what_cannot_be_put_back_is_a_note_on_the_tests_own_exception(hands: Hands) -> None:
    hands.mesh.fail["delete"] = [Conflict("not yours")] * 10
    with pytest.raises(ValueError, match="mine") as caught, hands.hand.fault("fake", {}):
        raise ValueError("mine")
    assert "could not put back: EnvoyFilter" in caught.value.__notes__[0]


def with_nothing(hands: Hands) -> None:
    with hands.hand.fault("fake", {}):
        pass


def test_one_at_a_time(hands: Hands) -> None:
    with (
        hands.hand.fault("fake", {}),
        pytest.raises(UserError, match=r"chaos\.fake is live already; write both as `with chaos\.together"),
        hands.hand.fault("fake", {"edit": True}),
    ):
        pytest.fail("it was entered")
    assert hands.untouched()


def test_several_together(hands: Hands) -> None:
    both = hands.hand.together([hands.hand.fault("fake", {}), hands.hand.fault("fake", {"edit": True})])
    with both as faults:
        first, second = faults.records
        assert (first.index, second.index) == (0, 1)
        assert faults.window == (max(first.live_at or 0.0, second.live_at or 0.0), float("inf"))
        (entry,) = hands.mesh.entries()
        assert len(entry.changes) == 2
    assert faults.window[1] < float("inf")
    removed = [call for call in hands.mesh.calls if call.split()[0] in ("create", "replace", "delete")]
    assert [call.split()[0] for call in removed] == ["create", "replace", "replace", "delete"], removed
    assert hands.untouched()


def test_one_that_somebody_took_away(hands: Hands) -> None:
    """What the test saw inside was then no longer under the fault."""

    def taken() -> None:
        with hands.hand.fault("fake", {}):
            (ref,) = [ref for ref in hands.mesh.objects if ref.name.startswith("chaos-")]
            hands.mesh.delete(ref, hands.mesh.get(ref)["metadata"]["uid"])

    with pytest.raises(FaultNotProved, match="vanished in mid-phase"):
        taken()
    assert hands.untouched()


def test_an_error_comes_without_the_way_to_it(hands: Hands) -> None:
    hands.prover = FakeProver(0.0)
    with pytest.raises(FaultNotProved) as caught, hands.hand.fault("fake", {}):
        pass
    assert [entry.frame.f_locals["__tracebackhide__"] for entry in caught.traceback[1:]] == [True, True]
    assert caught.value.__cause__ is None


def test_one_that_was_never_left(hands: Hands) -> None:
    hands.hand.fault("fake", {}).__enter__()
    assert not hands.untouched()
    hands.hand.close()
    assert hands.untouched()


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda hand: hand.fault("fakes", {}), "there is no fault 'fakes'; there are fake"),
        (lambda hand: hand.fault("fake", {"edits": True}), "chaos.fake: .*edits"),
        (lambda hand: hand.fault("fake", {}).record, "write `with chaos.fake"),
    ],
)
def test_mistakes(hands: Hands, use: Callable[[ByHand], object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        use(hands.hand)


def test_awaited(hands: Hands) -> None:
    async def test() -> None:
        async with hands.hand.fault("fake", {}) as fault:
            assert fault.record.live_at is not None
            await asyncio.sleep(0)

    asyncio.run(test())
    assert hands.untouched()


def test_awaited_and_cancelled(hands: Hands) -> None:
    async def hold(inside: asyncio.Event) -> None:
        async with hands.hand.fault("fake", {}):
            inside.set()
            await asyncio.Event().wait()

    async def test() -> None:
        inside = asyncio.Event()
        task = asyncio.create_task(hold(inside))
        await inside.wait()
        assert not hands.untouched()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hands.untouched()

    asyncio.run(test())


def test_it_is_kept_from_expiring_inside(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshchaos.run.fault_by_hand.LIFETIME", 0.04)

    def renewed() -> int:
        return hands.mesh.calls.count("journal.renew")

    with hands.hand.fault("fake", {}):
        before = renewed()
        wait_for(lambda: renewed() >= before + 3, "renewals")
    after = renewed()
    assert hands.mesh.calls[-1] != "journal.renew"
    assert not [one for one in threading.enumerate() if one.name == "meshchaos-journal"]
    assert renewed() == after
    assert hands.untouched()


def test_a_renewal_that_is_refused_is_the_last(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshchaos.run.fault_by_hand.LIFETIME", 0.04)
    with hands.hand.fault("fake", {}):
        hands.mesh.fail["journal.renew"] = [Locked("expired and healed")]
        wait_for(lambda: not [one for one in threading.enumerate() if one.name == "meshchaos-journal"], "it gives up")
    assert hands.untouched()
