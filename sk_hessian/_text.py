"""Words that messages share: lists that are cut, and what an unknown name could have been."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

#: entries that a sentence lists; the others are counted
_MOST_LISTED = 5


def listed(entries: Sequence[object], separator: str = "; ", most: int = _MOST_LISTED) -> str:
    """The first entries of a list in words, such as ``"a; b; c; d; e and 2 more"``."""
    text = separator.join(map(str, entries[:most]))
    return text if len(entries) <= most else f"{text} and {len(entries) - most} more"


def suggestion(name: object, known: Iterable[str]) -> str:
    """A question such as ``" Did you mean 'offset'?"`` where known names are close, else an empty string."""
    # two letters exchanged in a short name are as close as 0.6, difflib's own limit
    close = get_close_matches(name, list(known)) if isinstance(name, str) else []
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def column_of(coefficient: str) -> str:
    """The column of categories that a coefficient is of: "site" of "site[b]", and "site:day" of "site[b]:day[1]".

    Other names are those of columns themselves.
    """
    return re.sub(r"\[.*?\](?=:|$)", "", coefficient)


def named_by(pattern: str, names: Sequence[str]) -> list[int]:
    """Which of the names of coefficients a pattern such as "site_*" means, or a column of categories, such as "site".

    A bracket stands for itself, as in "site[b*", unless only a set of letters fits.
    """
    for form in (pattern.replace("[", "[[]"), pattern):
        found = [i for i, name in enumerate(names) if fnmatchcase(name, form)]
        if found:
            return found
    return [i for i, name in enumerate(names) if column_of(name) == pattern]
