"""What is inside a line: emphasis, links, code, addresses, HTML and pictures, taken out or put into words."""

import html
import re
from collections.abc import Iterator

from providers.speakable.addresses import MAIL, WEB, AddressWords, say_mail, say_web
from providers.speakable.emoji import EMOJI
from providers.speakable.pieces import Piece, kept, silent, spoken_as

__all__ = ["Inline"]

_LETTER = r"[^\W_]"
# White space before a mark, from its start on: a long run must not be looked at once for each character.
_GAP = r"(?:(?<![ \t])[ \t]++)?+"
# Elements of HTML and SSML. Another word in angle brackets is a placeholder, which is read.
_ELEMENTS = (
    "a|abbr|audio|b|big|blockquote|body|br|break|button|center|cite|code|dd|del|details|div|dl|dt|em|emphasis"
    "|figure|font|footer|form|h[1-6]|head|header|hr|html|i|img|input|ins|kbd|lang|li|main|mark|meta|nav|ol|p"
    "|phoneme|pre|prosody|q|s|say-as|samp|script|section|small|span|speak|strike|strong|sub|summary|sup|svg"
    "|table|tbody|td|tfoot|th|thead|title|tr|u|ul|var|video|voice|wbr"
)
_ATTRIBUTES = r"(?:\s+[\w:.-]{1,40}+\s*+=\s*+(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\s\"'<>=]++))"

# Every repetition is possessive or bounded, and no two of one alternative can match the same text, so that
# the time is linear in the length of the line.
_TOKENS = {
    "latex": r"\\[()\[\]]",
    "escape": r"\\[\\`*_{}#+\-.!|<>~$]",
    "autolink": r"<(?:https?://|mailto:)[^\s<>]++>",
    "comment": r"<!--(?:[^-]|-(?!->)){0,300}+-->",
    "element": rf"(?i:</?(?:{_ELEMENTS})(?:\s*+/?>|{_ATTRIBUTES}+\s*+/?>))"
    rf"|</[A-Za-z][\w:.-]*+\s*+>|<[A-Za-z][\w:.-]*+(?:\s*+/>|{_ATTRIBUTES}+\s*+/?>)",
    "parameter": r"(?<=\w)<(?=\w{1,40}>)",
    "placeholder": r"(?<!\w)<(?=[A-Za-z][\w .-]{0,40}>)|(?<=[\w.-])>(?=$|[\s.,;:!?)\]])",
    "image": r"!\[(?=[^\]]{0,300}\]\()",
    "link": r"\[(?=[^\[\]]{1,300}\](?:\(|\[[^\]]{0,100}\]))",
    "target": r"\]\((?:[^()\s\"]++|\([^()\s]*+\))*+(?:\s++\"[^\"]*+\"\s*+)?+\)",
    "reference": r"\]\[[^\[\]]{0,100}\]",
    "citation": r"[ \t]?\[\^[\w-]{1,30}\]|(?<=[\w.,;:!?)\"”*`])[ ]?\[\d{1,3}(?:,[ ]?\d{1,3})*+\](?![(\w])"
    r"|【\d[^】]{0,80}】",
    "mail": MAIL,
    "web": WEB,
    "ticks": r"`++",
    "struck": r"~~++",
    "stars": r"\*\*++|(?<!\d)\*(?=\S)|(?<=\S)\*(?!\d)",
    "underscore": rf"(?<!{_LETTER})_++|_++(?!{_LETTER})",
    "joint": r"_++",
    "keycap": r"[0-9#*]\ufe0f?\u20e3",
    "bullet": _GAP + r"[•‣◦▪●][ \t]*+",
    "arrow": _GAP + r"(?:[→⇒⟶⟹➜➔➡]\ufe0f?+|(?<=[ \t])[-=]{1,2}>(?=\s))[ \t]*+",
    "emoji": EMOJI,
    "smiley": r"(?<!\S)[:;]-?[()DPp](?![^\s.,!?])",
    "entity": r"&(?:[A-Za-z]{2,8}|\#\d{1,6}|\#[xX][0-9A-Fa-f]{1,5});",
    "invisible": r"[\u200b\u2060\ufeff\u00ad\u200e\u200f]++",
    "cell": _GAP + r"\|[ \t]*+",
}
_ENGLISH_ARROW, _PAUSE = " to ", ", "


class Inline:
    """Takes lines apart, for one language (BCP 47)."""

    def __init__(self, language: str) -> None:
        self._words = AddressWords.of(language)
        self._arrow = _ENGLISH_ARROW if language.partition("-")[0].lower() == "en" else _PAUSE

    def pieces(self, text: str, *, in_row: bool, begun: bool) -> Iterator[Piece]:
        """The pieces of a line, or of a part of one; `begun`: something of it has been spoken already."""
        at = 0
        for match in _PATTERN.finditer(text):
            start, end, name = match.start(), match.end(), match.lastgroup or ""
            if start > at:
                yield kept(text[at:start])
            begun = begun or bool(text[at:start].strip())
            token = match.group()
            if name == "cell":
                if not in_row:
                    yield kept(token)
                elif begun and text[end:].strip():
                    yield spoken_as(token, _PAUSE)
                else:
                    yield silent(token)
            elif name in ("bullet", "arrow") and not (begun and text[end:].strip()):
                yield silent(token)
            elif name == "web":
                said, rest = say_web(token, self._words)
                yield spoken_as(token[: len(token) - len(rest)], said)
                if rest:
                    yield kept(rest)
                begun = True
            else:
                piece = self._token(name, token)
                begun = begun or bool(piece.spoken)
                yield piece
            at = end
        if at < len(text):
            yield kept(text[at:])

    def _token(self, name: str, token: str) -> Piece:
        match name:
            case "escape":
                return spoken_as(token, token[1], fixed=False) if token[1] != "|" else silent(token)
            case "autolink":
                address = token[1:-1].removeprefix("mailto:")
                by_mail = token.startswith("<mailto:")
                said = say_mail(address, self._words) if by_mail else say_web(address, self._words)[0]
                return spoken_as(token, said)
            case "mail":
                return spoken_as(token, say_mail(token, self._words))
            case "joint" | "parameter":
                return spoken_as(token, " ")
            case "keycap":
                return spoken_as(token, token[0])
            case "bullet":
                return spoken_as(token, _PAUSE)
            case "arrow":
                return spoken_as(token, self._arrow)
            case "entity":
                char = html.unescape(token)
                return kept(token) if char == token else spoken_as(token, _CHARACTERS.get(char, char))
            case _:
                return silent(token)


_CHARACTERS = {"\u00a0": " ", "\u00ad": "", "<": " ", ">": " ", "\u200b": ""}
_PATTERN = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _TOKENS.items()))
