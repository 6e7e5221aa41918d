"""The Statistical Reference Datasets of NIST for linear least squares, with their certified coefficients.

Data and certified values: National Institute of Standards and Technology, https://www.itl.nist.gov/div898/strd/lls/lls.shtml
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_FILE = Path(__file__).parent / "data" / "nist_linear.json"


@dataclass(frozen=True)
class Reference:
    """A dataset: its design without the constant, and the certified coefficients, the intercept first."""

    X: np.ndarray
    y: np.ndarray
    coef: np.ndarray
    fit_intercept: bool = True


def _powers(x, degree):
    return np.stack([np.asarray(x, dtype=float) ** k for k in range(1, degree + 1)], axis=1)


def _stored(name, degree=None):
    """A dataset of the file: its columns as they are, or the powers of its one column."""
    data = json.loads(_FILE.read_text())[name]
    x, y, coef = (np.array(data[part]) for part in ("x", "y", "certified"))
    return Reference(x if degree is None else _powers(x, degree), y, coef)


def _wampler(number):
    """The sum of x^k up to x^5, in the second dataset of x^k / 10^k, and errors at right angles to all of them."""
    x = np.arange(21.0)
    base = [0.1**k if number == 2 else 1.0 for k in range(6)]
    if number == 2:
        y = np.array([sum(int(v) ** k * 10 ** (5 - k) for k in range(6)) for v in x]) / 1e5
    else:
        y = sum(x**k for k in range(6))
    half = [759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048]
    error = {3: 1, 4: 100, 5: 10_000}.get(number, 0)
    return Reference(_powers(x, 5), y + error * np.array([*half, 2048, *half[::-1]]), np.array(base))


def _through_zero(x, y, coef):
    return Reference(np.array(x, dtype=float)[:, None], np.array(y, dtype=float), np.array([coef]), fit_intercept=False)


#: name -> dataset; the certified figures have 15 digits
REFERENCES = {
    "Norris": _stored("Norris", 1),
    "Pontius": _stored("Pontius", 2),
    "NoInt1": _through_zero(range(60, 71), range(130, 141), 2.07438016528926),
    "NoInt2": _through_zero([4, 5, 6], [3, 4, 4], 0.727272727272727),
    "Filip": _stored("Filip", 10),
    "Longley": _stored("Longley"),
} | {f"Wampler{k}": _wampler(k) for k in range(1, 6)}


def correct_digits(found, certified):
    """The least log relative error of the coefficients, at most the 15 digits that are certified."""
    with np.errstate(divide="ignore"):
        return float(np.clip(-np.log10(np.abs(found - certified) / np.abs(certified)), 0, 15).min())
