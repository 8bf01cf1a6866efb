"""Filler speech in whole sessions: said when the wait is long, and part of the reply from then on."""

import asyncio
from typing import Any

import pytest

from pipeline.commands import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    ResponseParams,
    UpdateSession,
)
from pipeline.config import Patch
from pipeline.events import (
    AudioDelta,
    OutputItemAdded,
    ResponseCreated,
    ResponseDone,
)
from pipeline.items import FunctionCall, FunctionCallOutput
from pipeline.stages.filler import FillerStage
from providers.contracts import (
    LlmFinished,
    TextDelta,
)
from providers.errors import OverloadedError
from tests.pipeline.playbook import text_of, user
from tests.pipeline.scripted import Engines, ScriptedLlm, ScriptedTts, replying
from tests.pipeline.stages.stages import TwoModels, after, ask_for_reply, assistant, staged, transcript
from tests.pipeline.stages.waiting import CALL, REPLY, TEXT, WEATHER, Clock, said, wanted
from tests.virtual_time import in_virtual_time

# --- said, or not ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_slow_reply_begins_with_a_phrase() -> None:
    tts = ScriptedTts()
    async with staged(FillerStage, Engines(after(3.0, *REPLY), tts_engine=tts), wanted()) as (
        session,
        client,
    ):
        clock = Clock()
        session.watch(clock)
        done = await ask_for_reply(session, client)

        assert clock.at == [1.2]
        assert transcript(client) == ["One moment. ", "Rather."]
        assert said(done) == "One moment. Rather."
        assert done.response.status == "completed"
        assert tts.segments == ["One moment. ", "Rather."]
        assert len(client.of(OutputItemAdded)) == 1
        # The phrase was heard while the model was still silent.
        kinds = client.names()
        assert kinds.index("AudioDelta") < len(kinds) - 1 - kinds[::-1].index("TranscriptDelta")
        assert sum(len(delta.pcm) for delta in client.of(AudioDelta)) == 480 * len("One moment. Rather.")


@in_virtual_time
async def test_the_model_reads_later_what_was_said() -> None:
    llm = after(3.0, *REPLY)
    async with staged(FillerStage, Engines(llm), wanted()) as (session, client):
        await ask_for_reply(session, client)
        await ask_for_reply(session, client, "And tomorrow?")

    assert text_of(llm.requests[-1])[-2:] == ["assistant: One moment. Rather.", "user: And tomorrow?"]


@in_virtual_time
@pytest.mark.parametrize("thinks", [0.0, 1.1])
async def test_a_model_that_answers_in_time_is_not_interfered_with(thinks: float) -> None:
    async with staged(FillerStage, Engines(after(thinks, *REPLY)), wanted()) as (session, client):
        done = await ask_for_reply(session, client)
        assert said(done) == "Rather."


@in_virtual_time
@pytest.mark.parametrize("provider_data", [{}, wanted(enabled=False), {"responsiveness": None}])
async def test_nothing_is_said_unless_it_was_asked_for(provider_data: dict[str, Any]) -> None:
    async with staged(FillerStage, Engines(after(9.0, *REPLY)), provider_data) as (session, client):
        assert said(await ask_for_reply(session, client)) == "Rather."


@in_virtual_time
async def test_written_replies_have_no_filler() -> None:
    async with staged(FillerStage, Engines(after(9.0, *REPLY)), wanted(), TEXT) as (session, client):
        done = await ask_for_reply(session, client)
        assert done.response.output == (assistant("Rather.", done.response.output[0].id),)


@in_virtual_time
async def test_neither_has_a_reply_beside_the_conversation() -> None:
    async with staged(FillerStage, Engines(after(9.0, *REPLY)), wanted()) as (session, client):
        session.dispatch(CreateResponse(ResponseParams(in_conversation=False)))
        assert said(await client.wait(ResponseDone)) == "Rather."


@in_virtual_time
async def test_a_single_response_may_be_written_in_a_session_that_speaks() -> None:
    async with staged(FillerStage, Engines(after(9.0, *REPLY)), wanted()) as (session, client):
        session.dispatch(CreateResponse(ResponseParams(TEXT)))
        done = await client.wait(ResponseDone)
        assert done.response.output == (assistant("Rather.", done.response.output[0].id),)


@in_virtual_time
async def test_the_first_reply_has_one_only_where_it_is_wanted() -> None:
    async with staged(FillerStage, Engines(after(3.0, *REPLY)), wanted(), greeted=False) as (session, client):
        assert said(await ask_for_reply(session, client)) == "Rather."
        assert said(await ask_for_reply(session, client)) == "One moment. Rather."

    eager = wanted(enable_filler_on_first_assistant_reply=True)
    async with staged(FillerStage, Engines(after(3.0, *REPLY)), eager, greeted=False) as (session, client):
        assert said(await ask_for_reply(session, client)) == "One moment. Rather."


# --- how often ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_fillers_keep_their_distance_and_take_turns() -> None:
    near = wanted(min_filler_gap_ms=8000)
    async with staged(FillerStage, Engines(after(3.0, *REPLY)), near) as (session, client):
        heard = [said(await ask_for_reply(session, client)) for _ in range(5)]

    # One at 1.2 s; the next may not come before 9.2 s, which is in the fourth wait.
    assert heard == ["One moment. Rather.", "Rather.", "Rather.", "Let me see. Rather.", "Rather."]


@in_virtual_time
async def test_a_turn_has_one_filler_even_where_functions_are_called() -> None:
    far = wanted(min_filler_gap_ms=0)
    engines = Engines(after(3.0, *CALL))
    async with staged(FillerStage, engines, far, WEATHER) as (session, client):
        first = await ask_for_reply(session, client)
        assert said(first) == "One moment. "
        (_, call) = first.response.output
        assert isinstance(call, FunctionCall)
        assert (call.name, call.arguments) == ("weather", "{}")

        engines.llm_engine = llm = after(3.0, *REPLY)
        session.dispatch(CreateItem(FunctionCallOutput("", call.call_id, "3 degrees")))
        session.dispatch(CreateResponse())
        assert said(await client.wait(ResponseDone, 2)) == "Rather."
        assert text_of(llm.requests[0])[-2:] == [
            "assistant: One moment.  weather({})",
            "tool: weather: 3 degrees",
        ]


@in_virtual_time
async def test_a_very_long_wait_may_have_several() -> None:
    often = wanted(min_filler_gap_ms=2000, max_initial_per_turn=3)
    async with staged(FillerStage, Engines(after(9.0, *REPLY)), often) as (session, client):
        assert said(await ask_for_reply(session, client)) == "One moment. Let me see. Let me think. Rather."


@in_virtual_time
async def test_a_reply_that_has_begun_may_falter_in_peace() -> None:
    class Faltering(ScriptedLlm):
        async def generate(self, request: Any) -> Any:
            await asyncio.sleep(2.0)
            yield TextDelta("Well. ")
            await asyncio.sleep(6.0)
            yield TextDelta("Rather.")
            yield LlmFinished("stop")

    often = wanted(min_filler_gap_ms=0, max_initial_per_turn=9)
    async with staged(FillerStage, Engines(Faltering()), often) as (session, client):
        assert said(await ask_for_reply(session, client)) == "One moment. Well. Rather."


@in_virtual_time
async def test_a_call_that_comes_first_leaves_no_room_for_a_filler() -> None:
    script = (CALL[0], LlmFinished("tool_calls"))

    class Slow(ScriptedLlm):
        async def generate(self, request: Any) -> Any:
            yield script[0]
            await asyncio.sleep(9.0)
            yield script[1]

    async with staged(FillerStage, Engines(Slow()), wanted(), WEATHER) as (session, client):
        done = await ask_for_reply(session, client)
        assert [type(item) for item in done.response.output] == [FunctionCall]


# --- whose phrase ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_small_model_writes_the_phrase() -> None:
    small = after(0.5, TextDelta('"Good question"'), LlmFinished("stop"))
    engines = TwoModels(after(3.0, *REPLY), others={"lab/small": small})
    settings = wanted(small_model="lab/small", history_tail_items=1, temperature=0.3, max_tokens=9)
    async with staged(FillerStage, engines, settings) as (session, client):
        clock = Clock()
        session.watch(clock)
        assert said(await ask_for_reply(session, client)) == "Good question. Rather."
        assert clock.at == [1.7]

    (request,) = small.requests
    assert (request.temperature, request.max_output_tokens) == (0.3, 9)
    assert "User: Is it cold?" in text_of(request)[1]
    assert "Good evening" not in text_of(request)[1]


@in_virtual_time
async def test_the_client_may_say_what_the_small_model_is_told() -> None:
    small = after(0.5, TextDelta("Hm."), LlmFinished("stop"))
    engines = TwoModels(after(3.0, *REPLY), others={"lab/small": small})
    settings = wanted(small_model="lab/small", prompt_template="Hum like a pirate.")
    async with staged(FillerStage, engines, settings) as (session, client):
        assert said(await ask_for_reply(session, client)) == "Hm. Rather."

    assert text_of(small.requests[0])[0] == "system: Hum like a pirate."


@in_virtual_time
async def test_an_answer_that_overtakes_the_phrase_is_not_held_up() -> None:
    small = after(1.9, TextDelta("Hm."), LlmFinished("stop"))
    engines = TwoModels(after(2.0, *REPLY), others={"lab/small": small})
    async with staged(FillerStage, engines, wanted(small_model="lab/small")) as (session, client):
        assert said(await ask_for_reply(session, client)) == "Rather."
        assert small.closed.is_set()  # nobody waits for it any more


@in_virtual_time
async def test_a_phrase_that_comes_too_late_is_not_said() -> None:
    small = after(2.5, TextDelta("Hm."), LlmFinished("stop"))
    engines = TwoModels(after(9.0, *REPLY), others={"lab/small": small})
    async with staged(FillerStage, engines, wanted(small_model="lab/small")) as (session, client):
        assert said(await ask_for_reply(session, client)) == "Rather."


@in_virtual_time
@pytest.mark.parametrize(
    "small",
    [replying("x" * 250), ScriptedLlm(OverloadedError("no capacity")), ScriptedLlm(ZeroDivisionError())],
)
async def test_a_small_model_that_fails_is_replaced(small: ScriptedLlm) -> None:
    engines = TwoModels(after(3.0, *REPLY), others={"lab/small": small})
    async with staged(FillerStage, engines, wanted(small_model="lab/small")) as (session, client):
        assert said(await ask_for_reply(session, client)) == "One moment. Rather."


@in_virtual_time
async def test_a_wrong_name_is_complained_about_once(caplog: pytest.LogCaptureFixture) -> None:
    settings = wanted(small_model="nowhere/small", min_filler_gap_ms=0)
    async with staged(FillerStage, Engines(after(3.0, *REPLY)), settings) as (session, client):
        heard = [said(await ask_for_reply(session, client)) for _ in range(3)]

    assert heard == ["One moment. Rather.", "Let me see. Rather.", "Let me think. Rather."]
    assert [record.message for record in caplog.records] == [
        "filler speech: There is no model 'nowhere/small'."
    ]


@in_virtual_time
@pytest.mark.parametrize(
    ("settings", "patch", "phrase"),
    [
        ({"pause_text": "Bear with me"}, {}, "Bear with me. "),
        ({"pause_text": "..."}, {}, "One moment. "),
        ({}, {"audio": {"input": {"transcription": {"language": "de-AT"}}}}, "Einen Moment. "),
    ],
)
async def test_without_a_small_model_it_is_a_phrase_that_is_known(
    settings: dict[str, Any], patch: Patch, phrase: str
) -> None:
    async with staged(FillerStage, Engines(after(3.0, *REPLY)), wanted(**settings), patch) as (
        session,
        client,
    ):
        assert said(await ask_for_reply(session, client)) == f"{phrase}Rather."


# --- how it ends -------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_model_that_fails_after_a_filler_fails_the_response() -> None:
    engines = Engines(after(3.0, OverloadedError("no capacity")))
    async with staged(FillerStage, engines, wanted()) as (session, client):
        done = await ask_for_reply(session, client)
        assert (done.response.status, said(done)) == ("failed", "One moment. ")
        assert done.response.output[0].status == "incomplete"  # type: ignore[union-attr]

        engines.llm_engine = replying("Better now.")
        assert said(await ask_for_reply(session, client)) == "Better now. "


@in_virtual_time
@pytest.mark.parametrize("at", [0.5, 1.5])
async def test_a_response_that_is_cancelled_gets_no_filler_later(at: float) -> None:
    small = after(1.0, TextDelta("Hm."), LlmFinished("stop"))
    engines = TwoModels(after(9.0, *REPLY), others={"lab/small": small})
    async with staged(FillerStage, engines, wanted(small_model="lab/small")) as (session, client):
        session.dispatch(CreateItem(user("Is it cold?")))
        session.dispatch(CreateResponse())
        await asyncio.sleep(at)
        session.dispatch(CancelResponse())
        assert (await client.wait(ResponseDone)).response.output == ()
        await asyncio.sleep(5)
        assert transcript(client) == []
        assert small.closed.is_set() == (at > 1.2)


@in_virtual_time
async def test_switching_it_off_and_on_counts_from_the_next_response_on() -> None:
    async with staged(FillerStage, Engines(after(3.0, *REPLY)), wanted()) as (session, client):
        session.dispatch(CreateItem(user("Is it cold?")))
        session.dispatch(CreateResponse())
        await client.wait(ResponseCreated)
        session.dispatch(UpdateSession({"provider_data": wanted(enabled=False)}))
        session.dispatch(UpdateSession({"provider_data": wanted()}))
        assert said(await client.wait(ResponseDone)) == "Rather."
        assert said(await ask_for_reply(session, client)) == "One moment. Rather."


@in_virtual_time
async def test_a_session_that_ends_meanwhile_leaves_nothing_behind() -> None:
    clock = asyncio.get_running_loop()
    small = ScriptedLlm(asyncio.Event())
    engines = TwoModels(ScriptedLlm(asyncio.Event()), others={"lab/small": small})
    for at in (0.5, 1.5):
        began = clock.time()
        async with staged(FillerStage, engines, wanted(small_model="lab/small")) as (session, _):
            session.dispatch(CreateItem(user("Is it cold?")))
            session.dispatch(CreateResponse())
            await asyncio.sleep(at)
        assert clock.time() - began == pytest.approx(at)  # and nobody waited for the phrase
    assert len(small.requests) == 1
