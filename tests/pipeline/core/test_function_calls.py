"""Function calls: one, several, beside text; their outputs, and what the model reads of them."""

from pipeline.commands import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    GenerationFinished,
    SpeechFinished,
    TextGenerated,
    ToolCallGenerated,
    ToolCallOpened,
    UpdateSession,
)
from pipeline.items import FunctionCall, FunctionCallOutput
from providers.contracts import FunctionTool, LlmUsage, NamedToolChoice
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import user

WEATHER, CLOCK = FunctionTool("weather"), FunctionTool("clock")
TOOLS = {"tools": (WEATHER, CLOCK), "output_modalities": ("text",)}


def test_one_call_and_the_answer_to_its_output(play: Play) -> None:
    script = play(TOOLS)
    script.tell(CreateItem(user("Rain?")), CreateResponse()).skip()

    script.tell(ToolCallOpened("resp_1", 0, "call_abc", "weather")).expect(
        "output_item.added resp_1[0] item_2 call_abc weather() in_progress",
        "item.added item_2 call_abc weather() in_progress after item_1",
    )
    script.tell(ToolCallGenerated("resp_1", 0, '{"city":')).expect(
        "arguments.delta item_2 call_abc '{\"city\":'"
    )
    script.tell(ToolCallGenerated("resp_1", 0, '"Rome"}')).expect(
        "arguments.delta item_2 call_abc '\"Rome\"}'"
    )
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(9, 4))).expect(
        'arguments.done item_2 call_abc weather({"city":"Rome"})',
        'item.done item_2 call_abc weather({"city":"Rome"}) after item_1',
        'output_item.done resp_1[0] item_2 call_abc weather({"city":"Rome"})',
        "response.done resp_1 completed [item_2] 9+4 tokens",
    )
    script.tell(CreateItem(FunctionCallOutput("", "call_abc", "sunny"))).expect(
        "item.added item_3 output call_abc 'sunny' after item_2",
        "item.done item_3 output call_abc 'sunny' after item_2",
    )
    script.tell(CreateResponse()).expect("response.created resp_2", "> generate resp_2 with lab/llm")
    assert script.context("resp_2") == [
        "user: Rain?",
        'assistant: weather({"city":"Rome"})',
        "tool: weather: sunny",
    ]


def test_several_calls_interleaved_close_in_their_order(play: Play) -> None:
    script = play(TOOLS)
    script.tell(CreateResponse()).skip()

    script.tell(ToolCallOpened("resp_1", 5, "a", "weather"), ToolCallOpened("resp_1", 7, "b", "clock")).skip()
    script.tell(ToolCallGenerated("resp_1", 7, "{2}"), ToolCallGenerated("resp_1", 5, "{1}")).expect(
        "arguments.delta item_2 b '{2}'", "arguments.delta item_1 a '{1}'"
    )
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(1, 1))).expect(
        "arguments.done item_1 a weather({1})",
        "item.done item_1 a weather({1}) after None",
        "output_item.done resp_1[0] item_1 a weather({1})",
        "arguments.done item_2 b clock({2})",
        "item.done item_2 b clock({2}) after item_1",
        "output_item.done resp_1[1] item_2 b clock({2})",
        "response.done resp_1 completed [item_1 item_2] 1+1 tokens",
    )


def test_calls_of_one_response_are_one_message_and_their_outputs_follow_in_order(play: Play) -> None:
    script = play(TOOLS)
    for item in (
        user("Both!"),
        FunctionCall("", "a", "weather", "{}"),
        FunctionCall("", "b", "clock", "{}"),
        FunctionCallOutput("", "b", "noon"),
        FunctionCallOutput("", "a", "sunny"),
        user("Well?"),
    ):
        script.tell(CreateItem(item))
    script.skip().tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")

    assert script.context("resp_1") == [
        "user: Both!",
        "assistant: weather({}) clock({})",
        "tool: weather: sunny",
        "tool: clock: noon",
        "user: Well?",
    ]


def test_a_call_made_in_the_knowledge_of_an_output_is_a_round_of_its_own(play: Play) -> None:
    script = play(TOOLS)
    for item in (
        FunctionCall("", "a", "weather", "{}"),
        FunctionCallOutput("", "a", "sunny"),
        FunctionCall("", "b", "clock", "{}"),
        FunctionCallOutput("", "b", "noon"),
    ):
        script.tell(CreateItem(item))
    script.skip().tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")

    assert script.context("resp_1") == [
        "assistant: weather({})",
        "tool: weather: sunny",
        "assistant: clock({})",
        "tool: clock: noon",
    ]


def test_text_before_a_call_keeps_index_0_and_ends_with_its_speech(play: Play) -> None:
    script = play({"tools": (WEATHER,)})
    script.tell(CreateResponse(), TextGenerated("resp_1", "Let me look")).skip()

    script.tell(ToolCallOpened("resp_1", 0, "a", "weather")).expect(
        "> speak resp_1 'Let me look'",
        "output_item.added resp_1[1] item_2 a weather() in_progress",
        "item.added item_2 a weather() in_progress after item_1",
    )
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(1, 1))).expect(
        "arguments.done item_2 a weather({})",
        "item.done item_2 a weather({}) after item_1",
        "output_item.done resp_1[1] item_2 a weather({})",
        "> finish speaking resp_1",
    )
    script.tell(SpeechFinished("resp_1")).expect(
        "audio.done item_1",
        "transcript.done item_1 'Let me look'",
        "part.done item_1 audio 'Let me look'",
        "item.done item_1 assistant spoken 'Let me look' after None",
        "output_item.done resp_1[0] item_1 assistant spoken 'Let me look'",
        "response.done resp_1 completed [item_1 item_2] 1+1 tokens",
    )


def test_cancelling_while_a_call_streams_leaves_it_incomplete_and_unread(play: Play) -> None:
    script = play(TOOLS)
    script.tell(CreateItem(user("Rain?")), CreateResponse()).skip()
    script.tell(ToolCallOpened("resp_1", 0, "a", "weather"), ToolCallGenerated("resp_1", 0, '{"ci')).skip()

    script.tell(CancelResponse()).expect(
        "> stop resp_1",
        'arguments.done item_2 a weather({"ci)',
        'item.done item_2 a weather({"ci) incomplete after item_1',
        'output_item.done resp_1[0] item_2 a weather({"ci) incomplete',
        "response.done resp_1 cancelled (client_cancelled) [item_2] 18+1 tokens",
    )
    script.tell(ToolCallGenerated("resp_1", 0, 'ty":1}')).expect()
    script.tell(CreateResponse()).expect("response.created resp_2", "> generate resp_2 with lab/llm")
    assert script.context("resp_2") == ["user: Rain?"]


def test_a_call_without_its_output_is_read_as_still_running(play: Play) -> None:
    script = play(TOOLS)
    script.tell(CreateItem(FunctionCall("", "a", "weather", "{}")), CreateItem(user("And?"))).skip()

    script.tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")

    assert script.context("resp_1") == [
        "assistant: weather({})",
        "tool: weather: The result is not available yet.",
        "user: And?",
    ]


def test_an_output_of_an_unknown_call_is_refused(play: Play) -> None:
    script = play(TOOLS)

    script.tell(CreateItem(FunctionCallOutput("", "nobodys", "x"), event_id="e1")).expect(
        "error invalid_tool_call_id item.call_id e1"
    )


def test_a_call_id_that_clients_could_not_send_back_is_replaced(play: Play) -> None:
    script = play(TOOLS)
    script.tell(CreateItem(FunctionCall("", "taken", "clock", "{}")), CreateResponse()).skip()

    script.tell(ToolCallOpened("resp_1", 0, "x" * 40, "weather")).expect(
        "output_item.added resp_1[0] item_2 call_1 weather() in_progress", "item.added item_2 call_1 ..."
    )
    script.tell(ToolCallOpened("resp_1", 1, "taken", "weather")).expect(
        "output_item.added resp_1[1] item_3 call_2 weather() in_progress", "item.added item_3 call_2 ..."
    )
    script.tell(ToolCallOpened("resp_1", 2, "toolu/01", "weather")).expect(
        "output_item.added resp_1[2] item_4 call_3 weather() in_progress", "item.added item_4 call_3 ..."
    )


def test_a_call_that_the_client_makes_up_gets_the_ids_that_it_lacks(play: Play) -> None:
    play().tell(CreateItem(FunctionCall("", "", "clock", "{}"))).expect(
        "item.added item_1 call_1 clock({}) after None", "item.done item_1 call_1 clock({}) after None"
    )


def test_opening_a_call_twice_and_arguments_of_an_unknown_one_change_nothing(play: Play) -> None:
    script = play(TOOLS)
    script.tell(CreateResponse(), ToolCallOpened("resp_1", 0, "a", "weather")).skip()

    script.tell(ToolCallOpened("resp_1", 0, "b", "clock")).expect()
    script.tell(ToolCallGenerated("resp_1", 3, "{}")).expect()


def test_a_tool_choice_has_to_name_a_tool_that_is_there(play: Play) -> None:
    script = play(TOOLS)

    script.tell(UpdateSession({"tool_choice": NamedToolChoice("rocket")})).expect(
        "error invalid_value session.tool_choice"
    )
    script.tell(UpdateSession({"tool_choice": NamedToolChoice("clock")})).expect(
        "> configure", "session.updated"
    )
    script.tell(CreateResponse()).expect("response.created resp_...", "> generate ...")


def test_a_tool_choice_goes_with_the_tool_that_it_names(play: Play) -> None:
    script = play(TOOLS)
    script.tell(UpdateSession({"tool_choice": NamedToolChoice("clock")})).skip()

    script.tell(UpdateSession({"tools": (WEATHER,)})).expect("> configure", "session.updated")

    assert script.engine.config.tool_choice == "auto"
