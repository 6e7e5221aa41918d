"""Which parameters of a table a user means: names, patterns of names, and contrasts of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from scipy.linalg import helmert
from scipy.special import expit

from sk_hessian._text import column_of, listed, suggestion
from sk_hessian.inspection._hessian import sentence
from sk_hessian.objectives import OrdinalLoss

#: rows that are combinations of others but for this share of their length, in standard errors, are dependent
_DEPENDENT = 1e-10

#: what other packages call the intercept, in lower case
_INTERCEPTS = {"intercept", "(intercept)", "const", "_cons", "constant", "bias"}

#: terms of a contrast that its name lists
_MOST_TERMS = 4


@dataclass(frozen=True)
class Scale:
    """What the exponential of a coefficient is.

    ``ratio`` is its name, "" where it has no meaning; ``level`` what it is a ratio of, and what the exponential of
    an intercept is; ``refusal`` why there is none, the end of a sentence.
    """

    ratio: str = ""
    level: str = ""
    refusal: str = ""

    @classmethod
    def of(cls, fitted: Any) -> "Scale":
        """That of a `Fitted` linear model, by what its inverse link does to numbers."""
        loss, family = fitted.loss_of_predictions, fitted.loss.family
        if loss.shift_invariant:
            return cls("odds ratio", "odds")
        raw = np.arange(-2.5, 3.0)
        with np.errstate(all="ignore"):
            mean = loss.inverse_link(np.repeat(raw[:, None], loss.n_outputs, axis=1)).reshape(len(raw), -1)[:, 0]
        if np.allclose(mean, expit(raw), rtol=1e-9, atol=0):
            return cls("odds ratio", "odds")
        if isinstance(fitted.loss, OrdinalLoss) and fitted.loss.link == "logit":
            return cls("odds ratio", "odds")
        if np.allclose(mean, -np.expm1(-np.exp(raw)), rtol=1e-9, atol=0):
            return cls("hazard ratio", "hazard")
        if np.allclose(mean, np.exp(raw), rtol=1e-9, atol=0):
            if family.weights_are_trials:
                return cls("risk ratio", "risk")
            is_count = family.has_likelihood and not family.has_dispersion
            return cls("rate ratio", "rate") if is_count else cls("ratio", "mean")
        link = "the identity link" if np.allclose(mean, raw, rtol=1e-9, atol=0) else f"that of {fitted.loss!r}"
        return cls(
            refusal=f"is for the log, the logit and the cloglog link, this {fitted.name} has {link}: a coefficient is "
            "no logarithm of a ratio"
        )


@dataclass(frozen=True)
class Layout:
    """The order of a linear model's parameters: features times outputs, intercepts times outputs, constants.

    ``outputs`` are the names of classes or targets, of more than one. ``sums_to_zero`` says whether the parameters of a
    feature do, over the classes; ``base`` is the class that they are relative to, otherwise.
    """

    names: list
    features: list
    outputs: list
    has_intercept: bool
    n_constants: int
    has_edge: bool  #: whether the constants cannot be less than zero
    scale: Scale
    model: str
    sums_to_zero: bool = False
    base: str | None = None

    @classmethod
    def of(cls, fitted: Any) -> "Layout":
        """That of a `Fitted` linear model."""
        objective, loss = fitted.objective, fitted.loss
        k = loss.n_outputs
        labels = range(k) if objective.class_names is None else objective.class_names
        return cls(
            names=fitted.reported[0],
            features=[objective.name(j) for j in range(objective.n_features)],
            outputs=[] if k == 1 else [str(label) for label in labels],
            has_intercept=bool(objective.fit_intercept),
            n_constants=loss.n_constants,
            has_edge=loss.even_constants,
            scale=Scale.of(fitted),
            model=fitted.name,
            sums_to_zero=loss.shift_invariant,
        )

    def of_parameters(self, chosen: np.ndarray) -> "Layout":
        """That of some features with all their parameters, the intercepts and constants, by position."""
        k, p = self.n_outputs, len(self.features)
        features = [self.features[j // k] for j in chosen if j < p * k][::k]
        return replace(self, names=[self.names[j] for j in chosen], features=features)

    @property
    def n_outputs(self) -> int:
        """Parameters of each feature."""
        return max(len(self.outputs), 1)

    @property
    def n_weights(self) -> int:
        """How many parameters are no constants of the loss."""
        return len(self.names) - self.n_constants

    @property
    def is_edge(self) -> np.ndarray:
        """Which parameters have zero as the least value that they may have, shape (n_parameters,)."""
        return self.has_edge & (np.arange(len(self.names)) >= self.n_weights)

    def without_mean(self, L: np.ndarray) -> np.ndarray:
        """Combinations (m, n_parameters) less what sums over the classes, which are zero, add to them."""
        if not self.sums_to_zero:
            return L
        by_output = L[:, : self.n_weights].reshape(len(L), -1, self.n_outputs)
        return np.hstack(
            [(by_output - by_output.mean(axis=2, keepdims=True)).reshape(len(L), -1), L[:, self.n_weights :]]
        )

    # -- names --------------------------------------------------------------------------------------------------------

    @cached_property
    def _known(self):
        """Pairs of a name and the parameters that it stands for: each one's, and each feature's of several outputs."""
        known = [(name, [i]) for i, name in enumerate(self.names)]
        if self.outputs:
            k, rows = self.n_outputs, [*self.features, *["intercept"] * self.has_intercept]
            known += [(name, list(range(j * k, j * k + k))) for j, name in enumerate(rows)]
        return known

    def positions(self, term: Any, what: str) -> list[int]:
        """The parameters that a name or a pattern stands for; a pattern, such as ``"site_*"``, is for features.

        The name of a column of categories, such as ``"site"``, stands for all its levels.
        """
        if not isinstance(term, str):
            raise TypeError(f"{what}: a term is the name of a parameter, or a pattern such as 'site_*', got {term!r}")
        found = [positions for name, positions in self._known if name == term]
        if len(found) > 1:
            raise ValueError(
                f"{what}: {len(found)} parameters are called {term!r}: rename the column, or pass contrasts"
            )
        if found:
            return found[0]
        of_column = [positions for name, positions in self._known if column_of(name) == term]
        if of_column:
            return sorted({i for positions in of_column for i in positions})
        if "*" in term:
            return self._matching(term, what)
        raise ValueError(f"{what}: no parameter is called {term!r}.{self._advice(term)}")

    def _matching(self, pattern, what):
        form = re.compile(".*".join(map(re.escape, pattern.split("*"))))
        n_coef = len(self.features) * self.n_outputs
        matching = {i for name, positions in self._known if form.fullmatch(name) for i in positions if i < n_coef}
        if not matching:
            raise ValueError(f"{what}: no feature matches {pattern!r}. The features are {listed(self.features, ', ')}")
        return sorted(matching)

    def _advice(self, term):
        if term.lower() in _INTERCEPTS:
            return " The intercept is called 'intercept'" if self.has_intercept else " The model has no intercept"
        near = suggestion(term, dict.fromkeys(name for name, _ in self._known))
        return f"{near} The parameters are {listed(self.names, ', ')}"

    # -- hypotheses and contrasts -------------------------------------------------------------------------------------

    def hypotheses(self, terms: Any, unit: np.ndarray, what: str) -> tuple[list, np.ndarray]:
        """Names of what is zero, and independent combinations (m, n_parameters) that say the same.

        ``terms`` are a name, a pattern, several of either, or contrasts, which are refused where they depend on each
        other in units of the parameters (n_parameters,). Where the parameters of a feature sum to zero
        over the classes, all of them being zero is one equation less.
        """
        if isinstance(terms, str):
            terms = [terms]
        if isinstance(terms, Iterator):
            terms = list(terms)
        if hasattr(terms, "__len__") and not len(terms):
            raise ValueError(f"{what}: there is no term: pass names of parameters, or contrasts")
        if isinstance(terms, Mapping) or not _is_of_strings(terms):
            names, L = self.contrasts(terms, what)
            _require_independent(self.without_mean(L), names, unit, what)
            return names, L
        chosen = sorted({i for term in terms for i in self.positions(term, what)})
        k, eye = self.n_outputs, np.eye(len(self.names))
        groups: dict[int, list[int]] = {}
        for i in chosen:
            groups.setdefault(i // k * k if i < self.n_weights else i, []).append(i)
        rows: list[np.ndarray] = []
        for mine in groups.values():
            all_classes = self.sums_to_zero and len(mine) == k
            rows += list(helmert(k) @ eye[mine] if all_classes else eye[mine])
        return [self.names[i] for i in chosen], np.array(rows)

    def contrasts(self, L: Any, what: str) -> tuple[list, np.ndarray]:
        """Names and combinations (m, n_parameters) of contrasts: an array, a data frame, or a dict, see `contrast`."""
        given: list[str | None]
        L = _by_name(L)
        if isinstance(L, Mapping) and L and all(isinstance(value, Real) for value in L.values()):
            L = [L]
        if isinstance(L, Mapping):
            given, rows = [str(name) for name in L], [self._row(row, what) for row in L.values()]
        elif hasattr(L, "columns") and hasattr(L, "to_numpy"):
            labels = getattr(L, "index", range(len(L)))
            given = [None if isinstance(label, Real) else str(label) for label in labels]
            rows = [self._row(dict(zip(L.columns, row, strict=True)), what) for row in L.to_numpy()]
        elif isinstance(L, list | tuple) and any(isinstance(row, Mapping) for row in L):
            given, rows = [None] * len(L), [self._row(row, what) for row in L]
        else:
            rows = self._array(L, what)
            given = [None] * len(rows)
        if not len(rows):
            raise ValueError(f"{what}: there is no term: pass names of parameters, or contrasts")
        matrix = np.array(rows)
        return [name or self._named(row) for name, row in zip(given, matrix, strict=True)], matrix

    def _named(self, row):
        used = np.flatnonzero(row)
        return sentence([self.names[i] for i in used], row[used], _MOST_TERMS) if used.size else "0"

    def _row(self, row, what):
        """A contrast (n_parameters,), from a dict of coefficients or from as many numbers as parameters."""
        row = _by_name(row)
        if not isinstance(row, Mapping):
            return self._array(np.reshape(row, -1), what)[0]
        found = np.zeros(len(self.names))
        for name, coefficient in row.items():
            positions = self.positions(name, what)
            if len(positions) > 1 or (isinstance(name, str) and name not in self.names):
                raise ValueError(
                    f"{what}: {name!r} stands for {len(positions)} parameters, and a contrast needs one: "
                    f"{listed([self.names[i] for i in positions], ', ')}"
                )
            if isinstance(coefficient, str) or not np.isfinite(coefficient):
                raise ValueError(f"{what}: the coefficient of {name!r} must be a finite number, got {coefficient!r}")
            found[positions[0]] += coefficient
        return found

    def _array(self, L, what):
        L, p = np.asarray(L), len(self.names)
        if L.dtype.kind not in "iuf":
            raise TypeError(
                f"{what}: pass names of parameters, a pattern such as 'site_*', or contrasts: an array of numbers, or "
                f"a dict of names and rows; got an array of {L.dtype}"
            )
        L = np.atleast_2d(L.astype(float))
        if L.ndim != 2 or L.shape[1] != p:
            raise ValueError(
                f"{what}: contrasts must have one column for each of the {p} parameters ({listed(self.names, ', ')}), "
                f"got shape {L.shape}"
            )
        if not np.isfinite(L).all():
            raise ValueError(f"{what}: contrasts must be finite numbers")
        return L


def _by_name(row):
    """A series whose index has names as a dict; anything else as it is."""
    is_series = hasattr(row, "to_dict") and hasattr(row, "index") and not hasattr(row, "columns")
    return row.to_dict() if is_series and any(isinstance(label, str) for label in row.index) else row


def _is_of_strings(terms):
    """Whether these are names; numbers and what is no sequence are left to `Layout.contrasts`."""
    if hasattr(terms, "columns") or not isinstance(terms, Iterable):
        return False
    terms = list(terms) if not isinstance(terms, np.ndarray) else terms.ravel().tolist()
    return any(isinstance(term, str) for term in terms)


def _require_independent(L, names, unit, what):
    """Refuse combinations (m, n_parameters) that depend on each other, in units of the parameters."""
    rows = L * np.where(unit > 0, unit, 1.0)
    length = np.linalg.norm(rows, axis=1)
    if not length.all():
        raise ValueError(f"{what}: {names[np.argmin(length)]!r} is zero whatever the parameters are: leave it out")
    rows /= length[:, None]
    if np.linalg.matrix_rank(rows, tol=_DEPENDENT) == len(rows):
        return
    for i in range(1, len(rows)):
        share = np.linalg.lstsq(rows[:i].T, rows[i], rcond=_DEPENDENT)[0]
        if np.linalg.norm(rows[i] - share @ rows[:i]) <= _DEPENDENT * len(rows):
            of = share * length[i] / length[:i]
            used = np.flatnonzero(np.abs(share) > _DEPENDENT)
            same = sentence([f"({names[j]})" for j in used], of[used], _MOST_TERMS)
            raise ValueError(f"{what}: the rows are dependent, {names[i]!r} is {same}: leave one of them out")
    raise ValueError(f"{what}: the {len(rows)} rows are dependent: leave out those that follow from others")
