"""The strengths of a penalty that were looked at, with what each was judged by."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, repr=False)
class PenaltyPath:
    """The strengths that a fit has looked at to choose its own.

    Attributes
    ----------
    parameter : str
        "alpha" or "C".
    criterion : {"evidence", "loo"}
    value : float
        The one that was chosen.
    values : ndarray of shape (n_values,)
        Those that were looked at, from the strongest penalty to the weakest.
    score : ndarray of shape (n_values,)
        The logarithm of the evidence, of which more is better, or the mean leave-one-out loss, of which less is.
    effective_df : ndarray of shape (n_values,)
        Parameters that the rows rather than the penalty determine.
    is_fit : ndarray of shape (n_values,) of bool
        Whether the model was fitted with that value. The score of others is the fit's beside it, continued with its
        curvature: exact for squared errors, near for other losses.
    at_end : str
        "" for an optimum between worse values on both sides, else the end of what was searched, "strong" or "weak".
    left_out : list of float
        Values whose fit did not end at an optimum.
    message : str
        What a user should know of the choice; "" for nothing.
    """

    parameter: str
    criterion: str
    value: float
    values: np.ndarray
    score: np.ndarray
    effective_df: np.ndarray
    is_fit: np.ndarray
    at_end: str
    left_out: list
    message: str

    @property
    def score_name(self) -> str:
        """What the score is."""
        return "log evidence" if self.criterion == "evidence" else "leave-one-out loss"

    def to_frame(self) -> Any:
        """One line for each value.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        columns = {self.parameter: self.values, "score": self.score}
        return pd.DataFrame({**columns, "effective_df": self.effective_df, "is_fit": self.is_fit})

    def __str__(self):
        lines = [f"{self.parameter:>12}{self.score_name:>20}{'effective_df':>14}"]
        for values in zip(self.values, self.score, self.effective_df, self.is_fit, strict=True):
            mark = "  chosen" if values[0] == self.value else "  fitted" if values[3] else ""
            lines.append(f"{values[0]:>12.5g}{values[1]:>20.8g}{values[2]:>14.5g}{mark}")
        return "\n".join(lines)

    __repr__ = __str__


def path_of(choice, parameter, criterion):
    """The `PenaltyPath` of a `Choice`, in values of the parameter; "C" is the inverse of a strength."""
    sign, seen = -1.0 if parameter == "C" else 1.0, choice.seen
    values = np.exp(sign * seen.logs)[::-1]
    score = (seen.score if criterion == "evidence" else -seen.score)[::-1]
    path = PenaltyPath(
        parameter=parameter,
        criterion=criterion,
        value=float(np.exp(sign * choice.log_strength)),
        values=values,
        score=score,
        effective_df=seen.effective_df[::-1],
        is_fit=choice.fitted[::-1],
        at_end=choice.at_end,
        left_out=[float(np.exp(sign * log)) for log, _ in choice.left_out],
        message="",
    )
    return replace(path, message=_message(path, choice))


def _message(path, choice):
    """What a user should know of a choice."""
    said, name = [], f"{path.parameter}={path.value:.4g}"
    what = "the evidence is most" if path.criterion == "evidence" else "the leave-one-out loss is least"
    asked = f'{path.parameter}="{path.criterion}"'
    if choice.reason:
        said.append(f"{asked}: {choice.reason}; the strongest penalty of the search was taken, {name}.")
    elif path.at_end:
        meaning = {
            "strong": "no sign that what is penalised helps to predict",
            "weak": "no sign that a penalty helps",
        }[path.at_end]
        said.append(
            f"{asked}: {what} at the {path.at_end} end of the penalties that were searched, {name}: {meaning}. Look at "
            f"penalty_path_, or give {path.parameter} a number."
        )
    if path.left_out:
        values = ", ".join(f"{value:.4g}" for value in path.left_out)
        said.append(
            f"{asked}: {path.parameter}={values} could not be judged and was left out, because of this: "
            f"{choice.left_out[-1][1]}"
        )
    return " ".join(said)
