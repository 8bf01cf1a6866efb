"""A stage that breaks costs its session nothing but the stage."""

import asyncio
import gc

import pytest

from pipeline.commands import Command
from pipeline.config import SessionConfig
from pipeline.effects import Effect
from pipeline.events import ErrorRaised
from pipeline.stages.contracts import Host
from pipeline.stages.guarded import guarded
from tests.pipeline.scripted import Engines, replying
from tests.pipeline.stages.stages import ask_for_reply, staged


class Clumsy:
    """Raises in one of its methods; counts the calls of the others."""

    def __init__(self, host: Host, breaks_in: str) -> None:
        self.host = host
        self.breaks_in = breaks_in
        self.calls: list[str] = []

    def configure(self, config: SessionConfig) -> bool:
        self._called("configure")
        return True

    def took(self, command: Command) -> None:
        self._called("took")

    def saw(self, effect: Effect) -> None:
        self._called("saw")

    def close(self) -> None:
        self._called("close")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self.breaks_in:
            raise ZeroDivisionError(name)


@pytest.mark.parametrize("method", ["configure", "took", "saw", "close"])
async def test_a_stage_that_breaks_is_left_out(method: str, caplog: pytest.LogCaptureFixture) -> None:
    made: list[Clumsy] = []

    def make(host: Host) -> Clumsy:
        made.append(Clumsy(host, method))
        return made[0]

    async with staged(guarded(make), Engines(replying("Yes.")), {}) as (session, client):
        done = await ask_for_reply(session, client)
        assert done.response.status == "completed"
        assert client.of(ErrorRaised) == []

    assert made[0].calls.count(method) == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_task_that_breaks_is_no_more_than_logged(caplog: pytest.LogCaptureFixture) -> None:
    broke = asyncio.Event()

    class Hasty(Clumsy):
        def configure(self, config: SessionConfig) -> bool:
            self.host.spawn(self._break(), "haste")
            return True

        async def _break(self) -> None:
            broke.set()
            raise ZeroDivisionError

    async with staged(guarded(lambda host: Hasty(host, "")), Engines(replying("Yes.")), {}) as (
        session,
        client,
    ):
        await broke.wait()
        assert (await ask_for_reply(session, client)).response.status == "completed"

    assert ["haste broke" in record.message for record in caplog.records] == [True]


async def test_a_task_that_is_cancelled_at_once_leaves_nothing_behind(
    recwarn: pytest.WarningsRecorder,
) -> None:
    class Fickle(Clumsy):
        def configure(self, config: SessionConfig) -> bool:
            self.host.spawn(asyncio.sleep(10), "nothing").cancel()
            return False

    async with staged(guarded(lambda host: Fickle(host, "")), Engines(replying("Yes.")), {}) as (
        session,
        client,
    ):
        await ask_for_reply(session, client)
    gc.collect()

    assert [str(warning.message) for warning in recwarn] == []


async def test_the_session_is_the_same_behind_the_guard() -> None:
    hosts: list[Host] = []

    def make(host: Host) -> Clumsy:
        hosts.append(host)
        return Clumsy(host, "")

    engines = Engines()
    async with staged(guarded(make), engines, {}) as (session, _):
        (host,) = hosts
        assert host.engines is engines
        assert host.caller == session.caller
        assert host.config is session.config
        assert list(host.items) == list(session.items)
