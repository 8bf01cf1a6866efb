"""Responses outside the conversation, and responses with a context of their own."""

from typing import Any

import pytest

from pipeline.commands import (
    CreateItem,
    CreateResponse,
    DeleteItem,
    GenerationFinished,
    ResponseParams,
    TextGenerated,
    TranscriptionBroke,
    TranscriptReady,
)
from pipeline.core.state import EngineLimits
from pipeline.items import FunctionCall, FunctionCallOutput, InputAudio, InputText, ItemReference, MessageItem
from providers.contracts import LlmUsage
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import user

TEXT = {"output_modalities": ("text",)}
CLIP = MessageItem("", "user", (InputText("What is this?"), InputAudio(pcm=bytes(4800))))


def aside(*input: Any, **options: Any) -> CreateResponse:
    return CreateResponse(ResponseParams(in_conversation=False, input=input, **options))


def test_it_runs_beside_the_conversation_and_leaves_no_item_there(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(user("Hi")), CreateResponse(), TextGenerated("resp_1", "Hel")).skip()

    script.tell(aside(user("Which topic?"), metadata={"kind": "topic"})).expect(
        "response.created resp_2 out-of-band {'kind': 'topic'}", "> generate resp_2 with lab/llm"
    )
    script.tell(TextGenerated("resp_2", "Greet")).expect(
        "output_item.added resp_2[0] item_4 assistant in_progress",
        "part.added item_4 text",
        "> first output resp_2 after 0.000 s",
        "text.delta item_4 'Greet'",
    )
    script.tell(TextGenerated("resp_1", "lo")).expect("text.delta item_2 'lo'")
    script.tell(GenerationFinished("resp_2", "stop", LlmUsage(3, 1))).expect(
        "text.done item_4 'Greet'",
        "part.done item_4 text 'Greet'",
        "output_item.done resp_2[0] item_4 assistant 'Greet'",
        "response.done resp_2 completed out-of-band {'kind': 'topic'} [item_4] 3+1 tokens",
    )
    assert script.context("resp_2") == ["user: Which topic?"]

    script.tell(GenerationFinished("resp_1", "stop"), CreateResponse()).skip()
    assert script.context("resp_3") == ["user: Hi", "assistant: Hello"]


def test_without_input_it_reads_the_conversation_and_with_empty_input_nothing(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(user("Hi"))).skip()

    script.tell(CreateResponse(ResponseParams(in_conversation=False)), aside()).expect(*["..."] * 4)

    assert script.context("resp_1") == ["user: Hi"]
    assert script.context("resp_2") == []


def test_an_own_context_does_not_keep_the_answer_out_of_the_conversation(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(user("Hi")), CreateResponse(ResponseParams(input=(user("Bye"),)))).skip()

    script.tell(TextGenerated("resp_1", "Ciao")).expect(
        "output_item.added resp_1[0] item_3 assistant in_progress",
        "item.added item_3 assistant in_progress after item_1",
        *["..."] * 3,
    )
    assert script.context("resp_1") == ["user: Bye"]


def test_references_stand_for_items_of_the_conversation(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(user("one", "first")), CreateItem(user("two", "second"))).skip()

    script.tell(aside(ItemReference("second"), user("and"), ItemReference("first"))).expect(*["..."] * 2)
    assert script.context("resp_1") == ["user: two", "user: and", "user: one"]

    script.tell(aside(ItemReference("second"), ItemReference("gone"))).expect(
        "error invalid_value response.input[1].id"
    )


def test_an_input_item_with_the_id_of_a_conversation_item_does_not_stand_for_it(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(user("old words", "same"))).skip()
    clip = MessageItem("same", "user", (InputAudio(pcm=bytes(480)),))

    script.tell(aside(user("new words", "same"))).expect(*["..."] * 2)
    script.tell(aside(clip)).expect(
        "> keep clip item_2[0] 480 bytes", "> transcribe clip item_2[0] with lab/stt", "response.created ..."
    )
    script.tell(TranscriptReady("item_2", "spoken words")).expect("> generate ...")

    assert script.context("resp_1") == ["user: new words"]
    assert script.context("resp_2") == ["user: spoken words"]
    script.tell(CreateResponse()).skip()
    assert script.context("resp_3") == ["user: old words"]


def test_recordings_in_the_input_are_transcribed_for_the_model(play: Play) -> None:
    script = play(TEXT)

    script.tell(aside(CLIP)).expect(
        "> keep clip item_1[1] 4800 bytes",
        "> transcribe clip item_1[1] with lab/stt",
        "response.created resp_1 out-of-band",
    )
    script.tell(TranscriptReady("item_1", "a duck", 1)).expect("> generate resp_1 with lab/llm")
    assert script.context("resp_1") == ["user: What is this? a duck"]


def test_a_recording_in_the_conversation_is_waited_for_by_every_response(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(CLIP)).expect(
        "> keep clip item_1[1] 4800 bytes",
        "> transcribe clip item_1[1] with lab/stt",
        "item.added item_1 user 'What is this?' heard None after None",
        "item.done item_1 user 'What is this?' heard None after None",
    )
    script.tell(CreateResponse(), aside(ItemReference("item_1"))).expect(
        "response.created resp_1", "response.created resp_2 out-of-band"
    )

    script.tell(TranscriptReady("item_1", "a duck", 1)).expect(
        "> generate resp_1 ...", "> generate resp_2 ..."
    )
    assert script.context("resp_1") == script.context("resp_2") == ["user: What is this? a duck"]


def test_a_recording_that_came_with_its_words_needs_no_transcription(play: Play) -> None:
    script = play(TEXT)
    item = MessageItem("", "user", (InputAudio("a duck", bytes(480)),))

    script.tell(CreateItem(item)).expect(
        "> keep clip item_1[0] 480 bytes", "item.added item_1 user heard 'a duck' after None", "item.done ..."
    )
    script.tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")
    assert script.context("resp_1") == ["user: a duck"]


def test_a_recording_that_cannot_be_transcribed_fails_who_waits_for_it(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(CLIP), CreateResponse(), aside(user("other"))).skip()

    script.tell(TranscriptionBroke("item_1", "provider_error", "no", 1)).expect(
        "response.done resp_1 failed (provider_error) 0+0 tokens"
    )
    script.tell(GenerationFinished("resp_2", "stop")).expect("response.done resp_2 completed ...")


def test_a_deleted_item_stays_in_the_context_of_what_began_before(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(user("one", "first")), CreateItem(CLIP)).skip()
    script.tell(CreateResponse(), DeleteItem("first")).skip()

    script.tell(TranscriptReady("item_1", "a duck", 1)).expect("> generate resp_1 with lab/llm")
    assert script.context("resp_1") == ["user: one", "user: What is this? a duck"]


def test_calls_and_outputs_may_stand_in_the_input(play: Play) -> None:
    script = play(TEXT)

    script.tell(aside(FunctionCall("", "a", "clock", "{}"), FunctionCallOutput("", "a", "noon"))).expect(
        *["..."] * 2
    )

    assert script.context("resp_1") == ["assistant: clock({})", "tool: clock: noon"]


def test_overrides_are_checked_and_hold_for_one_response(play: Play) -> None:
    script = play()

    script.tell(aside(overrides={"output_modalities": ("text",), "model": "lab/other"})).expect(
        "response.created resp_1 out-of-band", "> generate resp_1 with lab/other"
    )
    script.tell(aside(overrides={"audio": {"output": {"voice": "nobody"}}})).expect(
        "error invalid_value response.audio.output.voice"
    )
    script.tell(aside(overrides={"model": "elsewhere/llm"})).expect("error model_not_found response.model")
    script.tell(aside()).expect(
        "response.created resp_... out-of-band", "> generate resp_... with lab/llm, speak as Ann"
    )


@pytest.mark.parametrize("command", [aside(), CreateResponse()])
def test_only_so_many_run_at_once(play: Play, command: CreateResponse) -> None:
    script = play(limits=EngineLimits(max_parallel_responses=2))
    script.tell(aside(), aside()).skip()

    script.tell(command).expect("error too_many_responses -")
    script.tell(GenerationFinished("resp_1", "stop"), command).expect(
        "response.done resp_1 ...", "response.created ...", "> generate ..."
    )
