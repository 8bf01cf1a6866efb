"""Voices as Inworld's lists show them, and as filters and orders see them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from server.errors import ApiError
from server.voice_filter import Facts, FilterError, parse_filter
from server.voices import ListedVoice, gently

__all__ = ["VoiceEntry", "chooser", "entry_of", "older", "order"]

_Json = dict[str, Any]

# The names of members in filters and orders, and the facts they stand for.
_MEMBERS = {
    "source": "source",
    "lang_code": "language",
    "langCode": "language",
    "language": "language",
    "languages": "language",
    "gender": "gender",
    "display_name": "name",
    "displayName": "name",
    "voice_id": "id",
    "voiceId": "id",
    "name": "resource",
    "description": "description",
    "tags": "tags",
    "provider": "provider",
    "model": "model",
    "models": "model",
    "default": "default",
}
_SEARCHED = ("name", "id", "description")

# What Inworld calls the languages that come without a region.
_REGIONS = {
    "ar": "AR_SA",
    "de": "DE_DE",
    "en": "EN_US",
    "es": "ES_ES",
    "fr": "FR_FR",
    "he": "HE_IL",
    "hi": "HI_IN",
    "it": "IT_IT",
    "ja": "JA_JP",
    "ko": "KO_KR",
    "nl": "NL_NL",
    "pl": "PL_PL",
    "pt": "PT_BR",
    "ru": "RU_RU",
    "zh": "ZH_CN",
}


@dataclass(frozen=True, slots=True)
class VoiceEntry:
    """One voice as it is listed, and as filters see it."""

    voice: ListedVoice
    shown: _Json
    facts: Facts


def chooser(filter: str, languages: Sequence[str]) -> Callable[[Iterable[VoiceEntry]], list[VoiceEntry]]:
    """What leaves the voices that are asked for; raises `ApiError`."""
    try:
        matches = parse_filter(filter, _MEMBERS, _SEARCHED)
    except FilterError as error:
        raise ApiError(
            400,
            f'Invalid \'filter\': {error}. An example: source = "SYSTEM" AND lang_code = "en".',
            code="invalid_value",
            param="filter",
        ) from None
    wanted = {_plain(language) for one in languages for language in one.split(",") if language.strip()}

    def choose(entries: Iterable[VoiceEntry]) -> list[VoiceEntry]:
        return [
            entry
            for entry in gently(entries)
            if matches(entry.facts) and (not wanted or not wanted.isdisjoint(entry.facts["language"]))
        ]

    return choose


def order(text: str) -> Callable[[list[VoiceEntry]], list[VoiceEntry]]:
    """As AIP-132 has it: `display_name desc, lang_code`; raises `ApiError`."""
    keys: list[tuple[str, bool]] = []
    for part in text.split(",")[:8] if text.strip() else ():
        name, _, direction = part.strip().partition(" ")
        if name not in _MEMBERS or direction.strip().lower() not in ("", "asc", "desc"):
            raise ApiError(
                400,
                f"Invalid 'orderBy': '{part.strip()[:50]}'. Expected a member, and asc or desc, such as"
                f' "display_name asc". Members: {", ".join(_MEMBERS)}.',
                code="invalid_value",
                param="orderBy",
            )
        keys.append((_MEMBERS[name], direction.strip().lower() == "desc"))

    def arrange(entries: list[VoiceEntry]) -> list[VoiceEntry]:
        for member, descending in reversed(keys):  # sorting is stable, so the first key goes last
            entries = sorted(entries, key=lambda entry: tuple(entry.facts[member]), reverse=descending)
        return entries

    return arrange


def entry_of(voice: ListedVoice) -> VoiceEntry:
    """What is made of a voice once, for many requests."""
    shown = _shown(voice)
    code = shown["langCode"]
    facts = {
        "source": (shown["source"],),
        "language": _spellings(code, voice.language),
        "gender": (voice.gender,) if voice.gender else (),
        "name": (voice.name,),
        "id": (voice.id,),
        "resource": (shown["name"],),
        "description": (shown["description"],),
        "tags": shown["tags"],
        "provider": (voice.provider,),
        "model": voice.models,
        "default": (str(voice.is_default),),
    }
    return VoiceEntry(
        voice, shown, {name: tuple(v.lower() for v in values) for name, values in facts.items()}
    )


def _shown(voice: ListedVoice) -> _Json:
    spoken = f" as {voice.spoken_as}" if voice.spoken_as else ""
    shown = {
        "name": f"workspaces/{voice.provider}/voices/{voice.id}",
        "voiceId": voice.id,
        "langCode": _code(voice.language),
        "displayName": voice.name,
        "description": f"Spoken by {voice.model}{spoken}.",
        "tags": [voice.provider, *([voice.gender.lower()] if voice.gender else [])],
        "categories": [],
        "promptLanguages": [],
        # Inworld's ids of cloned voices begin with their workspace; other services do not tell.
        "source": "IVC" if "__" in voice.id else "SYSTEM",
        "provider": voice.provider,
        "model": voice.model,
        "models": list(voice.models),
        "default": voice.is_default,
    }
    return shown | ({"gender": voice.gender} if voice.gender else {})


def older(entry: VoiceEntry) -> _Json:
    """The voice in the shape of `/tts/v1/voices`."""
    shown = entry.shown
    kept = ("voiceId", "displayName", "description", "tags", "provider", "model", "models", "default")
    language = entry.voice.language.partition("-")[0]
    return {name: shown[name] for name in kept} | {"languages": [language] if language else []}


def _code(language: str) -> str:
    """EN_GB for "en-gb"; AUTO for a voice of no one language."""
    if not language:
        return "AUTO"
    return _REGIONS.get(language.lower()) or language.replace("-", "_").upper()


def _spellings(code: str, language: str) -> tuple[str, ...]:
    """All that finds a voice of that language: EN_GB, en-gb and en."""
    codes = dict.fromkeys((_plain(code), _plain(language), _plain(code).partition("_")[0]))
    return tuple(dict.fromkeys(one for known in codes if known for one in (known, known.replace("_", "-"))))


def _plain(language: str) -> str:
    """One spelling of EN_US, en-US and en_us."""
    return language.strip().replace("-", "_").lower()
