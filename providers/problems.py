"""What an upstream says when it fails, read from the many shapes in use and turned into our errors."""

import email.utils
import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ContextTooLongError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)

__all__ = ["Problem", "Redactor", "problem_from_body", "problem_from_object", "retry_after"]

MAX_MESSAGE = 300  # characters that reach a client

# Codes and types in use by OpenAI, Google, Anthropic and OpenRouter. Inside a stream they are all there is:
# its HTTP status was 200. The first one that occurs decides.
_WORDS: Mapping[str, int] = {
    "invalid_api_key": 401,
    "api_key_invalid": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "tokens": 429,
    "requests": 429,
    "model_not_found": 404,
    "context_length_exceeded": 400,
    "overloaded_error": 503,
    "unavailable": 503,
    "server_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "internal": 500,
    "timeout": 504,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "invalid_request_error": 400,
    "invalid_argument": 400,
}


# How those say it that have no code for it: vLLM, llama.cpp, Anthropic, Google, Groq.
_TOO_LONG = re.compile(
    r"(?i)context (length|size|window|limit)|prompt is too long"
    r"|input token count .* exceeds|reduce the length of"
)


class Redactor:
    """Takes secrets out of what upstreams say: some repeat the key that they refuse."""

    def __init__(self, secrets: Collection[str | None]) -> None:
        known = sorted({secret for secret in secrets if secret and len(secret) >= 4}, key=len, reverse=True)
        # Keys of the common shape go even where the upstream has masked, cut or mixed them up.
        patterns = [
            *(re.escape(secret) for secret in known),
            r"\b(?:sk|gsk|pk|rk|xai)[-_][\w.-]*(?:\*|[\w-]{16})[\w*.-]*",
            r"\bAIza[\w-]{8,}",
        ]
        self._pattern = re.compile("|".join(patterns))

    def clean(self, text: str) -> str:
        """One short line without secrets."""
        line = " ".join(self._pattern.sub("[key]", text).split())
        line = "".join(character for character in line if character.isprintable())
        return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 3] + "..."


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the upstream reported it; `message` is already clean."""

    status: int  # the HTTP status, or the one that fits an error inside a stream
    message: str
    code: str = ""
    param: str = ""  # the parameter that the upstream blames
    retry_after: float | None = None  # seconds

    def to_error(self, provider: str) -> ProviderError:
        status = self.status
        text = f"{provider} answered {status}" + (f": {self.message}" if self.message else "")
        if status in (401, 402, 403):  # an account that is not paid for is as good as none
            return AuthenticationError(text, provider=provider)
        if status == 429:
            return RateLimitError(text, provider=provider, retry_after=self.retry_after)
        if status in (408, 504):
            return TimedOutError(text, provider=provider)
        if status >= 500 or status == 409:
            return OverloadedError(text, provider=provider)
        if status >= 400:
            too_long = self.code == "context_length_exceeded" or _TOO_LONG.search(self.message)
            return (ContextTooLongError if too_long else InvalidRequestError)(text, provider=provider)
        return BadAnswerError(text, provider=provider)


def problem_from_body(status: int, headers: Mapping[str, str], body: bytes, redactor: Redactor) -> Problem:
    """The problem behind an HTTP error, whatever its body is."""
    wait = retry_after(headers)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if value is None:
        # A page of a proxy says nothing that a client could use.
        text = "" if body.lstrip()[:1] == b"<" else body[:4000].decode("utf-8", "replace")
        return Problem(status, redactor.clean(text), retry_after=wait)
    return problem_from_object(value, redactor, status=status, wait=wait)


def problem_from_object(
    value: Any, redactor: Redactor, *, status: int | None = None, wait: float | None = None
) -> Problem:
    """The problem in a decoded error: `{"error": {...}}`, a list around it, or one of the looser shapes."""
    if isinstance(value, list):  # Google's compatibility layer
        value = value[0] if value else {}
    error = value.get("error", value) if isinstance(value, Mapping) else value
    if not isinstance(error, Mapping):
        error = {"message": error}
    message = error.get("message") or error.get("detail") or error.get("msg") or ""
    if not isinstance(message, str):  # FastAPI puts a list of objects there
        message = json.dumps(message)
    code = _text(error.get("code")) or _text(error.get("status")) or _text(error.get("type"))
    words = [_text(error.get(key)).lower() for key in ("code", "status", "type")]
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping):
            words.insert(0, _text(detail.get("reason")).lower())
            wait = wait if wait is not None else _seconds(detail.get("retryDelay"))
    meant = next((_WORDS[word] for word in words if word in _WORDS), None)
    if status is None:
        number = error.get("code")
        in_range = isinstance(number, int) and 400 <= number < 600
        status = number if in_range and isinstance(number, int) else meant or 500
    elif status == 400 and meant in (401, 429):
        status = meant  # Google answers 400 to a wrong key
    return Problem(
        status, redactor.clean(message), redactor.clean(code), redactor.clean(_text(error.get("param"))), wait
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or either form of `retry-after`; None without a usable one."""
    if (milliseconds := _seconds(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _seconds(value)) is not None:
        return seconds
    try:
        when = email.utils.parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())


def _seconds(value: Any) -> float | None:
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)s?\s*", value) if isinstance(value, str) else None
    return float(match[1]) if match else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
