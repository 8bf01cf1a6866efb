"""session.update: what it changes, and that it is all or nothing."""

from typing import Any

from tests.conformance.client import Event, Talk
from tests.conformance.scenarios.registry import BETA, BOTH, GA, STRICT, scenario
from tests.conformance.scenarios.steps import MANUAL, TEXT, TOOL, configure, message, order_since, told

EVERYTHING: Event = {
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "weather"},
    "max_output_tokens": 200,
    "parallel_tool_calls": False,
    "reasoning": {"effort": "low"},
    "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"team": "voice"}},
    "truncation": {
        "type": "retention_ratio",
        "retention_ratio": 0.8,
        "token_limits": {"post_instructions": 8000},
    },
    "prompt": {"id": "greeter", "version": "1", "variables": {"name": "Ada"}},
    "include": ["item.input_audio_transcription.logprobs"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {
                "model": "whisper-1",
                "language": "en",
                "prompt": "Two people wait.",
                "keywords": ["Godot"],
                "delay": "low",
            },
            "noise_reduction": {"type": "near_field", "strength": 0.5},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.6,
                "prefix_padding_ms": 200,
                "silence_duration_ms": 700,
                "idle_timeout_ms": 6000,
                "create_response": True,
                "interrupt_response": False,
            },
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.1},
    },
}


CHOICES = ("none", "required", "auto")
DELAYS = ("minimal", "low", "medium", "high", "xhigh")
EAGERNESS = ("low", "medium", "high", "auto")
EFFORTS = ("minimal", "low", "medium", "high", "xhigh")


def assert_shown(shown: Any, wanted: Any, path: str = "session") -> None:
    """Every member that was asked for shows, but for the names of models, which the server resolves."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            if name != "model":
                assert_shown(shown[name], value, f"{path}.{name}")
    else:
        assert shown == wanted, path


@scenario("session.update sets every member, and the answer shows them all")
async def update_everything(session: Talk) -> None:
    begin = len(told(session))
    shown = await session.update(**EVERYTHING)
    assert "session.updated" in order_since(session, begin)
    assert_shown(shown, EVERYTHING)


@scenario("Members that are not named stay as they are", variants=(*BOTH, BETA))
async def update_one_member(session: Talk) -> None:
    before = session.session
    after = await configure(session, {"instructions": "Be brief."})
    assert after == before | {"instructions": "Be brief."}


@scenario("Every word that a member may be is taken and shown")
async def words_of_a_session(session: Talk) -> None:
    heard = [
        *({"noise_reduction": {"type": word}} for word in ("near_field", "far_field")),
        *({"transcription": {"model": "whisper-1", "delay": word}} for word in DELAYS),
        *({"turn_detection": {"type": "semantic_vad", "eagerness": word}} for word in EAGERNESS),
    ]
    changes: list[Event] = [
        *({"audio": {"input": member}} for member in heard),
        *({"reasoning": {"effort": word}} for word in EFFORTS),
        *({"tool_choice": word, "tools": [TOOL]} for word in CHOICES),
        *({"truncation": word} for word in ("disabled", "auto")),
        *({"output_modalities": [word]} for word in ("text", "audio")),
        {"max_output_tokens": "inf"},
        {"tracing": "auto"},
    ]
    for change in changes:
        assert_shown(await session.update(**change), change)


@scenario("Every word that a member of a response may be is taken")
async def words_of_a_response(session: Talk) -> None:
    outside: Event = {"conversation": "none", "input": [message("Hello")], **TEXT}
    for effort in EFFORTS:
        reply = await session.respond(reasoning={"effort": effort}, **outside)
        assert reply.text == "You said: Hello"
    for choice in CHOICES:
        reply = await session.respond(tools=[TOOL], tool_choice=choice, **outside)
        assert len(reply.calls) == (choice == "required")
    reply = await session.respond(max_output_tokens="inf", **outside)
    assert reply.response["max_output_tokens"] == "inf"


@scenario("Semantic turn detection takes the place of the other kind with its own members")
async def update_detection(session: Talk) -> None:
    await session.update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.9}}})
    wanted = {"type": "semantic_vad", "eagerness": "high", "create_response": False}
    shown = await session.update(audio={"input": {"turn_detection": wanted}})
    assert shown["audio"]["input"]["turn_detection"] == wanted | {"interrupt_response": True}


@scenario("Several languages take the place of the one, and a voice may be an object")
async def update_choices(session: Talk) -> None:
    heard = {"transcription": {"model": "whisper-1", "languages": ["en", "fr"]}}
    shown = await session.update(audio={"input": heard, "output": {"voice": {"id": "alloy"}}})
    assert shown["audio"]["input"]["transcription"]["languages"] == ["en", "fr"]
    assert shown["audio"]["output"]["voice"] in ("alloy", {"id": "alloy"})


@scenario("null switches a feature off")
async def update_to_null(session: Talk) -> None:
    await session.update(**{name: value for name, value in EVERYTHING.items() if name != "tracing"})
    nulls = dict.fromkeys(("transcription", "noise_reduction", "turn_detection"))
    shown = await session.update(audio={"input": nulls}, prompt=None, include=None)
    assert [shown["audio"]["input"][name] for name in nulls] == [None, None, None]
    assert [shown["prompt"], shown["include"]] == [None, None]


@scenario("An update with one bad member changes nothing", variants=(*BOTH, BETA))
async def update_all_or_nothing(session: Talk) -> None:
    before = await configure(session, TEXT)
    id = await session.send(
        "session.update", session={"type": "realtime", "instructions": "Never.", "max_output_tokens": 0}
    )
    error = await session.error()
    assert (error["code"], error["event_id"]) == ("integer_below_min_value", id)
    assert await configure(session) == before


@scenario("Orders that follow each other at once are carried out in their order", variants=BOTH)
async def pipelined(session: Talk) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    await session.send("session.update", session={"type": "realtime", **TEXT, **MANUAL})
    await session.send("conversation.item.create", item=item)
    await session.send("response.create")
    reply = await session.reply()
    assert order_since(session, 1)[:3] == [
        "session.updated",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert reply.text == "You said: Hello"


@scenario("A session may change its model, its voice after it has spoken, and its tracing", variants=(GA,))
async def update_what_openai_fixes(session: Talk) -> None:
    await session.ask("Hello")
    await session.update(tracing="auto")
    shown = await session.update(
        model="other/echo", audio={"output": {"voice": "marin"}}, tracing={"group_id": "g"}
    )
    assert (shown["model"], shown["audio"]["output"]["voice"]) == ("other/echo", "marin")
    assert shown["tracing"]["group_id"] == "g"


@scenario("OpenAI's service fixes the voice once it was heard, and tracing once it is on", variants=(STRICT,))
async def fixed_once_used(session: Talk) -> None:
    await session.ask("Hello")
    shown = await session.update(tracing="auto")
    for change, code, param in (
        ({"audio": {"output": {"voice": "marin"}}}, "cannot_update_voice", None),
        ({"tracing": {"group_id": "g"}}, "cannot_update_tracing", "session.tracing"),
    ):
        await session.send("session.update", session={"type": "realtime", "instructions": "Never.", **change})
        error = await session.error()
        assert (error["code"], error["param"]) == (code, param), error
    again = {"model": "gpt-realtime", "audio": {"output": {"voice": "alloy"}}, "tracing": "auto"}
    assert await session.update(**again) == shown
