"""Who may open which session: what a connection asks for, checked before a session is made."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.config import Patch, SessionConfig, SessionType
from pipeline.errors import InvalidRequest
from pipeline.quota import QuotaExceededError
from server.auth import Authenticator, Identity, KeyRefusedError
from server.hub import Hub
from server.protocol.dialects import BETA, GA, Dialect, choose_dialect
from server.protocol.profiles import INWORLD, PROFILES, Profile, ProfileName
from server.protocol.session_models import read_session, session_patch

__all__ = ["Admission", "RefusedError", "admit", "admit_inworld", "choose_profile", "patch_of"]

# Close codes as on the wire; clients try again after 1013 and not after the others.
_BAD_KEY, _BAD_REQUEST, _TRY_LATER = 3000, 4000, 1013

# What a client of Inworld's calls its session. It goes into logs and to routers: short and printable.
_SESSION_KEY = re.compile(r"[!-~]{1,128}")


class RefusedError(Exception):
    """The connection gets this error, and is closed with `close_code` and the reason `kind.code`.

    Where it is refused before the upgrade, it gets `status` instead.
    """

    def __init__(
        self,
        error: InvalidRequest,
        close_code: int = _BAD_REQUEST,
        kind: Literal["invalid_request_error", "server_error", "rate_limit_error"] = "invalid_request_error",
        status: int = 400,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.close_code = close_code
        self.kind = kind
        self.status = status


@dataclass(frozen=True, slots=True)
class Admission:
    identity: Identity
    dialect: Dialect
    profile: Profile
    config: SessionConfig  # what the session starts with
    key: str = ""  # what the client calls its session, where the address lets it


def admit(
    query: Mapping[str, str],
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    *,
    authenticator: Authenticator,
    hub: Hub,
    default_profile: ProfileName,
) -> Admission:
    """Raises `RefusedError` for a connection that is not let in."""
    identity = _enter(authenticator, hub, headers, subprotocols)
    bound = identity.bound
    try:
        profile = choose_profile(query.get("profile"), bound.profile if bound else default_profile)
        dialect = choose_dialect(headers, subprotocols)
        if dialect is BETA and profile.strict:
            raise InvalidRequest(
                "The beta shape of the Realtime API is not served any more. Use the current one, without "
                "'realtime=v1' in the header OpenAI-Beta and without the subprotocol for it.",
                code="beta_api_shape_disabled",
            )
        session_type = _session_type(query.get("intent"), bound.type if bound else None)
        model = query.get("model") or None
        if model is None and bound is None and session_type == "realtime" and profile.strict:
            raise InvalidRequest("You must provide a model parameter.", code="missing_model", param="model")
        patch = patch_of(bound.session, session_type, profile) if bound else {}
        config = hub.configure(session_type, profile, patch, model)
    except InvalidRequest as error:
        raise RefusedError(_named_by_url(error)) from None
    return Admission(identity, dialect, profile, config)


def admit_inworld(
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    *,
    authenticator: Authenticator,
    hub: Hub,
) -> Admission:
    """As `admit`, for Inworld's address, where everybody gets its profile. `query` has pairs in their order.

    Members: `key`, what the client calls its session; `protocol`; `model` or `modelId`; `authorization`, in
    any case, as the header. Others are ignored.
    """
    given = dict(reversed(query))  # the first of each counts
    credentials = [value for name, value in query if name.lower() == "authorization"]
    identity = _enter(authenticator, hub, headers, subprotocols, credentials)
    bound = identity.bound
    session_type = bound.type if bound else "realtime"
    key = given.get("key", "")
    try:
        if (protocol := given.get("protocol", "")) not in ("", "realtime"):
            raise InvalidRequest(
                f"Invalid value: '{protocol[:100]}'. Supported values are: 'realtime'.", param="protocol"
            )
        if key and not _SESSION_KEY.fullmatch(key):
            raise InvalidRequest(
                "Invalid 'key': expected 1 to 128 letters, digits and signs of ASCII, without spaces.",
                param="key",
            )
        patch = dict(patch_of(bound.session, session_type, INWORLD)) if bound else {}
        if key:
            # So that routers keep to one variant for whoever comes back with the key.
            patch.setdefault("provider_data", {"user_id": key})
        model = given.get("model") or given.get("modelId") or None
        config = hub.configure(session_type, INWORLD, patch, model)
    except InvalidRequest as error:
        named = _named_by_url(error)
        raise RefusedError(named, status=404 if named.code == "model_not_found" else 400) from None
    return Admission(identity, GA, INWORLD, config, key)


def _enter(
    authenticator: Authenticator,
    hub: Hub,
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    credentials: Sequence[str] = (),
) -> Identity:
    """Who comes in, where there is room; raises `RefusedError`."""
    try:
        identity = authenticator.authenticate(headers, subprotocols, credentials)
    except KeyRefusedError as refused:
        error = InvalidRequest(str(refused), code="invalid_api_key")
        raise RefusedError(error, _BAD_KEY, status=401) from None
    if hub.is_full:
        full = InvalidRequest(
            "The server has no room for another session. Try again later.", code="session_limit_reached"
        )
        raise RefusedError(full, _TRY_LATER, "server_error", 503)
    try:
        hub.quotas.of(identity.key_id).check_session()
    except QuotaExceededError as exceeded:
        many = InvalidRequest(str(exceeded), code="session_limit_reached")
        raise RefusedError(many, _TRY_LATER, "rate_limit_error", 429) from None
    return identity


def choose_profile(asked: str | None, default: ProfileName) -> Profile:
    """The profile that a URL names; raises `InvalidRequest`."""
    name = asked or default
    if name not in PROFILES:
        names = " and ".join(f"'{known}'" for known in PROFILES)
        raise InvalidRequest(
            f"Invalid value: '{name[:100]}'. Supported values are: {names}.", param="profile"
        )
    return PROFILES[name]


def patch_of(session: Mapping[str, Any], session_type: SessionType, profile: Profile) -> Patch:
    """What a session object given before the session exists changes; raises `InvalidRequest`."""
    return session_patch(read_session(session, session_type, profile)) if session else {}


def _session_type(intent: str | None, bound: SessionType | None) -> SessionType:
    if intent not in (None, "", "realtime", "transcription"):
        raise InvalidRequest(
            f"Invalid value: '{intent[:100]}'. Supported values are: 'transcription'.", param="intent"
        )
    if intent == "transcription" and bound == "realtime":
        raise InvalidRequest("This client secret was made for sessions of type 'realtime'.", param="intent")
    return bound or ("transcription" if intent == "transcription" else "realtime")


def _named_by_url(error: InvalidRequest) -> InvalidRequest:
    """An unknown model is the `model` of the URL to a client that has not sent an event yet."""
    if error.param in ("session.model", "session.audio.input.transcription.model"):
        return InvalidRequest(error.message, code="model_not_found", param="model")
    return error
