"""The voices of an Inworld account, as its own list tells them."""

from collections.abc import Iterator
from typing import Any

from providers.contracts import Voice
from providers.http import HttpClient

__all__ = ["list_voices"]

PAGE_SIZE = 200
MAX_PAGES = 50  # the service gives up to 2000 voices where nobody asks for pages


async def list_voices(http: HttpClient) -> tuple[Voice, ...]:
    """The service's voices and the account's own, page by page. Raises every kind of `ProviderError`."""
    voices: dict[str, Voice] = {}
    params = {"pageSize": str(PAGE_SIZE)}
    for _ in range(MAX_PAGES):
        async with http.get("/voices/v1/voices", params) as answer:
            if answer.status != 200:
                raise (await answer.problem()).to_error(http.provider)
            page = await answer.json()
            entries = page.get("voices") if isinstance(page, dict) else None
            if entries is None and isinstance(page, dict):
                entries = []  # gRPC's JSON leaves out what is empty
            if not isinstance(entries, list):
                raise answer.bad("listed no voices")
        before = len(voices)
        voices |= {voice.id: voice for voice in _voices(entries)}
        token = page.get("nextPageToken")
        if not isinstance(token, str) or not token or len(voices) == before:
            break
        params["pageToken"] = token
    return tuple(voices.values())


def _voices(entries: list[Any]) -> Iterator[Voice]:
    for entry in entries:
        id = entry.get("voiceId") if isinstance(entry, dict) else None
        if not isinstance(id, str) or not id:
            continue
        name, code = entry.get("displayName"), entry.get("langCode")
        yield Voice(id, name if isinstance(name, str) and name else id, _language(code))


def _language(code: Any) -> str:
    """BCP 47 for "EN_US"; empty for a voice of no one language."""
    if not isinstance(code, str) or code in ("", "AUTO"):
        return ""
    language, _, region = code.partition("_")
    return f"{language.lower()}-{region.upper()}" if region else language.lower()
