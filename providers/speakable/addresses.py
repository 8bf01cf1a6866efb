"""Web and mail addresses as people say them: "example dot com"."""

import re
from dataclasses import dataclass

__all__ = ["MAIL", "WEB", "AddressWords", "say_mail", "say_web"]

# Only a dot before one of these makes an address out of words that nothing else marks as one.
_ENDINGS = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|co|me|tv|us|uk|de|fr|es|it|nl|eu|ch|at|be|se|no|dk|fi"
    "|pl|cz|pt|ie|ca|au|nz|jp|cn|in|br|mx|ru|kr|za"
)
MAIL = r"(?<![\w.%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24}(?![\w@])"
_REST = r"(?:[/?#][^\s<>\"'`|*\[\]{}“”]{0,2000})?"
WEB = (
    r"(?<![\w@])(?:(?:https?|ftp)://[^\s<>\"'`|*\[\]{}“”/?#]{1,255}|www\.[\w.-]{1,255})" + _REST + "|"
    rf"(?<![\w@.:/-])(?:[A-Za-z0-9][A-Za-z0-9-]{{0,62}}\.){{1,4}}(?:{_ENDINGS})(?![\w@-]|\.\w){_REST}"
)

_TRAILING = ".,;:!?…'\""
# The part of a path that can be said: a word or two, not an identifier.
_SAYABLE = re.compile(r"[A-Za-z]{1,20}(?:[-_][A-Za-z]{1,20}){0,2}")
_SAYABLE_PARTS = 2


@dataclass(frozen=True, slots=True)
class AddressWords:
    """What the signs of an address are called in one language."""

    dot: str
    at: str
    slash: str
    dash: str
    underscore: str
    plus: str = "plus"

    @staticmethod
    def of(language: str) -> "AddressWords | None":
        """The words of a BCP 47 language; None for one that is not known here."""
        return _WORDS.get(language.partition("-")[0].lower())


_WORDS = {
    "en": AddressWords("dot", "at", "slash", "dash", "underscore"),
    "de": AddressWords("Punkt", "ät", "Schrägstrich", "Bindestrich", "Unterstrich"),
    "es": AddressWords("punto", "arroba", "barra", "guion", "guion bajo", "más"),
    "fr": AddressWords("point", "arobase", "slash", "tiret", "tiret bas"),
    "it": AddressWords("punto", "chiocciola", "barra", "trattino", "trattino basso", "più"),
    "nl": AddressWords("punt", "apenstaartje", "slash", "streepje", "liggend streepje"),
    "pt": AddressWords("ponto", "arroba", "barra", "hífen", "sublinhado", "mais"),
}


def say_web(address: str, words: AddressWords | None) -> tuple[str, str]:
    """How to say an address, and what follows it of the text that looked like a part of it.

    The scheme, "www", the port and what follows a question mark are left out, and a path unless it is a few
    words. In a language whose words are not known, the host's name stays as it is written.
    """
    address, rest = _split(address)
    bare = re.sub(r"^(?:[a-z]+://)?(?:[^/@]*@)?(?:www\.)?", "", address, flags=re.IGNORECASE)
    host, _, path = re.split(r"[?#]", bare, maxsplit=1)[0].partition("/")
    host = host.partition(":")[0] or bare
    if words is None:
        return host, rest
    said = _say_host(host, words)
    parts = [part for part in path.split("/") if part]
    if parts and len(parts) <= _SAYABLE_PARTS and all(map(_SAYABLE.fullmatch, parts)):
        names = (re.sub(r"[-_]", " ", part) for part in parts)
        said += "".join(f" {words.slash} {name}" for name in names)
    return said, rest


def say_mail(address: str, words: AddressWords | None) -> str:
    """How to say an address such as "jo.doe@example.com"; unchanged where the words are not known."""
    if words is None:
        return address
    name, _, host = address.partition("@")
    for sign, word in {".": words.dot, "-": words.dash, "_": words.underscore, "+": words.plus}.items():
        name = name.replace(sign, f" {word} ")
    return f"{' '.join(name.split())} {words.at} {_say_host(host, words)}"


def _say_host(host: str, words: AddressWords) -> str:
    return " ".join(host.replace(".", f" {words.dot} ").replace("-", f" {words.dash} ").split())


def _split(address: str) -> tuple[str, str]:
    """The address, and the punctuation of the sentence behind it."""
    end = len(address)
    while end:
        if address[end - 1] in _TRAILING or (
            address[end - 1] == ")" and address.count("(", 0, end) < address.count(")", 0, end)
        ):
            end -= 1
        else:
            break
    return address[:end], address[end:]
