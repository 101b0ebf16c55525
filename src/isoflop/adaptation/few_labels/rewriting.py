"""Ways to say a text in other words, so that a model sees more than the few texts that have labels.

A way is a value with `rewrite(texts, draw)`: as many texts as it was given, each changed or, where it finds nothing to
change, as it was. What is a word: what stands between white space, or one Chinese or Japanese character.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from isoflop.errors import UserError

WORD = re.compile(r"([\u3040-\u9fff]|[^\s\u3040-\u9fff]+)(\s*)")
WITHOUT_SPACES = re.compile(r"[\u3040-\u9fff]")
EDGES = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
Edit = Literal["swap", "delete", "insert"]
EDITS: tuple[Edit, ...] = ("swap", "delete", "insert")


class Rewriter(Protocol):
    """A way to change texts."""

    @property
    def name(self) -> str:
        """What the origin of a changed text is called."""
        ...

    def rewrite(self, texts: Sequence[str], draw: random.Random) -> list[str]:
        """Each text in other words."""
        ...


@dataclass(frozen=True)
class RandomEdit:
    """Words change places, are left out, or are said twice: `share` of a text's words (at least one), by one kind of
    edit drawn for each text.

    Wei and Zou 2019, arXiv 1901.11196, section 2; what is inserted there is a synonym, here a word of the text itself.
    """

    share: float = 0.1
    edits: tuple[Edit, ...] = EDITS
    name = "random edit"

    def __post_init__(self) -> None:
        check_share(self.share)

    def rewrite(self, texts: Sequence[str], draw: random.Random) -> list[str]:
        """Each text with its words edited; a text of one word stays."""
        return [self._edited(text, draw) for text in texts]

    def _edited(self, text: str, draw: random.Random) -> str:
        words, spaces = split_words(text)
        if len(words) < 2:
            return text
        edit = draw.choice(self.edits)
        for _ in range(count_of(self.share, len(words))):
            at = draw.randrange(len(words))
            if edit == "swap":
                other = draw.randrange(len(words))
                words[at], words[other] = words[other], words[at]
            elif edit == "insert":
                words.insert(at, draw.choice(words))
                spaces.insert(at, " " if any(spaces) else "")
            elif len(words) > 1:
                del words[at], spaces[at]
        return join_words(words, spaces)


@dataclass(frozen=True)
class Synonyms:
    """`share` of a text's words that have synonyms in `table` (at least one) are replaced by one of them."""

    table: Mapping[str, tuple[str, ...]]
    share: float = 0.1
    name = "synonyms"

    def __post_init__(self) -> None:
        check_share(self.share)

    def rewrite(self, texts: Sequence[str], draw: random.Random) -> list[str]:
        """Each text with synonyms; a text without a known word stays."""
        return [self._replaced(text, draw) for text in texts]

    def _replaced(self, text: str, draw: random.Random) -> str:
        words, spaces = split_words(text)
        known = [at for at, word in enumerate(words) if _bare(word) in self.table]
        for at in draw.sample(known, min(len(known), count_of(self.share, len(words)))):
            words[at] = _put(words[at], draw.choice(self.table[_bare(words[at])]))
        return join_words(words, spaces)


@dataclass(frozen=True)
class BackTranslation:
    """Into another language and back, by two translators of lists of texts; what one of them can't say stays.

    Sennrich et al. 2016, arXiv 1511.06709; as augmentation Xie et al. 2019, arXiv 1904.12848.
    """

    there: Callable[[Sequence[str]], Sequence[str]]
    back: Callable[[Sequence[str]], Sequence[str]]
    name = "back-translation"

    def rewrite(self, texts: Sequence[str], draw: random.Random) -> list[str]:
        """Each text as it comes back; one that comes back empty stays."""
        del draw
        returned = self.back(self.there(texts))
        return [new if new.strip() else old for old, new in zip(texts, returned, strict=True)]


def read_synonyms(path: Path) -> dict[str, tuple[str, ...]]:
    """Words and their synonyms: JSON with a list for each word, or lines of `word<tab>synonym, synonym`.

    Raises `UserError`, with the line, for what is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            found = {str(word): tuple(map(str, several)) for word, several in json.loads(text).items()}
        else:
            found = dict(_synonyms_of(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path} can't be read as synonyms ({error}).") from error
    if not any(found.values()):
        raise UserError(f"{path} has no synonyms: write a word, a tab, and its synonyms with commas between.")
    return {word.lower(): several for word, several in found.items() if several}


def split_words(text: str) -> tuple[list[str], list[str]]:
    """A text's words, and the white space behind each."""
    found = WORD.findall(text)
    return [word for word, _ in found], [space for _, space in found]


def join_words(words: Sequence[str], spaces: Sequence[str]) -> str:
    """The text that `split_words` took apart, without white space at its ends; words that need a space between them get
    one where they were moved."""
    text = ""
    for at, word in enumerate(words):
        apart = at and not spaces[at - 1] and not WITHOUT_SPACES.match(words[at - 1]) and not WITHOUT_SPACES.match(word)
        text += (" " if apart else "") + word + spaces[at]
    return text.strip()


def _synonyms_of(path: Path, number: int, line: str) -> tuple[str, tuple[str, ...]]:
    word, tab, several = line.partition("\t")
    if not tab or not word.strip():
        raise UserError(f"{path}, line {number}: write a word, a tab, and its synonyms with commas between.")
    return word.strip(), tuple(one.strip() for one in several.split(",") if one.strip())


def _bare(word: str) -> str:
    """A word without its punctuation, in small letters."""
    match = EDGES.match(word)
    return match[2].lower() if match else word.lower()


def _put(word: str, other: str) -> str:
    """`other` with the punctuation and the first letter's size of `word`."""
    match = EDGES.match(word)
    before, inner, behind = match.groups() if match else ("", word, "")
    return before + (other[:1].upper() + other[1:] if inner[:1].isupper() else other) + behind


def count_of(share: float, words: int) -> int:
    """How many of so many words a share is: at least one."""
    return max(1, round(share * words))


def check_share(share: float) -> None:
    """Raises `UserError` for a share that is none."""
    if not 0 < share < 1:
        raise UserError(f"The share of words to change must be between 0 and 1, not {share}.")
