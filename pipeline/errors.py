"""The error that goes back to the client; failures of engines are `providers.errors.ProviderError`."""

__all__ = ["InvalidRequest"]


class InvalidRequest(Exception):  # noqa: N818 - named after the wire's `invalid_request_error`
    """A client event that cannot be carried out. It goes back as one `error` event and changes nothing."""

    def __init__(self, message: str, *, code: str | None = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param  # dotted path of the member at fault, as in `session.audio.input.format`
