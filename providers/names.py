"""Names that clients of other services send, and what they mean here on a fresh install."""

from collections.abc import Mapping
from itertools import cycle
from typing import Literal

__all__ = ["ABSENT_PATTERNS", "DEFAULT_PATTERNS", "VOICES", "WELL_KNOWN_NAMES", "EngineKind"]

EngineKind = Literal["llm", "stt", "tts"]

# Shell patterns of names that mean "the default of this kind". Any bare name is taken for a transcription
# model, because SDKs fill in their newest one without being asked.
DEFAULT_PATTERNS: Mapping[EngineKind, tuple[str, ...]] = {
    "llm": ("", "gpt-realtime*", "gpt-4o*realtime*", "gpt-audio*", "gpt-4o*audio*"),
    "stt": ("*",),
    "tts": ("", "tts-1*", "gpt-4o*-tts*", "inworld-tts-*"),
}

# Names of Inworld's own engines, which its clients fill in; where it is not configured they mean the default.
ABSENT_PATTERNS: Mapping[EngineKind, tuple[str, ...]] = {
    "llm": (),
    "stt": ("inworld/inworld-stt-*",),
    "tts": ("inworld/inworld-tts-*",),
}

# The commonest of those names, for lists of models.
WELL_KNOWN_NAMES: Mapping[EngineKind, tuple[str, ...]] = {
    "llm": ("gpt-realtime", "gpt-realtime-mini", "gpt-4o-realtime-preview", "gpt-4o-mini-realtime-preview"),
    "stt": ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"),
    "tts": ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "inworld-tts-1.5-mini", "inworld-tts-1.5-max"),
}

# Voices of OpenAI (alloy to cedar) and of Inworld, each given to a voice of about the same sex.
_ESPEAK = {
    "alloy": "en-us+f2",
    "ash": "en-us+m1",
    "ballad": "en-gb+m2",
    "coral": "en-us+f3",
    "echo": "en-us+m4",
    "fable": "en-gb+f4",
    "onyx": "en-us+m7",
    "nova": "en-us+f1",
    "sage": "en-gb+f2",
    "shimmer": "en-us+f4",
    "verse": "en-us+m2",
    "marin": "en-us+f5",
    "cedar": "en-us+m5",
    "dennis": "en-us+m3",
    "alex": "en-us+m6",
    "ashley": "en-us+f3",
    "clive": "en-gb+m3",
    "craig": "en-gb+m5",
    "deborah": "en-us+f1",
    "edward": "en-us+m4",
    "elizabeth": "en-us+f2",
    "hades": "en-us+m8",
    "jason": "en-us+m1",
    "julia": "en-us+f4",
    "luna": "en-us+f5",
    "mark": "en-us+m2",
    "olivia": "en-gb+f3",
    "priya": "en-gb+f5",
    "ronald": "en-gb+m7",
    "sarah": "en-us+f1",
    "shaun": "en-us+m5",
    "theodore": "en-us+m7",
    "timothy": "en-us+m6",
    "wendy": "en-gb+f1",
}
_OPENAI = {
    "alex": "echo",
    "ashley": "coral",
    "clive": "fable",
    "craig": "onyx",
    "deborah": "nova",
    "dennis": "ash",
    "edward": "verse",
    "elizabeth": "sage",
    "hades": "onyx",
    "jason": "cedar",
    "julia": "shimmer",
    "luna": "marin",
    "mark": "cedar",
    "olivia": "sage",
    "priya": "coral",
    "ronald": "onyx",
    "sarah": "alloy",
    "shaun": "verse",
    "theodore": "ballad",
    "timothy": "echo",
    "wendy": "sage",
}

_KOKORO = {
    "alloy": "af_alloy",
    "ash": "am_michael",
    "ballad": "bm_george",
    "coral": "af_bella",
    "echo": "am_echo",
    "fable": "bm_fable",
    "onyx": "am_onyx",
    "nova": "af_nova",
    "sage": "bf_emma",
    "shimmer": "af_sky",
    "verse": "am_puck",
    "marin": "af_heart",
    "cedar": "am_fenrir",
    "dennis": "am_michael",
    "alex": "am_puck",
    "ashley": "af_bella",
    "clive": "bm_george",
    "craig": "bm_lewis",
    "deborah": "af_nova",
    "edward": "am_echo",
    "elizabeth": "af_sarah",
    "hades": "am_onyx",
    "jason": "am_liam",
    "julia": "af_jessica",
    "luna": "af_heart",
    "mark": "am_adam",
    "olivia": "bf_isabella",
    "priya": "bf_alice",
    "ronald": "bm_daniel",
    "sarah": "af_sarah",
    "shaun": "am_eric",
    "theodore": "am_onyx",
    "timothy": "am_fenrir",
    "wendy": "bf_lily",
}


def _by_sex(men: str, women: str) -> dict[str, str]:
    """Those names, given to the voices of a family in turn."""
    pools = {"m": cycle(men.split()), "f": cycle(women.split())}
    return {name: next(pools[voice.partition("+")[2][0]]) for name, voice in _ESPEAK.items()}


_INWORLD = _by_sex("Dennis Alex Craig Mark Edward Ronald", "Ashley Sarah Deborah Julia Olivia Elizabeth")
_ELEVENLABS = _by_sex("Brian George Eric Chris Roger", "Sarah Jessica Laura Alice Matilda")
_CARTESIA = _by_sex("Blake Kiefer Ronald Kyle", "Katie Brooke Jacqueline Tessa")
_AURA_2 = _by_sex("apollo arcas aries atlas hermes orion", "thalia andromeda helena asteria athena luna")
_AURA = _by_sex("arcas orion orpheus zeus angus perseus", "asteria luna stella athena hera")

# For each family of engines, recognised by one voice: what foreign names, in lower case, are spoken with.
# Inworld's comes first, since its accounts may have voices of any name but OpenAI's.
VOICES: Mapping[str, Mapping[str, str]] = {
    "Dennis": _INWORLD,
    "en-us+m3": _ESPEAK,
    "alloy": _OPENAI,
    "af_heart": _KOKORO,
    "JBFqnCBsd6RMkjVDRZzb": _ELEVENLABS,
    "f786b574-daa5-4673-aa0c-cbe3e8534c02": _CARTESIA,
    "aura-2-thalia-en": _AURA_2,
    "aura-asteria-en": _AURA,
}
