"""What the displays share: matplotlib, axes, colours and short labels."""

from sk_hessian.inspection._hessian import combination

#: colours that the colour-blind tell apart (M. Okabe, K. Ito, "Color universal design", 2008), the darkest first
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

#: between ticks, where numbers have many digits
_MOST_INTERVALS = 5

#: length of a label, in characters, that an axis has room for
_MOST_CHARACTERS = 44


def pyplot(display):
    """The module `matplotlib.pyplot`; an ImportError that names the ``display`` where it is not installed."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{display} needs matplotlib: pip install sk-hessian[plot]") from error
    return plt


def axes(display, ax, height=None):
    """The given axes, or those of a new figure, of a height in inches, whose layout leaves room for all labels."""
    plt = pyplot(display)
    if ax is not None:
        return ax
    figure, ax = plt.subplots(layout="constrained")
    if height is not None:
        figure.set_figheight(height)
    return ax


def line_style(defaults, given):
    """Options of lines: the defaults, and what a user gave, by whatever alias."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return defaults | normalize_kwargs(given, Line2D)


def count_along_x(ax):
    """Ticks at whole numbers only, unless the axis has a scale of the user's."""
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", integer=True)


def few_ticks(ax):
    """So few ticks that numbers of many digits do not touch, unless the axes have a locator of the user's."""
    from matplotlib.ticker import MaxNLocator

    for axis in (ax.xaxis, ax.yaxis):
        locator = axis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            locator.set_params(nbins=_MOST_INTERVALS)


def direction(names, vector):
    """A vector of parameters in words, such as ``"0.8 x0 - 0.6 x3"``, as many terms as an axis has room for."""
    texts = [combination(names, vector, most) for most in (4, 3, 2, 1)]
    return next((text for text in texts if len(text) <= _MOST_CHARACTERS), texts[-1])
