"""What the displays share: matplotlib, axes, colours and short labels."""

import numpy as np

#: colours that the colour-blind tell apart (M. Okabe, K. Ito, "Color universal design", 2008), the darkest first
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

#: length of a label, in characters, that an axis has room for
_MOST_CHARACTERS = 44

#: parameters whose share in a combination is less beside the largest are not named
_SMALL_SHARE = 0.05


def pyplot(display):
    """The module `matplotlib.pyplot`.

    Parameters
    ----------
    display : str
        Who asks, for the error.

    Raises
    ------
    ImportError
        Where matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{display} needs matplotlib: pip install sk-hessian[plot]") from error
    return plt


def axes(display, ax, height=None):
    """The given axes, or those of a new figure whose layout leaves room for all labels.

    Parameters
    ----------
    display : str
    ax : matplotlib.axes.Axes or None
    height : float, optional
        Of a new figure, in inches.

    Returns
    -------
    matplotlib.axes.Axes
    """
    plt = pyplot(display)
    if ax is not None:
        return ax
    figure, ax = plt.subplots(layout="constrained")
    if height is not None:
        figure.set_figheight(height)
    return ax


def check_choice(argument, value, choices):
    """Refuse what is not one of the choices.

    Raises
    ------
    ValueError
        Naming the argument and the choices.
    """
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{argument} must be one of {tuple(choices)}, got {value!r}")


def combination(names, weights):
    """The leading terms of a combination of parameters, such as ``"+0.8 x0 -0.6 x3"``, as many as an axis has room for.

    Parameters
    ----------
    names : sequence of str
    weights : ndarray of shape (n,)

    Returns
    -------
    str
    """
    order = np.argsort(-np.abs(weights), kind="stable")
    order = order[np.abs(weights[order]) > _SMALL_SHARE * np.abs(weights).max()]
    text = ""
    for i in order:
        term = f"{weights[i]:+.2g} {names[i]}".replace("-", "\N{MINUS SIGN}", 1)
        if text and len(text) + len(term) > _MOST_CHARACTERS:
            return f"{text} ..."
        text = f"{text} {term}".strip()
    return text
