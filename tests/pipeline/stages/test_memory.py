"""What a session remembers: when notes are written, what becomes of them, and that nobody waits for them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from pipeline.commands import (
    CancelResponse,
    Command,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    ResponseParams,
    RetrieveItem,
    UpdateSession,
)
from pipeline.config import Patch
from pipeline.events import (
    ItemRetrieved,
    OutputItemAdded,
    ResponseCreated,
    ResponseDone,
    SessionUpdated,
    SpeechStarted,
    TextDelta,
)
from pipeline.extensions import MemoryState
from pipeline.items import FunctionCall, FunctionCallOutput
from pipeline.stages.memory import MemoryStage
from providers.contracts import (
    Caller,
    LlmFinished,
    SttEvent,
    ToolCallDelta,
    ToolCallStarted,
    TranscriptFinal,
)
from providers.errors import OverloadedError
from tests.pipeline.playbook import session_config, user
from tests.pipeline.scripted import ScriptedStt
from tests.pipeline.sessions import tone
from tests.pipeline.stages.remembering import (
    TwoHanded,
    instructions_in,
    notes,
    remembering,
    sent_back,
    state_of,
    taken_down,
    turn,
)
from tests.virtual_time import in_virtual_time

ANN = notes("The user is called Ann.", summary="They said hello.")
OLD = MemoryState(3, ("The user lives in Rome.",), "About Rome.", "- The user lives in Rome.", 0, 12, 0)
QUIET = 30.0  # virtual seconds, longer than anybody waits for notes


def change(**memory: object) -> UpdateSession:
    return UpdateSession({"provider_data": {"memory": memory}})


async def until_quiet() -> None:
    await asyncio.sleep(QUIET)


# --- when ---------------------------------------------------------------------------------------------


@in_virtual_time
async def test_the_notes_are_written_after_as_many_turns_as_were_asked_for() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm, {"turn_interval": 3}) as (session, client):
        for text in ("Hi", "I am Ann"):
            await turn(session, client, text)
        await until_quiet()
        assert not llm.asked
        await turn(session, client, "Hello?")
        state = state_of(await client.wait(SessionUpdated))

        assert taken_down(llm.asked[0]) == [
            "User: Hi",
            "Assistant: Fine.",
            "User: I am Ann",
            "Assistant: Fine.",
            "User: Hello?",
            "Assistant: Fine.",
        ]
        assert state == MemoryState(
            version=1,
            facts=("The user is called Ann.",),
            summary="They said hello.",
            context_text="- The user is called Ann.\n\nThey said hello.",
            turns_since_gen=0,
            total_turns=3,
            items_trimmed=0,
        )
        assert state_of(session) == state


@in_virtual_time
async def test_the_next_reply_is_made_in_the_knowledge_of_the_notes() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm) as (session, client):
        await turn(session, client, "I am Ann")
        await client.wait(SessionUpdated)
        await turn(session, client, "Who am I?")

        before, after = map(instructions_in, llm.requests)
        assert before == "Be kind."
        assert after.startswith("Be kind.\n\n")
        assert "<memory>\n- The user is called Ann.\n\nThey said hello.\n</memory>" in after


@in_virtual_time
async def test_the_model_that_writes_is_given_what_it_wrote_before() -> None:
    llm = TwoHanded(ANN, notes("The user is called Anna.", summary="A name was corrected."))
    async with remembering(llm, {"max_transcript_items": 2}) as (session, client):
        await turn(session, client, "I am Ann")
        await client.wait(SessionUpdated)
        await turn(session, client, "No, Anna")
        state = state_of(await client.wait(SessionUpdated, 2))

        data = llm.asked[1].messages[1].text  # type: ignore[union-attr]
        assert "<facts>\n- The user is called Ann.\n</facts>" in data
        assert "<summary>\nThey said hello.\n</summary>" in data
        assert taken_down(llm.asked[1]) == ["User: No, Anna", "Assistant: Fine."]
        assert (state.version, state.facts, state.total_turns) == (2, ("The user is called Anna.",), 2)


@in_virtual_time
async def test_a_turn_with_a_call_is_over_once_it_is_answered() -> None:
    call = [ToolCallStarted(0, "c", "look"), ToolCallDelta(0, '{"at": "sky"}'), LlmFinished("tool_calls")]
    llm = TwoHanded(ANN, replies=[call, "It is blue."])  # type: ignore[list-item]
    async with remembering(llm) as (session, client):
        await turn(session, client, "What colour is the sky?")
        await until_quiet()
        assert not llm.asked
        session.dispatch(CreateItem(FunctionCallOutput("", "c", "blue")))
        session.dispatch(CreateResponse())
        state = state_of(await client.wait(SessionUpdated))

        assert state.total_turns == 1
        assert taken_down(llm.asked[0]) == [
            "User: What colour is the sky?",
            'Assistant calls look({"at": "sky"})',
            "Result: blue",
            "Assistant: It is blue.",
        ]


@in_virtual_time
async def test_only_answers_to_the_user_within_the_conversation_are_turns() -> None:
    llm = TwoHanded(replies=["One.", "Two.", [OverloadedError("busy")]])
    async with remembering(llm, {"turn_interval": 2}) as (session, client):
        await turn(session, client, "Hi")
        session.dispatch(CreateResponse())  # nobody has said anything since
        await client.wait(ResponseDone, 2)
        failed = await turn(session, client, "Still there?")
        session.dispatch(CreateResponse(ResponseParams(in_conversation=False)))
        await client.wait(ResponseDone, 4)
        await until_quiet()

        assert failed.response.status == "failed"
        assert not llm.asked
        await turn(session, client, "And now?")
        assert state_of(await client.wait(SessionUpdated)).total_turns == 2


@in_virtual_time
async def test_a_turn_that_was_cancelled_counts() -> None:
    never = asyncio.Event()
    llm = TwoHanded(ANN, replies=[["Once upon ", never]])
    async with remembering(llm) as (session, client):
        session.dispatch(CreateItem(user("Tell me a story")))
        session.dispatch(CreateResponse())
        await client.wait(TextDelta)
        session.dispatch(CancelResponse())
        state = state_of(await client.wait(SessionUpdated))

        assert state.total_turns == 1
        assert taken_down(llm.asked[0]) == ["User: Tell me a story", "Assistant: Once upon"]


async def test_a_reply_that_the_user_speaks_into_counts_and_so_does_the_next_turn() -> None:
    never = asyncio.Event()
    llm = TwoHanded(ANN, replies=[["Once upon ", never]])
    async with remembering(llm, {"turn_interval": 2}, speech=True) as (session, client):
        await session.append_audio(tone(320, 0) + tone(640, 4000) + tone(640, 0))
        await client.wait(TextDelta)
        await session.append_audio(tone(640, 4000) + tone(640, 0))
        state = state_of(await client.wait(SessionUpdated))

        assert len(client.of(SpeechStarted)) == 2
        assert [done.response.status for done in client.of(ResponseDone)] == ["cancelled", "completed"]
        assert state.total_turns == 2
        assert [line.partition(":")[0] for line in taken_down(llm.asked[0])] == ["User", "Assistant"] * 2


@in_virtual_time
async def test_another_interval_holds_at_once() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm, {"turn_interval": 50}) as (session, client):
        await turn(session, client, "Hi")
        session.dispatch(change(turn_interval=2))
        await turn(session, client, "Ho")
        assert state_of(await client.wait(SessionUpdated, 2)).version == 1


# --- beside the conversation --------------------------------------------------------------------------


@in_virtual_time
async def test_notes_that_come_while_a_reply_is_made_leave_it_alone() -> None:
    written, told = asyncio.Event(), asyncio.Event()
    llm = TwoHanded([written, ANN], replies=["Hello.", ["One, ", told, "two."], "Ann."])
    async with remembering(llm) as (session, client):
        await turn(session, client, "I am Ann")
        session.dispatch(CreateItem(user("Count")))
        session.dispatch(CreateResponse())
        await client.wait(TextDelta, 2)
        written.set()
        await client.wait(SessionUpdated)
        assert len(client.of(ResponseDone)) == 1
        told.set()
        counted = await client.wait(ResponseDone, 2)
        await turn(session, client, "Who am I?")

        assert counted.response.status == "completed"
        assert client.of(TextDelta)[2].delta == "two."
        assert instructions_in(llm.requests[1]) == "Be kind."
        assert "called Ann" in instructions_in(llm.requests[2])
        assert len(client.of(ResponseCreated)) == len(client.of(OutputItemAdded)) == 3


@in_virtual_time
async def test_the_conversation_goes_on_while_notes_are_written_and_they_say_how_far_they_go() -> None:
    written = asyncio.Event()
    llm = TwoHanded([written, ANN])
    async with remembering(llm) as (session, client):
        for text in ("One", "Two", "Three"):
            await turn(session, client, text)
        assert len(llm.asked) == 1
        written.set()
        state = state_of(await client.wait(SessionUpdated))
        assert (state.turns_since_gen, state.total_turns) == (2, 3)

        await turn(session, client, "Four")
        again = state_of(await client.wait(SessionUpdated, 2))
        assert (again.version, again.turns_since_gen, again.total_turns) == (2, 0, 4)


@in_virtual_time
async def test_a_session_that_ends_while_notes_are_written_leaves_nothing_behind() -> None:
    llm = TwoHanded([asyncio.Event(), ANN])
    async with remembering(llm) as (session, client):
        await turn(session, client, "Hi")
        await llm.writing.wait()
    assert not client.of(SessionUpdated)


@in_virtual_time
async def test_a_session_may_end_before_the_model_was_asked() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        session.dispatch(CancelResponse())  # which begins the notes, and nobody had a moment yet
        assert client.of(ResponseDone)
    assert not llm.asked


# --- what can go wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([QUIET, ANN], id="late"),
        pytest.param([OverloadedError("busy")], id="failed"),
        pytest.param([RuntimeError("a bug")], id="crashed"),
        pytest.param([ANN, LlmFinished("length")], id="cut off"),
        pytest.param('{"facts": ["The user', id="half"),
        pytest.param('["a", "b"]', id="a list"),
        pytest.param("{}", id="empty object"),
        pytest.param('{"facts": "Ann", "summary": 7}', id="other types"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_makes_no_sense_changes_nothing_and_is_tried_again_later(
    answer: str | list[object], caplog: pytest.LogCaptureFixture
) -> None:
    @in_virtual_time
    async def story() -> None:
        llm = TwoHanded(answer, answer, ANN)  # type: ignore[arg-type]
        async with remembering(llm, {"turn_interval": 2, "state": sent_back(OLD)}) as (session, client):
            for number in range(1, 6):
                done = await turn(session, client, f"Turn {number}")
                await until_quiet() if len(llm.asked) < 3 and number % 2 == 0 else None
                assert done.response.status == "completed"
                assert len(llm.asked) == number // 2
                assert (state_of(session), client.of(SessionUpdated)) == (OLD, [])
            await turn(session, client, "Turn 6")
            state = state_of(await client.wait(SessionUpdated))
            assert (state.version, state.total_turns) == (4, 18)

    with caplog.at_level(logging.INFO):
        story()
    told = [record for record in caplog.records if "memory" in record.getMessage()]
    assert len(told) == 1, "it is said once"


@in_virtual_time
async def test_a_plain_text_is_a_summary() -> None:
    llm = TwoHanded("They talked about\nthe weather.")
    async with remembering(llm, {"state": sent_back(OLD)}) as (session, client):
        await turn(session, client, "Hi")
        state = state_of(await client.wait(SessionUpdated))

    assert (state.facts, state.summary) == (OLD.facts, "They talked about the weather.")


@in_virtual_time
async def test_a_model_that_is_gone_is_no_concern_of_the_conversation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    llm = TwoHanded()
    async with remembering(llm, patch={"model": "elsewhere/llm"}) as (session, client):
        await turn(session, client, "Hi")
        done = await turn(session, client, "Ho")

        assert done.response.status == "completed"
        assert not llm.asked
        assert len([1 for record in caplog.records if "elsewhere/llm" in record.getMessage()]) == 1


@in_virtual_time
async def test_what_was_remembered_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        llm = TwoHanded(ANN, "{broken Ann")
        async with remembering(llm) as (session, client):
            await turn(session, client, "Hi")
            await client.wait(SessionUpdated)
            await turn(session, client, "Ho")
            await until_quiet()

    assert any("memory" in record.getMessage() for record in caplog.records)
    assert not any("Ann" in record.getMessage() for record in caplog.records)


# --- switched off -------------------------------------------------------------------------------------


@in_virtual_time
async def test_nothing_is_written_or_read_unless_it_is_switched_on() -> None:
    llm = TwoHanded()
    async with remembering(llm, {"enabled": False, "state": sent_back(OLD)}) as (session, client):
        await turn(session, client, "Hi")
        await until_quiet()

        assert not llm.asked
        assert instructions_in(llm.requests[0]) == "Be kind."
        assert state_of(session) == OLD


@in_virtual_time
async def test_switching_it_off_while_notes_are_written_stops_that_and_keeps_the_state() -> None:
    written = asyncio.Event()
    llm = TwoHanded(ANN, [written, notes("Too late.")], notes("Back again."))
    async with remembering(llm) as (session, client):
        await turn(session, client, "Hi")
        state = state_of(await client.wait(SessionUpdated))
        llm.writing.clear()
        await turn(session, client, "Ho")
        await llm.writing.wait()
        session.dispatch(change(enabled=False))
        written.set()
        await until_quiet()
        assert state_of(session) == state
        await turn(session, client, "Who am I?")
        assert llm.read()[0] == "system: Be kind."

        session.dispatch(change(enabled=True))
        await turn(session, client, "Who am I?")
        assert "called Ann" in llm.read()[0]
        assert state_of(await client.wait(SessionUpdated, 4)).facts == ("Back again.",)


@in_virtual_time
async def test_a_transcription_session_remembers_nothing() -> None:
    llm = TwoHanded()
    async with remembering(llm, patch={"type": "transcription"}) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        await until_quiet()
        assert (llm.asked, client.of(SessionUpdated)) == ([], [])


# --- states of the client -----------------------------------------------------------------------------


@in_virtual_time
async def test_a_later_session_goes_on_from_the_state_of_an_earlier_one() -> None:
    first, second = TwoHanded(ANN), TwoHanded(notes("The user is called Ann.", "She has a dog."))
    async with remembering(first) as (session, client):
        await turn(session, client, "I am Ann")
        kept = sent_back(state_of(await client.wait(SessionUpdated)))

    async with remembering(second) as (session, client):
        session.dispatch(change(state=kept))
        await client.wait(SessionUpdated)
        await turn(session, client, "I have a dog")
        state = state_of(await client.wait(SessionUpdated, 2))

        assert "called Ann" in instructions_in(second.requests[0])
        assert (state.version, state.total_turns) == (2, 2)
        assert state.facts == ("The user is called Ann.", "She has a dog.")


@in_virtual_time
async def test_turns_that_an_earlier_session_did_not_write_down_count() -> None:
    llm = TwoHanded(ANN)
    state = {**sent_back(OLD), "turns_since_gen": 2}
    async with remembering(llm, {"turn_interval": 3, "state": state}) as (session, client):
        await turn(session, client, "Hi")
        assert state_of(await client.wait(SessionUpdated)).version == 4


@in_virtual_time
async def test_an_echo_of_the_state_changes_nothing_and_an_older_one_is_replaced() -> None:
    llm = TwoHanded(ANN, notes("The user is called Bea."))
    async with remembering(llm) as (session, client):
        await turn(session, client, "I am Ann")
        first = state_of(await client.wait(SessionUpdated))
        session.dispatch(change(state=sent_back(first)))
        assert len(client.of(SessionUpdated)) == 2, "the answer to the client's own update"
        await turn(session, client, "I am Bea")
        second = state_of(await client.wait(SessionUpdated, 3))

        session.dispatch(change(state=sent_back(first)))
        told = [state_of(event) for event in client.of(SessionUpdated)]
        assert told == [first, first, second, first, second]
        assert state_of(session) == second
        session.dispatch(change(state=sent_back(first)))
        assert state_of(session) == second, "once more"


@in_virtual_time
async def test_a_newer_state_of_the_client_wins_over_what_is_being_written() -> None:
    written = asyncio.Event()
    llm = TwoHanded([written, ANN], notes("After all."))
    newer = MemoryState(9, ("The user is called Bea.",), total_turns=40)
    async with remembering(llm) as (session, client):
        await turn(session, client, "I am Ann")
        await llm.writing.wait()
        session.dispatch(change(state=sent_back(newer)))
        written.set()
        await until_quiet()
        assert state_of(session) == newer
        await turn(session, client, "Who am I?")

        assert "called Bea" in llm.read()[0]
        state = state_of(await client.wait(SessionUpdated, 2))
        assert (state.version, state.facts, state.total_turns) == (10, ("After all.",), 41)


@in_virtual_time
async def test_an_older_state_does_not_disturb_what_is_being_written() -> None:
    written = asyncio.Event()
    llm = TwoHanded([written, ANN])
    async with remembering(llm, {"state": sent_back(OLD)}) as (session, client):
        await turn(session, client, "I am Ann")
        await llm.writing.wait()
        session.dispatch(change(state={**sent_back(OLD), "version": 2}))
        written.set()
        state = state_of(await client.wait(SessionUpdated, 3))

        assert (state.version, state.facts) == (4, ("The user is called Ann.",))


@in_virtual_time
async def test_one_of_the_same_version_is_none_of_ours() -> None:
    async with remembering(TwoHanded(), {"state": sent_back(OLD)}) as (session, client):
        session.dispatch(change(state={"version": 3, "facts": ["The user lives in Oslo."]}))

        assert [state_of(event) for event in client.of(SessionUpdated)][-1] == OLD
        assert state_of(session) == OLD


def test_a_session_that_will_not_have_the_state_is_not_asked_for_ever() -> None:
    class Stubborn:
        """A host in which nothing ever changes, which no session is."""

        caller = Caller("sess")
        config = session_config({"provider_data": {"memory": {"enabled": True, "state": sent_back(OLD)}}})
        stage: MemoryStage
        told = 0

        def dispatch(self, command: Command) -> None:
            self.told += 1
            self.stage.configure(self.config)

    host = Stubborn()
    stage = host.stage = MemoryStage(host)  # type: ignore[arg-type]
    newer = {**sent_back(OLD), "version": 5}
    stage.configure(session_config({"provider_data": {"memory": {"enabled": True, "state": newer}}}))
    stage.configure(host.config)

    assert host.told == 1


@in_virtual_time
async def test_what_a_client_takes_away_is_forgotten() -> None:
    llm = TwoHanded(ANN, notes("Anew."))
    async with remembering(llm, {"state": sent_back(OLD)}) as (session, client):
        session.dispatch(change(state=None))
        assert state_of(session) == MemoryState()
        await turn(session, client, "Hi")
        state = state_of(await client.wait(SessionUpdated, 2))

        assert instructions_in(llm.requests[0]) == "Be kind."
        assert "<facts>\nnone\n</facts>" in llm.asked[0].messages[1].text  # type: ignore[union-attr]
        assert (state.version, state.total_turns) == (1, 1)


@in_virtual_time
async def test_where_the_clients_own_data_leaves_no_room_the_state_stays() -> None:
    llm = TwoHanded(notes("The user " + "says a lot " * 15), ANN)
    async with remembering(llm) as (session, client):
        session.dispatch(UpdateSession({"provider_data": {"metadata": {"much": "x" * 65_000}}}))
        await turn(session, client, "Hi")
        await until_quiet()
        assert (state_of(session), len(client.of(SessionUpdated))) == (MemoryState(), 1)

        session.dispatch(UpdateSession({"provider_data": {"metadata": None}}))
        await turn(session, client, "Ho")
        assert state_of(await client.wait(SessionUpdated, 3)).version == 1


@in_virtual_time
async def test_what_could_not_be_put_right_for_want_of_room_is_put_right_once_there_is_some() -> None:
    ours = MemoryState(3, tuple(f"Fact {number} " + "and so on " * 15 for number in range(9)))
    older = {"version": 1, "facts": ["The user lives in Oslo."]}
    async with remembering(TwoHanded(), {"state": sent_back(ours)}) as (session, _):
        much = {"metadata": {"much": "x" * 64_500}, "memory": {"state": older}}
        session.dispatch(UpdateSession({"provider_data": much}))
        assert state_of(session).version == 1

        session.dispatch(UpdateSession({"provider_data": {"metadata": None}}))
        assert state_of(session) == ours


# --- trimming -----------------------------------------------------------------------------------------

TRIM: Patch = {"turn_interval": 4, "trim_after_summarize": True}


@in_virtual_time
async def test_what_was_summarized_leaves_the_contexts_and_stays_in_the_conversation() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm, TRIM) as (session, client):
        for text in ("One", "Two", "Three", "Four"):
            await turn(session, client, text)
        state = state_of(await client.wait(SessionUpdated))
        await turn(session, client, "Five")

        assert state.items_trimmed == 4
        assert [line for line in llm.read() if not line.startswith("system")] == [
            "user: Three",
            "assistant: Fine.",
            "user: Four",
            "assistant: Fine.",
            "user: Five",
        ]
        items = list(session.items)
        assert len(items) == 10
        session.dispatch(RetrieveItem(items[0].id))
        assert client.of(ItemRetrieved)[0].item == items[0]


@in_virtual_time
async def test_what_is_trimmed_adds_up_over_several_notes() -> None:
    llm = TwoHanded(ANN, ANN)
    async with remembering(llm, {**TRIM, "turn_interval": 3}) as (session, client):
        for number in range(1, 7):
            await turn(session, client, str(number))
            if number % 3 == 0:
                state = state_of(await client.wait(SessionUpdated, number // 3))
        await turn(session, client, "7")

        assert state.items_trimmed == 8
        assert [line for line in llm.read() if line.startswith("user")] == ["user: 5", "user: 6", "user: 7"]


@in_virtual_time
async def test_only_what_the_summary_covers_is_trimmed() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm, {**TRIM, "max_transcript_items": 6}) as (session, client):
        for text in ("One", "Two", "Three", "Four"):
            await turn(session, client, text)
        state = state_of(await client.wait(SessionUpdated))
        await turn(session, client, "Five")

        assert state.items_trimmed == 2
        said = [line for line in llm.read() if line.startswith("user")]
        assert said == ["user: One", "user: Three", "user: Four", "user: Five"]


@in_virtual_time
async def test_a_call_leaves_with_its_output() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm, TRIM) as (session, client):
        await turn(session, client, "One")
        session.dispatch(CreateItem(FunctionCall("call", "c", "look", "{}")))
        session.dispatch(CreateItem(FunctionCall("late", "d", "wait", "{}")))
        for text in ("Two", "Three"):
            await turn(session, client, text)
        session.dispatch(CreateItem(FunctionCallOutput("output", "c", "blue")))
        await turn(session, client, "Four")
        state = state_of(await client.wait(SessionUpdated))
        session.dispatch(CreateItem(FunctionCallOutput("", "d", "done")))
        await turn(session, client, "Five")

        # The output of `look` came within the last two exchanges, so the call is still there as well.
        assert state.items_trimmed == 4
        assert llm.read()[1:3] == ["assistant: look({}) wait({})", "tool: look: blue"]
        assert "tool: wait: done" in llm.read()


@in_virtual_time
async def test_items_leave_only_once_no_response_runs() -> None:
    written, told = asyncio.Event(), asyncio.Event()
    llm = TwoHanded([written, ANN], replies=["1.", "2.", "3.", ["4, ", told, "5."]])
    async with remembering(llm, {**TRIM, "turn_interval": 3}) as (session, client):
        for text in ("One", "Two", "Three"):
            await turn(session, client, text)
        session.dispatch(CreateItem(user("Four")))
        session.dispatch(CreateResponse())
        await client.wait(TextDelta, 4)
        written.set()
        state = state_of(await client.wait(SessionUpdated))
        told.set()
        await client.wait(ResponseDone, 4)
        await turn(session, client, "Five")

        assert state.items_trimmed == 4
        assert [line for line in llm.read() if line.startswith("user")] == [
            "user: Three",
            "user: Four",
            "user: Five",
        ]


@in_virtual_time
async def test_a_reply_that_waits_for_its_turn_to_be_transcribed_reads_all_that_it_began_with() -> None:
    written, heard = asyncio.Event(), asyncio.Event()

    async def hear(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        await heard.wait()
        yield TranscriptFinal("Four")

    llm = TwoHanded([written, ANN])
    settings = {**TRIM, "turn_interval": 3}
    async with remembering(llm, settings, stt=ScriptedStt(hear)) as (session, client):
        for text in ("One", "Two", "Three"):
            await turn(session, client, text)
        await session.append_audio(tone(200, 4000))
        session.dispatch(CommitAudio())
        session.dispatch(CreateResponse())
        written.set()
        await client.wait(SessionUpdated)
        heard.set()
        await client.wait(ResponseDone, 4)
        said = [line for line in llm.read() if not line.startswith("assistant")]
        assert said == ["system: Be kind.", "user: One", "user: Two", "user: Three", "user: Four"]

        await turn(session, client, "Five")
        assert "called Ann" in llm.read()[0]
        said = [line for line in llm.read() if line.startswith("user")]
        assert said == ["user: Three", "user: Four", "user: Five"]


@in_virtual_time
async def test_an_item_that_takes_the_id_of_one_that_was_deleted_is_another() -> None:
    llm = TwoHanded(ANN, ANN)
    async with remembering(llm, {**TRIM, "turn_interval": 3, "max_transcript_items": 6}) as (session, client):
        for text in ("One", "Two", "Three"):
            await turn(session, client, text)
        await client.wait(SessionUpdated)
        second = list(session.items)[2].id
        session.dispatch(DeleteItem(second))
        session.dispatch(CreateItem(user("Anew", second), previous_item_id="root"))
        for text in ("Four", "Five", "Six"):
            await turn(session, client, text)
        state = state_of(await client.wait(SessionUpdated, 2))
        await turn(session, client, "Seven")

        # Of twelve items, the last two exchanges stay, and the one that no summary has read.
        assert state.items_trimmed == 7
        said = [line for line in llm.read() if line.startswith("user")]
        assert said == ["user: Anew", "user: Five", "user: Six", "user: Seven"]


@in_virtual_time
async def test_an_item_that_is_replaced_while_the_notes_are_written_stays() -> None:
    written = asyncio.Event()
    llm = TwoHanded([written, ANN])
    async with remembering(llm, {**TRIM, "turn_interval": 3}) as (session, client):
        for text in ("One", "Two", "Three"):
            await turn(session, client, text)
        first = next(iter(session.items)).id
        session.dispatch(DeleteItem(first))
        session.dispatch(CreateItem(user("Anew", first), previous_item_id="root"))
        written.set()
        state = state_of(await client.wait(SessionUpdated))
        await turn(session, client, "Four")

        assert state.items_trimmed == 1
        said = [line for line in llm.read() if not line.startswith("system")]
        assert said[:2] == ["user: Anew", "user: Two"]


@in_virtual_time
async def test_items_that_waited_to_leave_when_it_was_switched_off_leave_later() -> None:
    written, told = asyncio.Event(), asyncio.Event()
    llm = TwoHanded([written, ANN], ANN, replies=["1.", "2.", "3.", ["4, ", told, "5."]])
    async with remembering(llm, {**TRIM, "turn_interval": 3}) as (session, client):
        for text in ("One", "Two", "Three"):
            await turn(session, client, text)
        session.dispatch(CreateItem(user("Four")))
        session.dispatch(CreateResponse())
        await client.wait(TextDelta, 4)
        written.set()
        await client.wait(SessionUpdated)
        session.dispatch(change(enabled=False))
        told.set()
        await client.wait(ResponseDone, 4)
        await turn(session, client, "Five")
        said = [line for line in llm.read() if line.startswith("user")]
        assert said == ["user: One", "user: Two", "user: Three", "user: Four", "user: Five"]

        session.dispatch(change(enabled=True))
        for text in ("Six", "Seven", "Eight"):
            await turn(session, client, text)
        await client.wait(SessionUpdated, 4)
        await turn(session, client, "Nine")
        said = [line for line in llm.read() if line.startswith("user")]
        assert said == ["user: Seven", "user: Eight", "user: Nine"]


@in_virtual_time
async def test_an_item_that_is_gone_is_not_counted() -> None:
    llm = TwoHanded(ANN)
    async with remembering(llm, TRIM) as (session, client):
        for text in ("One", "Two", "Three"):
            await turn(session, client, text)
        session.dispatch(DeleteItem(next(iter(session.items)).id))
        await turn(session, client, "Four")
        assert state_of(await client.wait(SessionUpdated)).items_trimmed == 3
