"""Waits, turns and settings in any order: fillers and listener sounds keep their limits, and replies come."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import CancelResponse, CreateItem, CreateResponse, UpdateSession
from pipeline.effects import Effect, Emit
from pipeline.events import ErrorRaised, ItemAdded, ResponseDone, TranscriptDelta
from pipeline.extensions import Backchannel
from pipeline.items import MessageItem, OutputAudio
from pipeline.stages.backchannel_rules import BackchannelRules
from pipeline.stages.filler import FillerStage
from pipeline.stages.guarded import guarded
from pipeline.ticks import TICKS_PER_MS
from providers.contracts import LlmFinished, TextDelta
from providers.errors import OverloadedError
from tests.chance import examples
from tests.pipeline.playbook import user
from tests.pipeline.scripted import ScriptedLlm
from tests.pipeline.stages.stages import TwoModels, after, staged
from tests.virtual_time import in_virtual_time

# --- fillers -----------------------------------------------------------------------------------------

settings = st.fixed_dictionaries(
    {
        "enabled": st.sampled_from([True, True, True, False]),
        "initial_wait_timeout_ms": st.sampled_from([0, 500, 1200]),
        "min_filler_gap_ms": st.sampled_from([0, 3000, 8000]),
        "max_initial_per_turn": st.integers(0, 3),
        "hard_deadline_ms": st.sampled_from([0, 600, 2000]),
        "enable_filler_on_first_assistant_reply": st.booleans(),
    },
    optional={"small_model": st.sampled_from(["lab/small", "nowhere/small"])},
)
seconds = st.sampled_from([0.0, 0.3, 0.9, 2.0, 4.0])
ends = st.sampled_from(["Rather.", "", "fail", "cancel"])
turns = st.tuples(seconds, ends, st.none() | settings)
small = st.tuples(seconds, st.sampled_from(["Hm.", "", "x" * 300, "fail"]))


class Fillers:
    """Notes when fillers were said, and in which turn."""

    def __init__(self) -> None:
        self.said: list[float] = []
        self.in_turn = 0
        self.most_in_turn = 0

    def saw(self, effect: Effect) -> None:
        match effect:
            case Emit(ItemAdded(MessageItem(role="user"))):
                self.in_turn = 0
            case Emit(TranscriptDelta(_, delta)) if delta != "Rather.":
                self.said.append(asyncio.get_running_loop().time())
                self.in_turn += 1
                self.most_in_turn = max(self.most_in_turn, self.in_turn)


@examples(60)
@given(settings, small, st.lists(turns, min_size=1, max_size=6))
def test_fillers(first: dict[str, Any], phrase: tuple[float, str], turns: list[Any]) -> None:
    in_virtual_time(_fill)(first, phrase, turns)


async def _fill(first: dict[str, Any], phrase: tuple[float, str], turns: list[Any]) -> None:
    engines = TwoModels(others={"lab/small": _model(*phrase)})
    watcher = Fillers()
    used = [first]
    async with staged(guarded(FillerStage), engines, {"responsiveness": first}, greeted=False) as (
        session,
        client,
    ):
        session.watch(watcher)
        for count, (thinks, end, update) in enumerate(turns, 1):
            engines.llm_engine = _model(thinks, "Rather." if end == "cancel" else end)
            session.dispatch(CreateItem(user("Is it cold?")))
            session.dispatch(CreateResponse())
            if update is not None:
                await asyncio.sleep(0.4)
                session.dispatch(UpdateSession({"provider_data": {"responsiveness": update}}))
                used.append(update)
            if end == "cancel":
                await asyncio.sleep(thinks / 2)
                session.dispatch(CancelResponse())
            done = await client.wait(ResponseDone, count)
            spoken = [item for item in done.response.output if isinstance(item, MessageItem)]
            assert len(spoken) <= 1  # a filler opens no message of its own
            if end == "Rather." and done.response.status == "completed":
                (part,) = spoken[0].content
                assert isinstance(part, OutputAudio)
                assert part.transcript.endswith("Rather.")
        refused = [error for error in client.of(ErrorRaised) if "no active response" not in str(error.error)]
        assert refused == []

    assert watcher.most_in_turn <= max(wish["max_initial_per_turn"] for wish in used)
    gap = min(wish["min_filler_gap_ms"] for wish in used) / 1000
    assert all(b - a >= gap - 0.006 for a, b in zip(watcher.said, watcher.said[1:], strict=False))
    if not any(wish["enabled"] for wish in used):
        assert watcher.said == []


def _model(thinks: float, says: str) -> ScriptedLlm:
    if says == "fail":
        return after(thinks, OverloadedError("busy"))
    return after(thinks, *([TextDelta(says)] if says else []), LlmFinished("stop"))


# --- listener sounds ---------------------------------------------------------------------------------

FRAME = 512  # ticks
wishes = st.builds(
    Backchannel,
    enabled=st.sampled_from([True, True, True, False]),
    eval_interval_ms=st.sampled_from([100, 800]),
    min_speech_ms=st.sampled_from([0, 800]),
    min_gap_ms=st.sampled_from([0, 500, 4000]),
    max_per_turn=st.integers(0, 3),
    require_pause=st.booleans(),
)
steps = st.one_of(
    st.tuples(st.just("frames"), st.integers(1, 60), st.sampled_from([0.0, 0.4, 0.95])),
    st.sampled_from(
        ["open", "open", "close", "reply", "reply over", "sent", "stop", "sound", "sound", "silence", "fail"]
    ).map(lambda name: (name,)),
    st.tuples(st.just("configure"), wishes),
)


@examples(300)
@given(wishes, st.lists(steps, max_size=60))
def test_listener_sounds(first: Backchannel, steps: list[Any]) -> None:
    rules = BackchannelRules()
    rules.configure(first, 0.5)
    wish, tick, now = first, 0, 50.0
    deciding = replying = False
    heard_until, last = 0.0, None
    sounds = 0
    for name, *given_ in steps:
        match name:
            case "frames":
                for _ in range(given_[0]):
                    tick, now = tick + FRAME, now + 0.032
                    if rules.frame(tick - FRAME, tick, given_[1], now):
                        assert wish.enabled
                        assert rules.is_open
                        assert not deciding
                        assert not replying
                        assert now >= heard_until
                        assert sounds < wish.max_per_turn
                        assert last is None or tick - last >= wish.min_gap_ms * TICKS_PER_MS
                        deciding = True
            case "open" if wish.enabled:
                rules.turn_opened()
                deciding, sounds = False, 0
            case "close":
                rules.turn_closed()
                deciding = False
            case "reply":
                rules.reply_began("resp_1")
                replying = True
            case "reply over":
                rules.reply_over("resp_1")
                replying = False
            case "sent":
                rules.sent(0.5, now)
                heard_until = max(heard_until, now) + 0.5
            case "stop":
                rules.playback_stopped(now)
                heard_until = min(heard_until, now)
            case "sound" | "silence" | "fail" if deciding:
                rules.decided(sounded=name == "sound", rest=name == "fail")
                deciding = False
                sounds += name == "sound"
                last = last if name == "silence" else tick
            case "configure":
                if given_[0].enabled and not wish.enabled:
                    deciding = replying = False
                    sounds = 0
                wish = given_[0]
                rules.configure(wish, 0.5)
                if not wish.enabled:
                    rules.turn_closed()
                    deciding = False
