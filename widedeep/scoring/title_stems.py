"""The name of the series that a title belongs to, and the numbers that tell its parts apart."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

# Words after the name of a series that say what of it this is. A number beside one, and then an ordinal, belongs to it.
KINDS = (
    "season seasons part cour movie movies film gekijouban ova oad ona tv special specials recap recaps soushuuhen "
    "picture drama omake pv cm cms pilot mini prologue epilogue digest compilation edition hen"
)
ORDINALS = {
    **{"first": 1, "1st": 1, "i": 1, "zenpen": 1, "second": 2, "2nd": 2, "ii": 2, "kouhen": 2, "third": 3, "3rd": 3},
    **{"iii": 3, "fourth": 4, "4th": 4, "iv": 4, "fifth": 5, "5th": 5, "v": 5, "sixth": 6, "6th": 6, "vi": 6},
    **{"7th": 7, "vii": 7, "final": 99},
}
# Words that may be the end of a series' name as well: they go only if there is a title without them.
PERHAPS = "the kai zoku shin r r2 s z gt ex plus next encore returns again zero x full super"
LEADING = "gekijouban eiga zoku shin"
KIND_WORDS, PERHAPS_WORDS, LEADING_WORDS = (frozenset(words.split()) for words in (KINDS, PERHAPS, LEADING))
SUBTITLE = re.compile(r"\s*:\s+|\s+-\s+|\s+~|:$")
BRACKETS = re.compile(r"\(.*?\)|\[.*?\]")
WORD = re.compile(r"[^\W_]+")


class Name(NamedTuple):
    """A title without what tells the parts of a franchise apart, and the numbers that do."""

    stem: str
    numbers: tuple[int, ...]


def name_titles(titles: Sequence[str]) -> list[Name]:
    """Return the name of each title.

    What follows a colon or a dash is left out if the rest is a title of its own, or is one without its number, or there
    are others with other numbers: `Naruto: Shippuuden` is of `Naruto`, but `Code Geass: Hangyaku no Lelouch` of itself.
    """
    known = {_strip(_words(title), lambda _: False).stem for title in titles}
    numbers: dict[str, set[int]] = defaultdict(set)  # words before a number -> numbers
    for words in (_words(head) for title in titles for head in _heads(title)):
        if len(words) > 1 and (number := _number(words[-1])) is not None:
            numbers[" ".join(words[:-1])].add(number)
    known |= {stem for stem, found in numbers.items() if len(found) > 1}
    return [_name(title, known) for title in titles]


def _name(title: str, known: set[str]) -> Name:
    """Return the name of a title, given the stems of all titles."""
    *heads, whole = (_strip(_words(head), known.__contains__) for head in _heads(title))
    for head in heads:
        if head.stem in known or head.numbers:
            return Name(head.stem, head.numbers + whole.numbers)
    return whole


def _heads(title: str) -> list[str]:
    """Return what is before each colon or dash of a title, and the whole title."""
    return [*(title[: cut.start()] for cut in SUBTITLE.finditer(title)), title]


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() else ORDINALS.get(word)


def _words(title: str) -> list[str]:
    """Return the words of a title in small letters, without what is in brackets."""
    plain = unicodedata.normalize("NFKC", BRACKETS.sub(" ", title)).lower().replace("'", "")
    return WORD.findall(plain) or WORD.findall(title.lower()) or [title]


def _strip(words: list[str], is_title: Callable[[str], bool]) -> Name:
    """Drop the words at the end that tell parts apart; those of PERHAPS and numbers only if the rest `is_title`."""
    numbers: list[int] = []
    left = list(words)
    if len(left) > 1 and left[0] in LEADING_WORDS and is_title(" ".join(left[1:])):
        left = left[1:]
    after_kind = False
    while len(left) > 1:
        last, rest = left[-1], left[:-1]
        number = _number(last)
        beside_kind = number is not None and (after_kind or (rest[-1] in KIND_WORDS and len(rest) > 1))
        surely = last in KIND_WORDS or beside_kind or (after_kind and last == "the")
        if not surely and not ((number is not None or last in PERHAPS_WORDS) and is_title(" ".join(rest))):
            break
        if number is not None:
            numbers.insert(0, number)
        after_kind = last in KIND_WORDS or (after_kind and number is not None)
        left = rest
    return Name(" ".join(left), tuple(numbers))
