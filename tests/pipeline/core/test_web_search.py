"""Searches of the web: calls of the model that the server answers and no client sees."""

from pipeline.commands import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    GenerationFinished,
    TextGenerated,
    ToolAnswered,
    ToolCallGenerated,
    ToolCallOpened,
    UpdateSession,
)
from pipeline.items import ToolFailure
from pipeline.tools import ServerTools, WebSearch
from providers.contracts import FunctionTool, LlmUsage
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import Playbook, user

ENGINES = ServerTools(search_engines=("exa", "google"))
TEXT = {"output_modalities": ("text",)}


def searching(play: Play, *searches: str, max_steps: int = 1) -> Playbook:
    """A response whose model has asked for these searches in its first round."""
    script = play({**TEXT, "tools": (WebSearch(max_steps=max_steps),)}, server_tools=ENGINES)
    script.tell(CreateItem(user("News?")), CreateResponse()).skip()
    for index, query in enumerate(searches):
        script.tell(
            ToolCallOpened("resp_1", index, f"call_{index}", "web_search"),
            ToolCallGenerated("resp_1", index, f'{{"query":"{query}"}}'),
        ).expect()
    return script


def test_a_search_feeds_the_answer_and_shows_on_no_wire(play: Play) -> None:
    script = searching(play, "news")
    assert [tool.name for tool in script.request("resp_1").tools] == ["web_search"]
    script.tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(5, 2))).expect(
        '> run resp_1 call_0 web_search({"query":"news"})'
    )
    script.tell(ToolAnswered("resp_1", "call_0", "1. Rain")).expect(
        "> tool resp_1 web_search completed", "> generate resp_1 with lab/llm"
    )
    assert script.context("resp_1") == [
        "user: News?",
        'assistant: web_search({"query":"news"})',
        "tool: web_search: 1. Rain",
    ]
    assert script.request("resp_1").tools == ()  # one step is all that was allowed
    script.tell(TextGenerated("resp_1", "It rains.")).skip()
    script.tell(GenerationFinished("resp_1", "stop", LlmUsage(9, 3))).expect(
        "text.done ...",
        "part.done ...",
        "item.done ...",
        "output_item.done resp_1[0] item_4 assistant 'It rains.'",
        "response.done resp_1 completed [item_4] 14+5 tokens",
    )
    assert len(list(script.engine.items)) == 2


def test_more_searches_at_once_than_allowed_are_not_made(play: Play) -> None:
    script = searching(play, "a", "b", max_steps=1)
    script.tell(GenerationFinished("resp_1", "tool_calls")).expect(
        "> run resp_1 call_0 ...", "> tool resp_1 web_search failed"
    )
    script.tell(ToolAnswered("resp_1", "call_0", "found")).skip()
    assert [line for line in script.context("resp_1") if line.startswith("tool")] == [
        "tool: web_search: The search failed: No more searches are allowed for this answer.",
        "tool: web_search: found",
    ]


def test_a_search_that_failed_is_told_to_the_model(play: Play) -> None:
    script = searching(play, "a", max_steps=2).tell(GenerationFinished("resp_1", "tool_calls")).skip()
    script.tell(ToolAnswered("resp_1", "call_0", None, ToolFailure("http_error", "no answer", 503))).expect(
        "> tool resp_1 web_search failed", "> generate resp_1 with lab/llm"
    )
    assert script.context("resp_1")[-1] == "tool: web_search: The search failed: no answer"
    assert [tool.name for tool in script.request("resp_1").tools] == ["web_search"]  # one more is allowed


def test_cancelled_while_searching(play: Play) -> None:
    script = searching(play, "a").tell(GenerationFinished("resp_1", "tool_calls", LlmUsage(1, 1))).skip()
    script.tell(CancelResponse()).expect(
        "> stop resp_1",
        "> tool resp_1 web_search cancelled",
        "response.done resp_1 cancelled (client_cancelled) 1+1 tokens",
    )


def test_a_function_of_the_client_with_that_name_goes_first(play: Play) -> None:
    tools = (FunctionTool("web_search"), WebSearch())
    script = play({**TEXT, "tools": tools}, server_tools=ENGINES)
    script.tell(CreateResponse()).expect("response.created ...", "> generate ...")
    assert [tool.name for tool in script.request("resp_1").tools] == ["web_search", "web_search_2"]


def test_engines_that_are_not_there_are_refused(play: Play) -> None:
    script = play({}, server_tools=ENGINES)
    script.tell(UpdateSession({"tools": (WebSearch("bing"),)}, "ev")).expect(
        "error invalid_value session.tools[0].providerData.engine ev"
    )
    script.tell(UpdateSession({"tools": (WebSearch("google"),)})).expect("> configure", "session.updated")

    play({}).tell(UpdateSession({"tools": (WebSearch(),)})).expect("error invalid_value session.tools[0]")
