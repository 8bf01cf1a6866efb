"""`/voices/v1/voices` and `/tts/v1/voices`: what there is to speak with, as Inworld's service lists it.

Its members are all there, and more that a server with several services needs: `provider`, `model` and
`models` (for `audio.output.model`, where the default model does not have the voice), and `default`.
"""

import asyncio
import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from server.errors import ApiError
from server.requests import identify
from server.voice_filter import Facts, FilterError, parse_filter
from server.voices import ListedVoice, VoiceLists

__all__ = ["router"]

MAX_LISTED = 2000  # where nobody asks for pages; also the longest page
MAX_LANGUAGES = 64
_TOKEN = re.compile(r"([1-9][0-9]{0,5})-([1-9][0-9]{0,3})")  # which page, counted from 0, of how many each

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

router = APIRouter(dependencies=[Depends(identify)])

_Json = dict[str, Any]
_Text = Annotated[str, Query(max_length=2000)]
_Size = Annotated[int, Query(ge=0)]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One voice as it is listed, and as filters see it."""

    voice: ListedVoice
    shown: _Json
    facts: Facts


@router.get("/voices/v1/voices")
async def list_voices(
    request: Request,
    filter: _Text = "",
    order_by: _Text = "",
    order_by_camel: Annotated[str, Query(max_length=2000, alias="orderBy")] = "",
    page_size: _Size = 0,
    page_size_camel: Annotated[int, Query(ge=0, alias="pageSize")] = 0,
    page_token: _Text = "",
    page_token_camel: Annotated[str, Query(max_length=2000, alias="pageToken")] = "",
    languages: Annotated[list[str] | None, Query(max_length=MAX_LANGUAGES)] = None,
) -> Response:
    """`{voices, totalSize, nextPageToken}`; the token is empty at the end."""
    start, size = _page(page_size or page_size_camel, page_token or page_token_camel)
    choose = _chooser(filter, languages or ())
    arrange = _order(order_by or order_by_camel)
    voices = await _lists(request).all()

    def answer() -> bytes:
        found = arrange(choose(voices))
        page = found[start : start + size]
        more = start + size < len(found)
        return orjson.dumps(
            {
                "voices": [entry.shown for entry in page],
                "totalSize": len(found),
                "nextPageToken": f"{start // size + 1}-{size}" if more else "",
            }
        )

    return await _json(answer)


@router.get("/voices/v1/voices/{voice_id:path}")
async def get_voice(request: Request, voice_id: str) -> Response:
    """One voice by its id, that of the default model before others of the same name."""
    voices = await _lists(request).all()

    def answer() -> bytes:
        found = next((voice for voice in voices if voice.id == voice_id), None)
        if found is not None:
            return orjson.dumps(_shown(found))
        ids = [voice.id for voice in voices][:MAX_LISTED]
        close = difflib.get_close_matches(voice_id[:100], ids, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        message = f"There is no voice '{voice_id[:100]}'.{hint}"
        raise ApiError(404, message, code="voice_not_found", param="voice_id")

    return await _json(answer)


@router.get("/tts/v1/voices")
async def list_tts_voices(request: Request, filter: _Text = "") -> Response:
    """`{voices}` in the older shape, which has no pages: filter is mostly `language=en`."""
    choose = _chooser(filter, ())
    voices = await _lists(request).all()

    def answer() -> bytes:
        return orjson.dumps({"voices": [_older(entry) for entry in choose(voices)[:MAX_LISTED]]})

    return await _json(answer)


def _lists(request: Request) -> VoiceLists:
    if not request.app.state.ready:
        raise ApiError(503, "The models are still loading.", code="not_ready", headers={"Retry-After": "1"})
    lists = request.app.state.voices
    assert isinstance(lists, VoiceLists)
    return lists


async def _json(answer: Callable[[], bytes]) -> Response:
    """Thousands of voices take milliseconds to filter and to write, which sessions must not wait for."""
    return Response(await asyncio.to_thread(answer), media_type="application/json")


def _page(size: int, token: str) -> tuple[int, int]:
    """Where to begin, and how many; raises `ApiError`. A token goes on with the size that it was made for."""
    if not token:
        return 0, min(size, MAX_LISTED) or MAX_LISTED
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ApiError(
            400,
            f"Invalid 'pageToken': '{token[:50]}'. Expected the nextPageToken of the page before.",
            code="invalid_value",
            param="pageToken",
        )
    per_page = min(int(found[2]), MAX_LISTED)
    return int(found[1]) * per_page, per_page


def _chooser(filter: str, languages: Sequence[str]) -> Callable[[Iterable[ListedVoice]], list[_Entry]]:
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

    def choose(voices: Iterable[ListedVoice]) -> list[_Entry]:
        entries = (_entry(voice) for voice in voices)
        return [
            entry
            for entry in entries
            if matches(entry.facts) and (not wanted or not wanted.isdisjoint(entry.facts["language"]))
        ]

    return choose


def _order(text: str) -> Callable[[list[_Entry]], list[_Entry]]:
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

    def arrange(entries: list[_Entry]) -> list[_Entry]:
        for member, descending in reversed(keys):  # sorting is stable, so the first key goes last
            entries = sorted(entries, key=lambda entry: tuple(entry.facts[member]), reverse=descending)
        return entries

    return arrange


def _entry(voice: ListedVoice) -> _Entry:
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
    return _Entry(voice, shown, {name: tuple(v.lower() for v in values) for name, values in facts.items()})


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


def _older(entry: _Entry) -> _Json:
    shown = entry.shown
    kept = ("voiceId", "displayName", "description", "tags", "provider", "model", "models", "default")
    language = entry.voice.language.partition("-")[0]
    return {name: shown[name] for name in kept} | {"languages": [language] if language else []}


def _code(language: str) -> str:
    """ "en-gb" as EN_GB; AUTO for a voice of no one language."""
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
