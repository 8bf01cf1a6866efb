"""Connecting, being turned away, and what the server ends by itself."""

import time

from tests.conformance.client import Talk
from tests.conformance.scenarios.registry import BETA, BETA_STRICT, BOTH, GA, STRICT, scenario, turned_away
from tests.conformance.scenarios.steps import order, told


@scenario("The first event is the session", variants=(*BOTH, BETA))
async def connect(session: Talk) -> None:
    assert order(told(session)) == ["session.created"]
    shown = told(session)[0]["session"]
    assert shown["object"] == "realtime.session"
    assert shown["id"].startswith("sess_")
    assert abs(shown["expires_at"] - time.time() - 3600) < 120
    assert (shown["tools"], shown["tool_choice"]) == ([], "auto")


@scenario(
    "A session starts with transcripts, and with turns that are detected by what they mean", variants=(GA,)
)
async def our_defaults(session: Talk) -> None:
    heard = session.session["audio"]["input"]
    assert heard["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }
    assert heard["transcription"]["model"] == "local/moonshine-tiny-en"


@scenario(
    "A session of OpenAI's service starts without transcripts, and listens for pauses", variants=(STRICT,)
)
async def openai_defaults(session: Talk) -> None:
    audio = session.session["audio"]
    assert audio["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        },
    }
    assert audio["output"] == {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0}


turned_away(
    "wrong_key", "A connection without a valid key is turned away", "invalid_api_key", 3000, stage="locked"
)
turned_away(
    "unknown_model",
    "A model that does not exist is turned away",
    "model_not_found",
    4000,
    param="model",
    query={"model": "nobody/nothing"},
)
turned_away(
    "unknown_intent",
    "An intent that does not exist is turned away",
    "invalid_value",
    4000,
    param="intent",
    query={"intent": "seance"},
)
turned_away(
    "unknown_profile",
    "A profile that does not exist is turned away",
    "invalid_value",
    4000,
    param="profile",
    variants=(GA,),
    query={"profile": "nobody"},
)
turned_away(
    "no_model",
    "OpenAI's service wants a model in the URL",
    "missing_model",
    4000,
    param="model",
    variants=(STRICT,),
)
turned_away(
    "beta_is_over",
    "The beta dialect does not exist where OpenAI is followed",
    "beta_api_shape_disabled",
    4000,
    variants=(BETA_STRICT,),
)

turned_away(
    "no_room",
    "A server that is full turns connections away",
    "session_limit_reached",
    1013,
    kind="server_error",
    stage="full server",
)
turned_away(
    "no_room_for_key",
    "A key that has all its sessions is turned away",
    "session_limit_reached",
    1013,
    kind="rate_limit_error",
    stage="full key",
    query={"model": "builtin/echo"},
)


@scenario(
    "A session that is too old is ended",
    stage="brief",
    query={"model": "builtin/echo"},
    closed=(1001, "invalid_request_error.session_expired"),
)
async def expired(session: Talk) -> None:
    assert (await session.receive())["type"] == "session.created"
    assert (await session.error())["code"] == "session_expired"


@scenario(
    "A client that is silent for too long is let go, where the server has such a limit",
    stage="idle",
    query={"model": "builtin/echo"},
    closed=(1001, "invalid_request_error.session_idle_timeout"),
)
async def idle(session: Talk) -> None:
    assert (await session.receive())["type"] == "session.created"
    assert (await session.error())["code"] == "session_idle_timeout"
