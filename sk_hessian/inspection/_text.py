"""Tables as text."""


def aligned(rows):
    """Lines of a table, headings first: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        right = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]))
    return lines


def interval_headings(level):
    """What the ends of an interval are called, such as ``["2.5%", "97.5%"]``."""
    return [f"{50 * (1 - level):.4g}%", f"{50 * (1 + level):.4g}%"]
