"""Tools of MCP servers: their lists, calls in rounds within one response, approvals, failures."""

import pytest

from pipeline.commands import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    DeleteItem,
    GenerationFailed,
    GenerationFinished,
    ListingFailed,
    ResponseParams,
    SpeechFinished,
    StartSession,
    TextGenerated,
    ToolAnswered,
    ToolCallGenerated,
    ToolCallOpened,
    ToolsListed,
    UpdateSession,
)
from pipeline.core.state import EngineLimits
from pipeline.items import FunctionCallOutput, McpApprovalResponse, ToolFailure
from pipeline.tools import McpToolChoice, McpTools, ServerTools, ToolFilter
from providers.contracts import FunctionTool, LlmUsage, NamedToolChoice
from providers.tools.contracts import RemoteTool
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import Playbook, user

MCP = ServerTools(mcp=True)
ADD = RemoteTool("add", "Adds", {"type": "object"}, {"readOnlyHint": True})
RENAME = RemoteTool("rename")
FREE = McpTools("lab", "https://lab/mcp", always=None)
GUARDED = McpTools("lab", "https://lab/mcp")


def listed(
    play: Play, *entries: object, tools: tuple[RemoteTool, ...] = (ADD, RENAME), **more: object
) -> Playbook:
    """A text session whose server has told what it offers."""
    patch = {"tools": entries or (FREE,), "output_modalities": ("text",), **more}
    script = play({}, server_tools=MCP).tell(StartSession(), UpdateSession(patch)).skip()
    return script.tell(ToolsListed("item_1", tools)).skip()


def call(script: Playbook, name: str, arguments: str, index: int = 0, response: str = "resp_1") -> Playbook:
    return script.tell(
        ToolCallOpened(response, index, f"call_{index}", name), ToolCallGenerated(response, index, arguments)
    )


def test_the_tools_of_a_server_are_listed_once(play: Play) -> None:
    script = play({}, server_tools=MCP).tell(StartSession()).skip()
    update = UpdateSession({"tools": (FREE,)})

    script.tell(update).expect(
        "> configure",
        "session.updated",
        "item.added item_1 lab after None",
        "mcp.list item_1 in_progress",
        "> list tools item_1 of lab at https://lab/mcp",
    )
    script.tell(ToolsListed("item_1", (ADD, RENAME))).expect(
        "item.done item_1 lab add rename after None", "mcp.list item_1 completed"
    )
    script.tell(update).expect("> configure", "session.updated")
    script.tell(UpdateSession({"tools": (McpTools("lab", None),)})).expect("> configure", "session.updated")


def test_a_server_that_moved_or_failed_is_asked_again(play: Play) -> None:
    script = listed(play)
    moved = McpTools("lab", "https://elsewhere/mcp")
    script.tell(UpdateSession({"tools": (moved,)})).expect(
        "> configure",
        "session.updated",
        "item.added item_2 lab after item_1",
        "mcp.list item_2 in_progress",
        "> list tools item_2 of lab at https://elsewhere/mcp",
    )
    script.tell(ListingFailed("item_2", "gone")).expect(
        "item.done item_2 lab 'gone' after item_1", "mcp.list item_2 failed"
    )
    script.tell(ToolsListed("item_1", (ADD,))).expect()  # too late: nobody asks for that server any more
    again = McpTools("lab", "https://elsewhere/mcp", {"Authorization": "Bearer new"})
    script.tell(UpdateSession({"tools": (again,)})).expect(
        "> configure",
        "session.updated",
        "item.added item_3 lab after item_2",
        "mcp.list item_3 in_progress",
        "> list tools item_3 of lab at https://elsewhere/mcp",
    )


def test_a_list_that_a_client_deleted_still_arrives(play: Play) -> None:
    script = play({}, server_tools=MCP).tell(StartSession(), UpdateSession({"tools": (FREE,)})).skip()
    script.tell(DeleteItem("item_1")).expect("> forget item_1", "item.deleted item_1")
    script.tell(ToolsListed("item_1", (ADD,))).expect("mcp.list item_1 completed")


def test_a_label_nobody_knows_needs_an_address(play: Play) -> None:
    script = play({}, server_tools=MCP)
    script.tell(UpdateSession({"tools": (McpTools("lab", None),)}, "ev")).expect(
        "error missing_required_parameter session.tools[0].server_url ev"
    )
    assert script.engine.config.tools == ()


def test_a_session_names_so_many_servers_and_no_more(play: Play) -> None:
    script = play({}, server_tools=MCP, limits=EngineLimits(max_mcp_servers=2))
    for name in ("a", "b"):
        script.tell(UpdateSession({"tools": (McpTools(name, "https://lab/mcp"),)})).skip()
    script.tell(UpdateSession({"tools": (McpTools("c", "https://lab/mcp"),)})).expect(
        "error invalid_value session.tools"
    )


def test_a_server_without_a_toolbox_refuses_mcp(play: Play) -> None:
    play({}).tell(UpdateSession({"tools": (FREE,)})).expect("error invalid_value session.tools[0]")


def test_a_call_and_the_answer_are_one_response(play: Play) -> None:
    script = listed(play)
    script.tell(CreateItem(user("1+2?")), CreateResponse()).skip()
    assert [tool.name for tool in script.request("resp_1").tools] == ["add", "rename"]

    script.tell(ToolCallOpened("resp_1", 0, "call_x", "add")).expect(
        "output_item.added resp_1[0] item_3 lab/add()", "item.added item_3 lab/add() after item_2"
    )
    script.tell(ToolCallGenerated("resp_1", 0, '{"a":1}')).expect("mcp.arguments.delta item_3 '{\"a\":1}'")
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(9, 4, 2))).expect(
        'mcp.arguments.done item_3 {"a":1}',
        "mcp.call item_3 in_progress",
        '> run resp_1 call_x add({"a":1}) at lab',
    )
    script.tell(ToolAnswered("resp_1", "call_x", "3")).expect(
        "mcp.call item_3 completed",
        "item.done item_3 lab/add({\"a\":1}) -> '3' after item_2",
        "output_item.done resp_1[0] item_3 lab/add({\"a\":1}) -> '3'",
        "> tool resp_1 mcp/lab/add completed",
        "> generate resp_1 with lab/llm",
    )
    assert script.context("resp_1") == ["user: 1+2?", 'assistant: add({"a":1})', "tool: add: 3"]
    script.tell(TextGenerated("resp_1", "Three.")).skip()
    script.tell(GenerationFinished("resp_1", "stop", LlmUsage(12, 3))).expect(
        "text.done item_4 'Three.'",
        "part.done item_4 text 'Three.'",
        "item.done item_4 assistant 'Three.' after item_3",
        "output_item.done resp_1[1] item_4 assistant 'Three.'",
        "response.done resp_1 completed [item_3 item_4] 21+7 tokens",
    )
    script.tell(CreateItem(user("Sure?")), CreateResponse()).skip()
    assert script.context("resp_2")[1:] == [
        'assistant: add({"a":1})',
        "tool: add: 3",
        "assistant: Three.",
        "user: Sure?",
    ]


def answered(play: Play) -> Playbook:
    """A response in which a tool was called and its output answered."""
    script = listed(play).tell(CreateResponse()).skip()
    call(script, "add", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(ToolAnswered("resp_1", "call_0", "3"), TextGenerated("resp_1", "Three.")).skip()
    return script.tell(GenerationFinished("resp_1", "stop")).skip()


def test_a_client_that_asks_for_an_answer_to_a_tool_that_has_one_gets_no_second(play: Play) -> None:
    script = answered(play)
    script.tell(CreateResponse()).expect(
        "response.created resp_2", "response.done resp_2 completed 0+0 tokens"
    )
    script.tell(CreateResponse()).expect("response.created resp_3", "> generate resp_3 with lab/llm")


def test_a_client_that_asks_again_after_it_has_cancelled_gets_an_answer(play: Play) -> None:
    script = listed(play).tell(CreateResponse()).skip()
    call(script, "add", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(ToolAnswered("resp_1", "call_0", "3"), TextGenerated("resp_1", "Thr")).skip()
    script.tell(CancelResponse()).skip()
    script.tell(CreateResponse()).expect("response.created resp_2", "> generate resp_2 with lab/llm")


def test_a_message_that_came_while_the_tool_was_answered_wants_an_answer_of_its_own(play: Play) -> None:
    script = listed(play).tell(CreateResponse()).skip()
    call(script, "add", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(ToolAnswered("resp_1", "call_0", "3"), TextGenerated("resp_1", "Three.")).skip()
    script.tell(CreateItem(user("And 3+4?")), GenerationFinished("resp_1", "stop")).skip()
    script.tell(CreateResponse()).expect("response.created resp_2", "> generate resp_2 with lab/llm")


def test_a_wish_for_something_else_after_a_tool_was_answered_is_one(play: Play) -> None:
    script = answered(play)
    script.tell(CreateResponse(ResponseParams({"instructions": "Say it in French."}))).expect(
        "response.created resp_2", "> generate resp_2 with lab/llm"
    )
    script.tell(GenerationFinished("resp_2", "stop"), CreateResponse()).skip()
    assert "> generate resp_3 with lab/llm" in script.story

    script = answered(play)
    script.tell(CreateItem(user("And 3+4?")), CreateResponse()).expect(
        "item.added ...", "item.done ...", "response.created resp_2", "> generate resp_2 with lab/llm"
    )


def test_what_is_said_before_a_call_is_spoken_while_the_tool_works(play: Play) -> None:
    script = listed(play, output_modalities=("audio",))
    script.tell(CreateResponse(), TextGenerated("resp_1", "One moment.")).skip()
    call(script, "add", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(ToolAnswered("resp_1", "call_0", "3")).expect(
        "mcp.call item_3 completed",
        "item.done item_3 lab/add({}) -> '3' after item_2",
        "output_item.done resp_1[1] item_3 lab/add({}) -> '3'",
        "> tool resp_1 mcp/lab/add completed",
    )
    script.tell(SpeechFinished("resp_1")).expect(
        "audio.done item_2",
        "transcript.done item_2 'One moment.'",
        "part.done item_2 audio 'One moment.'",
        "item.done item_2 assistant spoken 'One moment.' after item_1",
        "output_item.done resp_1[0] item_2 assistant spoken 'One moment.'",
        "> generate resp_1 with lab/llm, speak as Ann",
    )
    assert script.context("resp_1") == ["assistant: One moment. add({})", "tool: add: 3"]
    script.tell(TextGenerated("resp_1", "It is three.")).skip()
    script.tell(GenerationFinished("resp_1", "stop"), SpeechFinished("resp_1")).skip()
    assert [type(item).__name__ for item in script.engine.items] == [
        "McpListTools",
        "MessageItem",
        "McpCall",
        "MessageItem",
    ]


def test_several_tools_answer_before_the_model_goes_on(play: Play) -> None:
    script = listed(play)
    script.tell(CreateResponse()).skip()
    call(script, "add", "{}", 0)
    call(script, "rename", "{}", 1)
    script.tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(ToolAnswered("resp_1", "call_1", "done")).expect(
        "mcp.call item_3 completed",
        "item.done ...",
        "output_item.done ...",
        "> tool resp_1 mcp/lab/rename completed",
    )
    script.tell(ToolAnswered("resp_1", "call_0", None, ToolFailure("http_error", "no answer", 503))).expect(
        "mcp.call item_2 failed",
        "item.done item_2 lab/add({}) failed 'no answer' after item_1",
        "output_item.done resp_1[0] item_2 lab/add({}) failed 'no answer'",
        "> tool resp_1 mcp/lab/add failed",
        "> generate resp_1 with lab/llm",
    )
    assert script.context("resp_1") == [
        "assistant: add({}) rename({})",
        "tool: add: The tool failed: no answer",
        "tool: rename: done",
    ]


def test_with_a_call_for_the_client_the_response_ends_once_the_tools_have_answered(play: Play) -> None:
    script = listed(play, FREE, FunctionTool("weather"))
    script.tell(CreateResponse()).skip()
    call(script, "add", "{}", 0)
    call(script, "weather", "{}", 1)
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(1, 1))).skip()
    script.tell(ToolAnswered("resp_1", "call_0", "3")).expect(
        "mcp.call item_2 completed",
        "item.done ...",
        "output_item.done ...",
        "> tool resp_1 mcp/lab/add completed",
        "response.done resp_1 completed [item_2 item_3] 1+1 tokens",
    )


def test_cancelled_while_a_tool_works(play: Play) -> None:
    script = listed(play)
    script.tell(CreateResponse()).skip()
    call(script, "add", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(1, 1))).skip()
    script.tell(CancelResponse()).expect(
        "> stop resp_1",
        "mcp.call item_2 failed",
        "item.done item_2 lab/add({}) failed 'The response was cancelled...' after item_1",
        "output_item.done resp_1[0] item_2 lab/add({}) failed 'The response was cancelled...'",
        "> tool resp_1 mcp/lab/add cancelled",
        "response.done resp_1 cancelled (client_cancelled) [item_2] 1+1 tokens",
    )
    script.tell(ToolAnswered("resp_1", "call_0", "3")).expect()


def test_cancelled_while_a_call_is_written(play: Play) -> None:
    script = listed(play)
    script.tell(CreateResponse()).skip()
    call(script, "add", '{"a"').skip()
    script.tell(CancelResponse()).expect(
        "> stop resp_1",
        'mcp.arguments.done item_2 {"a"',
        "mcp.call item_2 failed",
        "item.done ...",
        "output_item.done ...",
        "response.done resp_1 cancelled (client_cancelled) [item_2] ...",
    )


def test_a_model_that_fails_in_its_second_round_fails_the_response(play: Play) -> None:
    script = listed(play)
    script.tell(CreateResponse()).skip()
    call(script, "add", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(5, 1))).skip()
    script.tell(ToolAnswered("resp_1", "call_0", "3")).skip()
    script.tell(GenerationFailed("resp_1", "server_error", "down")).expect(
        "> stop resp_1", "response.done resp_1 failed (server_error) [item_2] ..."
    )


def test_endless_rounds_end(play: Play) -> None:
    script = play({"output_modalities": ("text",)}, server_tools=MCP, limits=EngineLimits(max_tool_rounds=2))
    script.tell(StartSession(), UpdateSession({"tools": (FREE,), "tool_choice": "required"})).skip()
    script.tell(ToolsListed("item_1", (ADD,)), CreateResponse()).skip()
    choices: list[object] = []
    script.expect()
    for index in range(3):
        choices.append(script.request("resp_1").tool_choice)
        call(script, "add", "{}", index)
        script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(1, 1))).skip()
        script.tell(ToolAnswered("resp_1", f"call_{index}", "3")).skip()
    # What is required is required once; after the last round a model that still calls is not asked again.
    assert choices == ["required", "auto", "none"]
    assert script.story[-1].startswith("response.done resp_1 completed")


def test_a_response_that_begins_before_the_list_is_there_does_without(play: Play) -> None:
    script = play({"output_modalities": ("text",)}, server_tools=MCP)
    script.tell(UpdateSession({"tools": (FREE,)})).skip()
    script.tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")
    assert script.request("resp_1").tools == ()


@pytest.mark.parametrize(
    ("entry", "offered"),
    [
        (McpTools("lab", "https://lab/mcp", allowed=ToolFilter(("rename",))), ["rename"]),
        (McpTools("lab", "https://lab/mcp", allowed=ToolFilter(read_only=True)), ["add"]),
        (McpTools("lab", "https://lab/mcp", allowed=ToolFilter(("rename",), read_only=True)), []),
    ],
)
def test_only_allowed_tools_are_offered(play: Play, entry: McpTools, offered: list[str]) -> None:
    script = listed(play, entry).tell(CreateResponse())
    script.expect("response.created resp_1", "> generate resp_1 with lab/llm")
    assert [tool.name for tool in script.request("resp_1").tools] == offered


def test_names_that_collide_or_that_models_refuse_are_changed_for_the_model(play: Play) -> None:
    odd = RemoteTool("files/rename.now")
    script = play({"output_modalities": ("text",)}, server_tools=MCP)
    other = McpTools("other", "https://other/mcp", always=None)
    script.tell(UpdateSession({"tools": (FunctionTool("add"), FREE, other)})).skip()
    script.tell(ToolsListed("item_1", (ADD, odd)), ToolsListed("item_2", (ADD,)), CreateResponse()).skip()
    assert [tool.name for tool in script.request("resp_1").tools] == [
        "add",
        "lab__add",
        "files_rename_now",
        "other__add",
    ]
    call(script, "other__add", "{}", 0)
    call(script, "files_rename_now", "{}", 1)
    script.tell(GenerationFinished("resp_1", "tool_calls")).expect(
        "output_item.added resp_1[0] item_3 other/add()",
        "item.added ...",
        "mcp.arguments.delta item_3 '{}'",
        "output_item.added resp_1[1] item_4 lab/files/rename.now()",
        "item.added ...",
        "mcp.arguments.delta item_4 '{}'",
        "mcp.arguments.done item_3 {}",
        "mcp.call item_3 in_progress",
        "> run resp_1 call_0 add({}) at other",
        "mcp.arguments.done item_4 {}",
        "mcp.call item_4 in_progress",
        "> run resp_1 call_1 files/rename.now({}) at lab",
    )


def test_a_choice_of_a_server_requires_one_of_its_tools(play: Play) -> None:
    weather = FunctionTool("weather")
    script = listed(play, weather, FREE, tool_choice=McpToolChoice("lab"))
    script.tell(CreateResponse()).expect("response.created resp_1", "> generate ...")
    request = script.request("resp_1")
    assert ([tool.name for tool in request.tools], request.tool_choice) == (["add", "rename"], "required")

    script = listed(play, weather, FREE, tool_choice=McpToolChoice("lab", "rename"))
    script.tell(CreateResponse()).expect("response.created resp_1", "> generate ...")
    assert script.request("resp_1").tool_choice == NamedToolChoice("rename")


def test_a_choice_needs_its_server(play: Play) -> None:
    script = listed(play)
    script.tell(UpdateSession({"tool_choice": McpToolChoice("shop")})).expect(
        "error invalid_value session.tool_choice"
    )


def test_tools_of_one_response_only(play: Play) -> None:
    script = listed(play, FunctionTool("weather"))
    script.tell(ToolsListed("item_9", ())).expect()
    response = CreateResponse(params_with((FREE,)))
    script.tell(response).expect(
        "item.added item_1 lab after None",
        "mcp.list item_1 in_progress",
        "> list tools item_1 of lab at https://lab/mcp",
        "response.created resp_1",
        "> generate resp_1 with lab/llm",
    )


def params_with(tools: tuple[object, ...]) -> ResponseParams:
    return ResponseParams(overrides={"tools": tools})


# --- Approvals ---------------------------------------------------------------------------------------


def asked(play: Play, *names: str) -> Playbook:
    """A response that has ended with requests for approval, from item_3 on."""
    script = listed(play, GUARDED)
    script.tell(CreateItem(user("Rename it")), CreateResponse()).skip()
    for index, name in enumerate(names):
        call(script, name, '{"to":"b"}', index)
    return script


def test_a_guarded_call_waits_for_the_client(play: Play) -> None:
    script = asked(play, "rename").expect()  # nothing is told of a call that may never be made
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(3, 2))).expect(
        'output_item.added resp_1[0] item_3 may lab/rename({"to":"b"})?',
        'item.added item_3 may lab/rename({"to":"b"})? after item_2',
        'item.done item_3 may lab/rename({"to":"b"})? after item_2',
        'output_item.done resp_1[0] item_3 may lab/rename({"to":"b"})?',
        "response.done resp_1 completed [item_3] 3+2 tokens",
    )
    script.tell(CreateItem(McpApprovalResponse("", "item_3", True))).expect(
        "item.added item_4 yes to item_3 after item_3",
        "item.done item_4 yes to item_3 after item_3",
        "response.created resp_2",
        "output_item.added resp_2[0] item_5 lab/rename()",
        "item.added item_5 lab/rename() after item_4",
        'mcp.arguments.delta item_5 \'{"to":"b"}\'',
        'mcp.arguments.done item_5 {"to":"b"}',
        "mcp.call item_5 in_progress",
        '> run resp_2 item_5 rename({"to":"b"}) at lab',
    )
    script.tell(ToolAnswered("resp_2", "item_5", "renamed")).expect(
        "mcp.call item_5 completed",
        'item.done item_5 lab/rename({"to":"b"}) -> \'renamed\' after item_4',
        'output_item.done resp_2[0] item_5 lab/rename({"to":"b"}) -> \'renamed\'',
        "> tool resp_2 mcp/lab/rename completed",
        "> generate resp_2 with lab/llm",
    )
    assert script.context("resp_2") == [
        "user: Rename it",
        'assistant: rename({"to":"b"})',
        "tool: rename: renamed",
    ]
    script.tell(TextGenerated("resp_2", "Done.")).skip()
    script.tell(GenerationFinished("resp_2", "stop", LlmUsage(8, 1))).expect(
        "text.done ...",
        "part.done ...",
        "item.done ...",
        "output_item.done ...",
        "response.done resp_2 completed [item_5 item_6] 8+1 tokens",
    )


def test_a_refused_call_is_not_made_and_the_model_told(play: Play) -> None:
    script = asked(play, "rename").tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(CreateItem(McpApprovalResponse("", "item_3", False, "too risky"))).expect(
        "item.added ...", "item.done ...", "response.created resp_2", "> generate resp_2 with lab/llm"
    )
    assert script.context("resp_2")[2:] == [
        "tool: rename: The user did not allow this call, so it was not made. Their reason: too risky"
    ]


def test_all_requests_are_answered_before_the_model_goes_on(play: Play) -> None:
    script = asked(play, "add", "rename").tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(CreateItem(McpApprovalResponse("", "item_4", True))).expect("item.added ...", "item.done ...")
    script.tell(CreateItem(McpApprovalResponse("", "item_3", False))).expect(
        "item.added ...",
        "item.done ...",
        "response.created resp_2",
        "output_item.added resp_2[0] item_7 lab/rename()",
        "item.added ...",
        "mcp.arguments.delta ...",
        "mcp.arguments.done ...",
        "mcp.call item_7 in_progress",
        "> run resp_2 item_7 rename(...) at lab",
    )


def test_approvals_wait_for_the_end_of_another_response(play: Play) -> None:
    script = asked(play, "rename").tell(GenerationFinished("resp_1", "tool_calls"), CreateResponse()).skip()
    script.tell(CreateItem(McpApprovalResponse("", "item_3", True))).expect("item.added ...", "item.done ...")
    assert script.context("resp_2")[2] == (
        "tool: rename: This call waits for the user's approval and has not been made yet."
    )
    script.tell(GenerationFinished("resp_2", "stop", LlmUsage(1, 1))).expect(
        "response.done resp_2 completed 1+1 tokens",
        "response.created resp_3",
        "output_item.added resp_3[0] ...",
        "item.added ...",
        "mcp.arguments.delta ...",
        "mcp.arguments.done ...",
        "mcp.call ... in_progress",
        "> run resp_3 ...",
    )


@pytest.mark.parametrize("request_id", ["item_2", "nowhere"])
def test_an_answer_to_no_request_is_refused(play: Play, request_id: str) -> None:
    script = asked(play, "rename").tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(CreateItem(McpApprovalResponse("", request_id, True), event_id="ev")).expect(
        "error invalid_value item.approval_request_id ev"
    )


def test_a_request_is_answered_once(play: Play) -> None:
    script = asked(play, "rename").tell(GenerationFinished("resp_1", "tool_calls")).skip()
    answer = CreateItem(McpApprovalResponse("", "item_3", False))
    script.tell(answer).skip()
    script.tell(answer).expect("error invalid_value item.approval_request_id")


def test_approval_is_asked_for_some_tools_only(play: Play) -> None:
    entry = McpTools("lab", "https://lab/mcp", never=ToolFilter(read_only=True))
    script = listed(play, entry).tell(CreateResponse()).skip()
    call(script, "add", "{}", 0)
    call(script, "rename", "{}", 1)
    script.tell(GenerationFinished("resp_1", "tool_calls")).expect(
        "output_item.added resp_1[0] item_2 lab/add()",
        "item.added ...",
        "mcp.arguments.delta ...",
        "mcp.arguments.done ...",
        "mcp.call item_2 in_progress",
        "> run resp_1 call_0 add({}) at lab",
        "output_item.added resp_1[1] item_3 may lab/rename({})?",
        "item.added ...",
        "item.done ...",
        "output_item.done ...",
    )


# --- The client's own outputs ------------------------------------------------------------------------

AUTO = {"auto_tool_response": True}


def test_the_model_goes_on_by_itself_once_all_outputs_are_there(play: Play) -> None:
    script = play(
        {
            "tools": (FunctionTool("a"), FunctionTool("b")),
            "output_modalities": ("text",),
            "provider_data": AUTO,
        }
    )
    script.tell(CreateItem(user("Go")), CreateResponse()).skip()
    call(script, "a", "{}", 0)
    call(script, "b", "{}", 1)
    script.tell(CreateItem(FunctionCallOutput("", "call_0", "x"))).skip()
    script.tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(CreateItem(FunctionCallOutput("", "call_1", "y"))).expect(
        "item.added ...", "item.done ...", "response.created resp_2", "> generate resp_2 with lab/llm"
    )
    assert script.context("resp_2") == ["user: Go", "assistant: a({}) b({})", "tool: a: x", "tool: b: y"]


def test_an_output_that_comes_while_its_response_still_speaks_waits_for_the_end(play: Play) -> None:
    script = play({"tools": (FunctionTool("a"),), "provider_data": AUTO})
    script.tell(CreateResponse(), TextGenerated("resp_1", "Let me look.")).skip()
    call(script, "a", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(1, 1))).skip()
    script.tell(CreateItem(FunctionCallOutput("", "call_0", "x"))).expect("item.added ...", "item.done ...")
    script.tell(SpeechFinished("resp_1")).expect(
        "audio.done ...",
        "transcript.done ...",
        "part.done ...",
        "item.done ...",
        "output_item.done ...",
        "response.done resp_1 completed ...",
        "response.created resp_2",
        "> generate resp_2 with lab/llm, speak as Ann",
    )


def test_without_the_wish_the_client_says_when(play: Play) -> None:
    script = play({"tools": (FunctionTool("a"),), "output_modalities": ("text",)})
    script.tell(CreateResponse()).skip()
    call(script, "a", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(CreateItem(FunctionCallOutput("", "call_0", "x"))).expect("item.added ...", "item.done ...")


def test_an_output_that_comes_while_the_user_speaks_is_read_with_what_they_say(play: Play) -> None:
    script = play({"tools": (FunctionTool("a"),), "output_modalities": ("text",), "provider_data": AUTO})
    script.tell(CreateResponse()).skip()
    call(script, "a", "{}")
    script.tell(GenerationFinished("resp_1", "tool_calls")).speak(640).skip()
    script.tell(CreateItem(FunctionCallOutput("", "call_0", "x"))).expect("item.added ...", "item.done ...")
    script.pause(1024).skip()
    assert [line for line in script.story if "response.created" in line] == [
        "response.created resp_1",
        "response.created resp_2",
    ]
