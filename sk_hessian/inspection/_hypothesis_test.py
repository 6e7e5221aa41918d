"""The result of a test of one hypothesis."""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2
from scipy.stats import f as fisher

from sk_hessian._report import Report, fixed, number_text, p_text
from sk_hessian._text import listed

#: equations that a header lists
_MOST_LISTED = 8


@dataclass(frozen=True, eq=False, repr=False)
class HypothesisTest(Report):
    """A test of one hypothesis; of `CoefTable.wald`.

    Attributes
    ----------
    name : str
        Which test, such as "Wald".
    hypothesis : list of str
        The equations that hold under it, such as ``"x0 = 0"``.
    statistic : float
    distribution : {"chi2", "F"}
        What the statistic is compared with.
    df : float
        Degrees of freedom: how many independent equations the hypothesis has. `df_num` is the same.
    df_denom : float
        Those of the denominator of F; inf for chi-squared.
    p_value : float
    notes : list of (str, str)
        What the header says: captions and texts.
    """

    name: str
    hypothesis: list
    statistic: float
    distribution: str
    df: float
    df_denom: float
    p_value: float
    notes: list = field(default_factory=list)

    @classmethod
    def of(
        cls, name: str, hypothesis: list, statistic: float, df: tuple[float, float], notes: list
    ) -> "HypothesisTest":
        """The test by a statistic that is chi-squared, or F times the numerator's degrees of freedom.

        ``df`` are degrees of freedom, and those of the denominator, inf for none.
        """
        num, denom = df
        is_f = np.isfinite(denom)
        p_value = fisher.sf(statistic / num, num, denom) if is_f else chi2.sf(statistic, num)
        value = float(statistic / num if is_f else statistic)
        return cls(name, hypothesis, value, "F" if is_f else "chi2", num, denom, float(p_value), notes)

    @property
    def df_num(self) -> float:
        """Degrees of freedom of the numerator of F, the same as ``df``."""
        return self.df

    def _header(self):
        return [("test", self.name), ("hypothesis", listed(self.hypothesis, ", ", _MOST_LISTED)), *self.notes]

    def _rows(self):
        cells = [fixed(self.statistic, 3), number_text(self.df), number_text(self.df_denom), p_text(self.p_value)]
        if self.distribution == "F":
            return [["", "F", "df_num", "df_denom", "p"], ["", *cells]]
        return [["", "chi2", "df", "p"], ["", *cells[:2], cells[3]]]
