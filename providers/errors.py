"""What can go wrong at a provider, translated once at the edge of each adapter.

ProviderError
├── AuthenticationError     the key is missing or was refused
├── RateLimitError          too many requests; `retry_after` seconds where the provider said so
├── OverloadedError         the provider has no capacity or reports an internal fault
├── InvalidRequestError     the provider refused the request itself (model, parameter)
│   └── ContextTooLongError its model cannot read so much
├── ConnectionFailedError   no connection, or it broke mid-stream
├── TimedOutError           no answer in time
└── BadAnswerError          the provider answered something that its protocol does not allow
"""

__all__ = [
    "AuthenticationError",
    "BadAnswerError",
    "ConnectionFailedError",
    "ContextTooLongError",
    "InvalidRequestError",
    "OverloadedError",
    "ProviderError",
    "RateLimitError",
    "TimedOutError",
    "UnknownModelError",
]


class ProviderError(Exception):
    """A provider failed. The message is safe to show to a client: it never holds a key."""

    code: str = "provider_error"  # goes out as `status_details.error.code`
    retryable: bool = False  # whether the same request may succeed later

    def __init__(self, message: str, *, provider: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider  # the configured name, for logs


class AuthenticationError(ProviderError):
    code = "provider_authentication_failed"


class RateLimitError(ProviderError):
    code = "rate_limit_exceeded"
    retryable = True

    def __init__(self, message: str, *, provider: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, provider=provider)
        self.retry_after = retry_after  # seconds


class OverloadedError(ProviderError):
    code = "provider_overloaded"
    retryable = True


class InvalidRequestError(ProviderError):
    code = "provider_refused_request"


class ContextTooLongError(InvalidRequestError):
    code = "context_length_exceeded"


class ConnectionFailedError(ProviderError):
    code = "provider_connection_failed"
    retryable = True


class TimedOutError(ProviderError):
    code = "provider_timeout"
    retryable = True


class BadAnswerError(ProviderError):
    code = "provider_bad_answer"


class UnknownModelError(LookupError):
    """No configured provider has a model, voice or engine of this name. The message says what there is."""
