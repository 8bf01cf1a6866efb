"""Responses: written, spoken, with settings of their own, cut short, failed, and beside the conversation."""

from tests.conformance.client import Talk
from tests.conformance.scenarios.registry import BETA, BOTH, scenario
from tests.conformance.scenarios.steps import (
    LONG,
    SPOKEN,
    TEXT,
    TOOL,
    WRITTEN,
    configure,
    message,
    order,
    order_since,
    told,
)

OUTSIDE = [kind for kind in WRITTEN if not kind.startswith("conversation.")]


@scenario("A typed message gets a written answer", variants=(*BOTH, BETA))
async def written_answer(session: Talk) -> None:
    await configure(session, TEXT)
    begin = len(told(session))
    item = await session.type("Good morning")
    reply = await session.respond()
    assert order_since(session, begin) == ["conversation.item.added", "conversation.item.done", *WRITTEN]
    assert reply.text == "You said: Good morning"
    added = next(event for event in reply.events if event["type"] == "conversation.item.added")
    assert added["previous_item_id"] == item["id"]
    assert added["item"]["status"] == "in_progress"
    assert (reply.status, reply.response["status_details"]) == ("completed", None)
    assert reply.response["output_modalities"] == ["text"]
    (answer,) = reply.response["output"]
    assert answer["content"] == [{"type": "output_text", "text": reply.text}]


@scenario("A typed message gets a spoken answer", variants=(*BOTH, BETA))
async def spoken_answer(session: Talk) -> None:
    await session.type("Good morning")
    begin = len(told(session))
    reply = await session.respond()
    assert order_since(session, begin) == SPOKEN
    assert reply.text == "You said: Good morning"
    assert len(reply.audio) > 24_000


@scenario("A response may have settings of its own, which leave the session alone")
async def own_settings(session: Talk) -> None:
    before = session.session
    audio = {"output": {"format": {"type": "audio/pcma"}, "voice": {"id": "marin"}}}
    reply = await session.respond(
        conversation="auto",
        input=[message("Hello")],
        instructions="Be brief.",
        output_modalities=["audio"],
        audio=audio,
        max_output_tokens=100,
        metadata={"topic": "greeting"},
        parallel_tool_calls=True,
        reasoning={"effort": "minimal"},
        tools=[TOOL],
        tool_choice="none",
    )
    assert reply.text == "You said: Hello"
    assert reply.response["metadata"] == {"topic": "greeting"}
    assert reply.response["max_output_tokens"] == 100
    assert reply.response["audio"] == {"output": {"format": {"type": "audio/pcma"}, "voice": "marin"}}
    assert await session.update() == before


@scenario("A response may name a prompt template")
async def own_prompt(session: Talk) -> None:
    variables = {"name": {"type": "input_text", "text": "Grace"}}
    reply = await session.respond(
        prompt={"id": "greeter", "version": "1", "variables": variables}, output_modalities=["text"]
    )
    assert reply.text == "Hello, Grace."


@scenario("A response that reaches its limit of tokens is incomplete", variants=(*BOTH, BETA))
async def token_limit(session: Talk) -> None:
    await configure(session, TEXT, {"max_output_tokens": 5})
    reply = await session.ask("[[words 50]]")
    assert order(reply.events) == WRITTEN[:-1]
    assert (reply.status, reply.reason) == ("incomplete", "max_output_tokens")
    assert reply.response["output"][0]["status"] == "incomplete"
    assert reply.response["usage"]["output_tokens"] == 5


@scenario("A response that the model's filter stops is incomplete", variants=(*BOTH, BETA))
async def content_filter(session: Talk) -> None:
    await configure(session, TEXT)
    reply = await session.ask("[[say Well then]] [[finish content_filter]]")
    assert (reply.status, reply.reason) == ("incomplete", "content_filter")


@scenario("A model that fails ends its response, and not the session", variants=(*BOTH, BETA))
async def failed_response(session: Talk) -> None:
    await configure(session, TEXT)
    reply = await session.ask("[[words 9]] [[fail drop]]")
    assert order(reply.events) == WRITTEN[:-1]
    details = reply.response["status_details"]
    assert (reply.status, details["type"]) == ("failed", "failed")
    assert details["error"]["code"] == "provider_connection_failed"
    assert (await session.ask("Hello")).text == "You said: Hello"


@scenario("A response outside the conversation runs beside the one inside", variants=(*BOTH, BETA))
async def out_of_band(session: Talk) -> None:
    await configure(session, TEXT)
    inside = await session.start("[[words 60]] [[pace 10]]")
    outside = await session.start(
        conversation="none", input=[message("Classify this.")], metadata={"topic": "class"}
    )
    reply = await session.reply(outside)
    assert order(reply.events) == OUTSIDE[:-1]
    assert reply.response["conversation_id"] is None
    assert reply.response["metadata"] == {"topic": "class"}
    assert reply.response["output"][0]["id"] not in session.oracle.sequence.order
    assert not session.oracle.sequence.responses[inside].over
    assert len((await session.reply(inside)).text.split()) == 60


@scenario("A response may be given a history, and items by reference", variants=BOTH)
async def own_input(session: Talk) -> None:
    await configure(session, TEXT)
    item = await session.type("Remember me")
    await session.type("Forget me")
    history = [
        message("Be kind.", "system", id="own_1", object="realtime.item", status="completed"),
        message("Hello.", "assistant"),
        {"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"type": "item_reference", "id": item["id"]},
    ]
    reply = await session.respond(conversation="none", input=history)
    assert reply.text == "You said: Remember me"


@scenario("A response can be cancelled, once", variants=(*BOTH, BETA))
async def cancel(session: Talk) -> None:
    id = await session.start(LONG)
    await session.until(lambda event: event["type"].endswith("audio.delta"))
    await session.send("response.cancel", response_id=id)
    reply = await session.reply(id)
    assert order(reply.events) == SPOKEN[:-1]
    assert (reply.status, reply.reason) == ("cancelled", "client_cancelled")
    assert reply.response["output"][0]["status"] == "incomplete"
    again = await session.send("response.cancel")
    error = await session.error()
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", again)


@scenario("A response that is cancelled before its first word has no output", variants=(*BOTH, BETA))
async def cancel_early(session: Talk) -> None:
    id = await session.start("[[think 30000]]")
    await session.send("response.cancel")
    reply = await session.reply(id)
    assert order(reply.events) == ["response.created", "response.done"]
    assert reply.response["output"] == []


@scenario("A second response in the conversation is refused while one runs", variants=(*BOTH, BETA))
async def already_active(session: Talk) -> None:
    await configure(session, TEXT)
    id = await session.start("[[words 40]] [[pace 10]]")
    second = await session.send("response.create")
    error = next(event["error"] for event in await session.until("error") if event["type"] == "error")
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", second)
    assert id in error["message"]
    assert len((await session.reply(id)).text.split()) == 40
