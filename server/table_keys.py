"""Keys of upstream services, as a table of the settings has them: in place, or by an environment variable."""

from collections.abc import Mapping

from pydantic import SecretStr

__all__ = ["TableKeyError", "key_in"]


class TableKeyError(Exception):
    """The key of a table is not there, or is there twice. The message says what to do."""


def key_in(
    table: str, api_key: SecretStr | None, variable: str | None, environ: Mapping[str, str], *, what: str
) -> str | None:
    """The key; None where there is neither a key nor a variable. Raises `TableKeyError`.

    `table` is its place in the settings, and `what` the kind of upstream behind it.
    """
    if api_key is not None:
        if variable is not None:
            raise TableKeyError(f"{table}: set either api_key_env or api_key, not both")
        return api_key.get_secret_value()
    if variable is None:
        return None
    if not environ.get(variable):
        raise TableKeyError(
            f"{table}.api_key_env names {variable}, which is not set: export it, or remove"
            f" api_key_env when that {what} needs no key"
        )
    return environ[variable]
