"""Typed turns: items, a response in text or in audio, and the order of its events."""

from dataclasses import replace

import pytest

from pipeline.commands import (
    CreateItem,
    CreateResponse,
    GenerationFailed,
    GenerationFinished,
    ResponseParams,
    SpeechFinished,
    SpeechSynthesized,
    StartSession,
    TextGenerated,
    ToolCallOpened,
)
from pipeline.core.state import EngineLimits
from pipeline.items import MessageItem, OutputText
from providers.contracts import LlmUsage, TextMark
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import user

TEXT = {"output_modalities": ("text",)}
HALF_A_SECOND = bytes(24_000)


def test_a_session_begins_with_its_configuration(play: Play) -> None:
    play().tell(StartSession()).expect("> configure", "session.created")


def test_a_typed_turn_answered_in_text_has_the_order_of_the_wire(play: Play) -> None:
    script = play(TEXT)

    script.tell(CreateItem(user("Hi!"))).expect(
        "item.added item_1 user 'Hi!' after None",
        "item.done item_1 user 'Hi!' after None",
    )
    script.tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")
    script.now = 0.25
    script.tell(TextGenerated("resp_1", "Hel")).expect(
        "output_item.added resp_1[0] item_2 assistant in_progress",
        "item.added item_2 assistant in_progress after item_1",
        "part.added item_2 text",
        "> first output resp_1 after 0.250 s",
        "text.delta item_2 'Hel'",
    )
    script.tell(TextGenerated("resp_1", "lo.")).expect("text.delta item_2 'lo.'")
    script.tell(GenerationFinished("resp_1", "stop", LlmUsage(7, 2))).expect(
        "text.done item_2 'Hello.'",
        "part.done item_2 text 'Hello.'",
        "item.done item_2 assistant 'Hello.' after item_1",
        "output_item.done resp_1[0] item_2 assistant 'Hello.'",
        "response.done resp_1 completed [item_2] 7+2 tokens",
    )
    assert script.context("resp_1") == ["user: Hi!"]


def test_a_typed_turn_answered_aloud_ends_when_the_speech_does(play: Play) -> None:
    script = play()
    script.tell(CreateItem(user("Hi!"))).skip()

    script.tell(CreateResponse()).expect(
        "response.created resp_1", "> generate resp_1 with lab/llm, speak as Ann"
    )
    script.tell(TextGenerated("resp_1", "Hello there, my friend. ")).expect(
        "output_item.added resp_1[0] item_2 assistant in_progress",
        "item.added item_2 assistant in_progress after item_1",
        "part.added item_2 audio",
        "> first output resp_1 after 0.000 s",
        "transcript.delta item_2 'Hello there, my friend. '",
        "> speak resp_1 'Hello there, my friend. '",
    )
    script.tell(SpeechSynthesized("resp_1", HALF_A_SECOND)).expect("audio.delta item_2 500 ms")
    script.tell(TextGenerated("resp_1", "Bye")).expect("transcript.delta item_2 'Bye'")
    script.tell(GenerationFinished("resp_1", "stop")).expect(
        "> speak resp_1 'Bye'", "> finish speaking resp_1"
    )
    script.tell(SpeechSynthesized("resp_1", HALF_A_SECOND)).expect("audio.delta item_2 500 ms")
    script.tell(SpeechFinished("resp_1")).expect(
        "audio.done item_2",
        "transcript.done item_2 'Hello there, my friend. Bye'",
        "part.done item_2 audio 'Hello there, my friend. Bye'",
        "item.done item_2 assistant spoken 'Hello there, my friend. Bye' after item_1",
        "output_item.done resp_1[0] item_2 assistant spoken 'Hello there, my friend. Bye'",
        "response.done resp_1 completed [item_2] ...",
    )


def test_instructions_come_first_and_a_response_may_have_its_own(play: Play) -> None:
    script = play({**TEXT, "instructions": "Be kind."})
    script.tell(CreateItem(user("Hi!")), CreateResponse()).skip().finish("resp_1").skip()

    own = ResponseParams({"instructions": "Be brief.", "max_output_tokens": 5, "temperature": 0.5})
    script.tell(CreateResponse(own)).expect("response.created resp_2", "> generate resp_2 ...")

    assert script.context("resp_1") == ["system: Be kind.", "user: Hi!"]
    assert script.context("resp_2") == ["system: Be brief.", "user: Hi!"]
    assert (script.request("resp_2").max_output_tokens, script.request("resp_2").temperature) == (5, 0.5)
    assert script.engine.config.instructions == "Be kind."


def test_an_answer_without_a_word_is_complete(play: Play) -> None:
    script = play()
    script.tell(CreateResponse()).skip()

    script.tell(TextGenerated("resp_1", "")).expect()
    script.tell(GenerationFinished("resp_1", "stop", LlmUsage(1, 0))).expect(
        "response.done resp_1 completed 1+0 tokens"
    )


def test_usage_is_estimated_where_the_provider_does_not_count(play: Play) -> None:
    script = play(TEXT)
    script.tell(
        CreateItem(user("Twelve chars")), CreateResponse(), TextGenerated("resp_1", "Nine char")
    ).skip()

    script.tell(GenerationFinished("resp_1", "stop")).expect(
        *["..."] * 4, "response.done resp_1 completed [item_2] 7+3 tokens"
    )


@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_cut_by_a_limit_is_spoken_and_then_incomplete(play: Play, reason: str, told: str) -> None:
    script = play()
    script.tell(CreateResponse(), TextGenerated("resp_1", "One two")).skip()

    script.tell(GenerationFinished("resp_1", reason, LlmUsage(1, 2))).expect(  # type: ignore[arg-type]
        "> speak resp_1 'One two'", "> finish speaking resp_1"
    )
    script.tell(SpeechSynthesized("resp_1", HALF_A_SECOND), SpeechFinished("resp_1")).expect(
        "audio.delta item_1 500 ms",
        "audio.done item_1",
        "transcript.done item_1 'One two'",
        "part.done item_1 audio 'One two'",
        "item.done item_1 assistant spoken 'One two' incomplete after None",
        "output_item.done resp_1[0] item_1 assistant spoken 'One two' incomplete",
        f"response.done resp_1 incomplete ({told}) [item_1] 1+2 tokens",
    )


def test_a_model_that_fails_in_mid_sentence_leaves_what_it_said(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateResponse(), TextGenerated("resp_1", "One tw")).skip()

    script.tell(GenerationFailed("resp_1", "provider_timeout", "gone")).expect(
        "> stop resp_1",
        "text.done item_1 'One tw'",
        "part.done item_1 text 'One tw'",
        "item.done item_1 assistant 'One tw' incomplete after None",
        "output_item.done resp_1[0] item_1 assistant 'One tw' incomplete",
        "response.done resp_1 failed (provider_timeout) [item_1] 0+2 tokens",
    )
    script.tell(CreateResponse()).expect("response.created resp_2", "> generate resp_2 with lab/llm")


def test_a_voice_that_fails_after_the_model_has_finished_fails_the_response(play: Play) -> None:
    script = play()
    script.tell(CreateResponse(), TextGenerated("resp_1", "One"), GenerationFinished("resp_1", "stop")).skip()

    script.tell(GenerationFailed("resp_1", "provider_error", "no voice")).expect(
        "> stop resp_1",
        "audio.done item_1",
        "transcript.done item_1 'One'",
        "part.done item_1 audio 'One'",
        "item.done item_1 assistant spoken 'One' incomplete after None",
        "output_item.done resp_1[0] item_1 assistant spoken 'One' incomplete",
        "response.done resp_1 failed (provider_error) [item_1] 0+1 tokens",
    )


def test_a_failure_before_the_first_word_gives_a_response_without_output(play: Play) -> None:
    script = play()
    script.tell(CreateResponse()).skip()

    script.tell(GenerationFailed("resp_1", "rate_limit_exceeded", "later")).expect(
        "> stop resp_1", "response.done resp_1 failed (rate_limit_exceeded) 0+0 tokens"
    )


def test_a_model_that_never_stops_is_stopped(play: Play) -> None:
    script = play(TEXT, limits=EngineLimits(max_reply_chars=5, max_output_items=2))
    script.tell(CreateResponse(), TextGenerated("resp_1", "12345")).skip()

    script.tell(TextGenerated("resp_1", "6")).expect(
        "text.delta item_1 '6'",
        "> stop resp_1",
        *["..."] * 4,
        "response.done resp_1 incomplete (max_output_tokens) [item_1] 0+2 tokens",
    )
    script.tell(CreateResponse(), *(ToolCallOpened("resp_2", i, f"c{i}", "f") for i in range(2))).skip()
    script.tell(ToolCallOpened("resp_2", 2, "c2", "f")).expect(
        "output_item.added resp_2[2] ...",
        "item.added ...",
        "> stop resp_2",
        *["..."] * 9,
        "response.done resp_2 incomplete (max_output_tokens) [item_2 item_3 item_4] ...",
    )


def test_late_facts_of_a_response_that_is_over_are_dropped(play: Play) -> None:
    script = play()
    script.tell(CreateResponse()).skip()
    script.tell(TextGenerated("resp_1", "Hi.")).finish("resp_1").skip()

    for late in (
        TextGenerated("resp_1", "more"),
        ToolCallOpened("resp_1", 0, "c1", "f"),
        SpeechSynthesized("resp_1", HALF_A_SECOND, (TextMark(3, 100),)),
        GenerationFinished("resp_1", "stop"),
        SpeechFinished("resp_1"),
        GenerationFailed("resp_1", "provider_error", "late"),
        TextGenerated("resp_77", "of nobody"),
    ):
        script.tell(late).expect()


def test_nothing_is_written_after_the_model_said_that_it_had_finished(play: Play) -> None:
    script = play()
    script.tell(CreateResponse(), TextGenerated("resp_1", "Hi."), GenerationFinished("resp_1", "stop")).skip()

    script.tell(TextGenerated("resp_1", "more"), ToolCallOpened("resp_1", 0, "c1", "f")).expect()
    script.tell(GenerationFinished("resp_1", "length")).expect()
    script.tell(SpeechFinished("resp_1")).expect(*["..."] * 5, "response.done resp_1 completed ...")


def test_a_second_response_is_refused_while_the_first_runs(play: Play) -> None:
    script = play()
    script.tell(CreateResponse()).skip()

    script.tell(CreateResponse(event_id="mine")).expect(
        "error conversation_already_has_active_response - mine"
    )
    script.tell(GenerationFinished("resp_1", "stop")).expect("response.done resp_1 completed ...")
    script.tell(CreateResponse()).expect("response.created resp_...", "> generate ...")


def test_what_the_assistant_is_said_to_have_said_is_read_by_the_model(play: Play) -> None:
    script = play({"output_modalities": ("text",)})
    history = MessageItem("", "assistant", (OutputText("I am well."),))
    system = replace(user("Be good."), role="system")

    script.tell(CreateItem(system), CreateItem(user("How are you?")), CreateItem(history)).skip()
    script.tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")

    assert script.context("resp_1") == ["system: Be good.", "user: How are you?", "assistant: I am well."]
