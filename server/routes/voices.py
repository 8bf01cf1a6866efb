"""`/voices/v1/voices` and `/tts/v1/voices`: what there is to speak with, as Inworld's service lists it.

Its members are all there, and more that a server with several services needs: `provider`, `model` and
`models` (for `audio.output.model`, where the default model does not have the voice), and `default`.
"""

import asyncio
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from server.errors import ApiError
from server.requests import identify
from server.voice_entries import VoiceEntry, chooser, entry_of, older, order
from server.voices import ListedVoice, VoiceLists, gently

__all__ = ["router"]

MAX_LISTED = 2000  # where nobody asks for pages; also the longest page
MAX_LANGUAGES = 64
_TOKEN = re.compile(r"([1-9][0-9]{0,5})-([1-9][0-9]{0,3})")  # which page, counted from 0, of how many each

router = APIRouter(dependencies=[Depends(identify)])

_Json = dict[str, Any]
_Text = Annotated[str, Query(max_length=2000)]
_Size = Annotated[int, Query(ge=0)]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What was made of a list."""

    voices: tuple[ListedVoice, ...]
    entries: tuple[VoiceEntry, ...]


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
    choose = chooser(filter, languages or ())
    arrange = order(order_by or order_by_camel)
    entries = await _entries(request)

    def answer() -> bytes:
        found = arrange(choose(entries))
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
    entries = await _entries(request)

    def answer() -> bytes:
        found = next((entry for entry in entries if entry.voice.id == voice_id), None)
        if found is not None:
            return orjson.dumps(found.shown)
        ids = [entry.voice.id for entry in entries][:MAX_LISTED]
        close = difflib.get_close_matches(voice_id[:100], ids, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        message = f"There is no voice '{voice_id[:100]}'.{hint}"
        raise ApiError(404, message, code="voice_not_found", param="voice_id")

    return await _json(answer)


@router.get("/tts/v1/voices")
async def list_tts_voices(request: Request, filter: _Text = "") -> Response:
    """`{voices}` in the older shape, which has no pages: filter is mostly `language=en`."""
    choose = chooser(filter, ())
    entries = await _entries(request)

    def answer() -> bytes:
        return orjson.dumps({"voices": [older(entry) for entry in choose(entries)[:MAX_LISTED]]})

    return await _json(answer)


async def _entries(request: Request) -> tuple[VoiceEntry, ...]:
    """All voices as they are listed, made anew only where they have changed."""
    state = request.app.state
    if not state.ready:
        raise ApiError(503, "The models are still loading.", code="not_ready", headers={"Retry-After": "1"})
    lists = state.voices
    assert isinstance(lists, VoiceLists)
    voices = await lists.all()
    shown: _Shown | None = getattr(state, "shown_voices", None)
    if shown is None or shown.voices is not voices:
        entries = await asyncio.to_thread(lambda: tuple(entry_of(voice) for voice in gently(voices)))
        shown = state.shown_voices = _Shown(voices, entries)
    return shown.entries


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
