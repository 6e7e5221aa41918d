"""Words that messages share: lists that are cut, and what an unknown name could have been."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

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
