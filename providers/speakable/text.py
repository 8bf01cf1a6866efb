"""Makes a reply speakable segment by segment: lines, code blocks, lists and tables may span several."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator

from providers.speakable.english import find_numbers
from providers.speakable.inline import Inline
from providers.speakable.pieces import Edit, Piece, inserted, kept, rewrite, silent, spoken_as, tidy

__all__ = ["MAX_STRETCH", "SpeakableText"]

# Characters that are worked on in one go, which takes half a millisecond of the event loop. Structure is lost
# where such a cut falls inside of a link, say; clauses of replies are rarely that long.
MAX_STRETCH = 240
# Putting figures into words costs ten times as much as a letter does.
_MANY_FIGURES = 40
_MAX_FIGURES_STRETCH = 60

_FENCE = re.compile(r"[ \t]*(`{3,}+|~{3,}+)([^`]*+)$")
_RULE = re.compile(r"[ \t]*+([-*_=])(?:[ \t]*+\1){2,}+[ \t]*+$")
_SEPARATOR = re.compile(r"[ \t]*+\|?(?:[ \t]*+:?-++:?[ \t]*+\|)++(?:[ \t]*+:?-++:?[ \t]*+)?+$")
_DEFINITION = re.compile(r" {0,3}\[[^\[\]]{1,100}\]:[ \t]*+\S++[^\n]*+$")
# Some models begin a block behind a text, where it is none by the rules.
_LATE_FENCE = re.compile(r"(?<!`)(`{3,}+)[\w+#.-]*+[ \t]*+$")
_QUOTE = re.compile(r"(?:[ \t]{0,3}>[ \t]?)++")
_HEADING = re.compile(r"[ \t]{0,3}#{1,6}(?:[ \t]++|$)")
_BULLET = re.compile(r"[ \t]*+[-*+•‣◦▪●–][ \t]++(?:\[[ xX]\][ \t]++)?+")
_ORDERED = re.compile(r"[ \t]*+\d{1,3}[.)][ \t]")
_CLOSING_MARKS = re.compile(r"[ \t]++#++[ \t]*+$")
_BOLD_LINE = re.compile(r"[ \t]*+(\*\*|__)[^*_]++\1:?[ \t]*+$")
_NEEDS_STOP = re.compile(r"[\w)\]}\"'”’%°]")


class SpeakableText:
    """The state of one reply. Not spoken: code blocks (the reader sees them), rules, pictures, marks.

    `language` is BCP 47, "" where nobody knows. `tags` is a regular expression of marks that the voice
    understands, which stay as they are. `numbers` puts figures and signs into words, in English only.
    """

    def __init__(self, language: str, *, numbers: bool = False, tags: str = "") -> None:
        self._inline = Inline(language)
        self._tags = re.compile(tags) if tags else None
        self._find: Callable[[str], Iterable[Edit]] | None = (
            find_numbers(language) if numbers and language.partition("-")[0].lower() == "en" else None
        )
        self._fence = ""  # what closes the code block that we are in
        self._line_start = True
        self._skips_line = False
        self._needs_stop = False  # the line is a heading, an item or a row: its end is a stop
        self._in_table = self._in_row = False
        self._line_last = ""  # the last visible character that is spoken of this line
        self._last = ""  # the last character spoken at all

    async def feed(self, segment: str) -> list[Piece]:
        """The pieces of the next segment; gives other tasks their turn within a long one."""
        pieces: list[Piece] = []
        for number, stretch in enumerate(_stretches(segment)):
            if number:
                await asyncio.sleep(0)
            pieces += self.take(stretch)
        return pieces

    def take(self, text: str) -> list[Piece]:
        """The pieces of a short text, at once."""
        pieces: Iterable[Piece] = self._structure(text)
        if self._find is not None:
            pieces = rewrite(pieces, self._find)
        result = tidy(pieces, self._last)
        self._last = next((piece.spoken[-1] for piece in reversed(result) if piece.spoken), self._last)
        return result

    def _structure(self, text: str) -> Iterator[Piece]:
        for part, is_tag in self._parts(text):
            if is_tag and not self._fence:
                self._line_start = False
                yield kept(part, fixed=True)
                continue
            for line in part.splitlines(keepends=True):
                for piece in self._line(line):
                    self._line_last = piece.spoken.rstrip()[-1:] or self._line_last
                    yield piece

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        at = 0
        for match in self._tags.finditer(text) if self._tags else ():
            if match.group().endswith("]") and text.startswith("(", match.end()):
                continue  # a link, although the voice would understand its text
            if match.start() > at:
                yield text[at : match.start()], False
            if match.group():
                yield match.group(), True
            at = match.end()
        if at < len(text):
            yield text[at:], False

    def _line(self, line: str) -> Iterator[Piece]:
        body = line.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
        end = line[len(body) :]
        if self._line_start:
            self._begin_line(body)
            if not self._skips_line:
                prefix = self._prefix(body)
                if prefix:
                    yield silent(body[:prefix])
                    body = body[prefix:]
        self._line_start = bool(end)
        if self._skips_line:
            yield silent(line)
            return
        tail = body
        if (match := _LATE_FENCE.search(body)) and body.count("```") == 1:
            self._fence = match[1]
            tail = body[: match.start()]
        elif self._needs_stop and (match := _CLOSING_MARKS.search(body)):
            tail = body[: match.start()]
        yield from self._inline.pieces(tail, in_row=self._in_row, begun=bool(self._line_last))
        if len(tail) < len(body):
            yield silent(body[len(tail) :])
        if end:
            # Read by `_structure`, which has taken everything that was yielded before this.
            if self._needs_stop and _NEEDS_STOP.match(self._line_last):
                yield inserted(".")
            yield spoken_as(end, "\n") if end != "\n" else kept(end)

    def _begin_line(self, body: str) -> None:
        """Find out what kind of line begins with `body`, perhaps all of it."""
        self._skips_line = self._needs_stop = self._in_row = False
        self._line_last = ""
        if match := _FENCE.match(body):
            mark = match[1]
            if not self._fence:
                self._fence = mark
                self._skips_line = True
                return
            if mark.startswith(self._fence) and not match[2].strip():
                self._fence = ""
                self._skips_line = True
                return
        if self._fence:
            self._skips_line = True
        elif not body.strip():
            self._in_table = False
        elif _SEPARATOR.match(body):
            self._in_table = self._skips_line = True
        elif _RULE.match(body) or _DEFINITION.match(body):
            self._skips_line = True
        elif body.lstrip().startswith("|") or (self._in_table and "|" in body):
            self._in_row = self._needs_stop = True
        else:
            self._in_table = False

    def _prefix(self, body: str) -> int:
        """The length of the marks that make the line a quotation, a heading or an item."""
        if self._in_row:
            return 0
        at = match.end() if (match := _QUOTE.match(body)) else 0
        if match := _HEADING.match(body, at) or _BULLET.match(body, at):
            self._needs_stop = True
            return match.end()
        self._needs_stop = bool(_ORDERED.match(body, at) or _BOLD_LINE.match(body, at))
        return at


def _stretches(text: str) -> Iterator[str]:
    """The text in stretches of bounded length, cut at the end of a line or at a space if there is one."""
    start = 0
    while start < len(text):
        limit = start + MAX_STRETCH
        if sum(map(str.isnumeric, text[start:limit])) > _MANY_FIGURES:
            limit = start + _MAX_FIGURES_STRETCH
        if limit >= len(text):
            break
        half = (start + limit) // 2
        cut = max(
            text.rfind("\n", start, limit), text.rfind(". ", half, limit), text.rfind(", ", half, limit)
        )
        if cut < 0:
            cut = text.rfind(" ", start, limit)
        end = cut + 1 if cut >= 0 else limit
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
