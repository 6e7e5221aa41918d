"""Quantile regression: conditional quantiles, one or several."""

import copy
from dataclasses import replace
from numbers import Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_hessian import _validation
from sk_hessian._base import UNTOLD
from sk_hessian.linear_model._linear_model import LinearModel
from sk_hessian.objectives import L1, PinballLoss, explained

#: what may be done about quantiles that cross
_CROSSING = ("keep", "sort")


def _never(estimator):
    raise AttributeError("partial_fit is not there: a quantile goes through single rows, and needs all of them at once")


class QuantileRegressor(RegressorMixin, LinearModel):
    """Linear quantile regression: minimises ``mean_i pinball(y_i - x_i'coef - intercept) + alpha |coef|_1``.

    The pinball loss of a residual r is ``quantile * r`` above zero and ``(quantile - 1) * r`` below; the mean is
    weighted by ``sample_weight``. It is scikit-learn's objective, a linear program. Here the loss is smoothed over a
    width that shrinks, and each smooth objective is minimised by the solver, until the equations of the rows that are
    left within the width give a vertex of the program. The duality gap, a bound of what is left above the optimum,
    proves that it is optimal: ``convergence_.decrement``. ``fit``, ``predict`` and ``score`` take an ``offset``, a
    known part of the prediction.

    Parameters
    ----------
    quantile : float or array-like of shape (n_quantiles,), default=0.5
        Above 0 and below 1. Several are fitted one by one, and give a row of ``coef_`` and a column of predictions
        each.
    alpha : float, default=1.0
        Strength of the L1 penalty, for which scaling the features matters; 0 for none.
    fit_intercept : bool, default=True
    solver : {"auto", "newton", "lbfgs"} or a solver object, default="auto"
        What minimises the smooth objectives; "auto" is Newton's method up to 3000 features. The others, of first order,
        are refused because they come too slowly to where a vertex can be told.
    crossing : {"keep", "sort"}, default="keep"
        Of several quantiles: lines of different slopes cross somewhere. "sort" sorts the predictions of each row, so
        that a higher quantile never has a lower one: the rearrangement, which comes no farther from the true quantiles.
        ``coef_`` is the same.
    max_iter : int, default=1000
        Largest number of iterations of the solver for a quantile, on all smooth objectives together.
    tol, warm_start, verbose, random_state, categorical_features
        As in `PoissonRegressor`. The coefficients of levels are differences from the first one, the penalised ones too.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_quantiles, n_features)
    intercept_ : numpy scalar, or ndarray of shape (n_quantiles,)
    convergence_ : Convergence
        Of several quantiles that of the one which is farthest from its optimum; the message says which. Its passes are
        those of all.
    history_ : dict of str to ndarray
        The objective on the way is the smoothed one. Of several quantiles one after the other, with a further column
        "quantile".
    n_iter_ : int
        Of several quantiles the sum.
    solver_, has_offset_, n_features_in_, feature_names_in_
        As in `PoissonRegressor`.

    References
    ----------
    .. [1] R. Koenker, "Quantile Regression", 2005.
    .. [2] X. He, X. Pan, K. M. Tan, W.-X. Zhou, "Smoothed quantile regression with large-scale inference", Journal of
       Econometrics 232(2), 2023.
    .. [3] C. Chen, "A finite smoothing algorithm for quantile regression", Journal of Computational and Graphical
       Statistics 16(1), 2007.
    .. [4] V. Chernozhukov, I. Fernandez-Val, A. Galichon, "Quantile and probability curves without crossing",
       Econometrica 78(3), 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.linear_model import QuantileRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 10, size=(1000, 1))
    >>> y = X[:, 0] * (1 + 0.2 * rng.normal(size=1000))
    >>> model = QuantileRegressor(quantile=[0.1, 0.5, 0.9], alpha=0).fit(X, y)
    >>> model.coef_.round(2), model.predict([[5.0]]).round(1)
    (array([[0.73],
           [1.  ],
           [1.25]]), array([[3.7, 5. , 6.3]]))
    >>> model.convergence_.status
    'optimal'
    """

    def __init__(
        self,
        *,
        quantile=0.5,
        alpha=1.0,
        fit_intercept=True,
        solver="auto",
        crossing="keep",
        max_iter=1000,
        tol=1e-4,
        warm_start=False,
        verbose=0,
        random_state=None,
        categorical_features="from_dtype",
    ):
        super().__init__(solver, tol, max_iter, warm_start, verbose, random_state)
        self.quantile = quantile
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.crossing = crossing
        self.categorical_features = categorical_features

    _keeps_float32 = False

    partial_fit = available_if(_never)(LinearModel.partial_fit)

    # -- what a fit asks for --------------------------------------------------------------------------------------

    def _check_parameters(self):
        if np.ndim(self.quantile) > 1 or np.size(self.quantile) == 0:
            raise ValueError(f"quantile must be a number or a list of numbers that is not empty, got {self.quantile!r}")
        for quantile in np.ravel(np.asarray(self.quantile, dtype=object)):
            if isinstance(quantile, (bool, np.bool_)) or not isinstance(quantile, Real):
                raise TypeError(f"quantile must be a number above 0 and below 1, or a list of them, got {quantile!r}")
            if not 0 < float(quantile) < 1:
                raise ValueError(f"quantile must be above 0 and below 1, got {quantile!r}")
        _validation.check_number(self, "alpha", 0)
        if self.crossing not in _CROSSING:
            raise ValueError(f"crossing must be one of {_CROSSING}, got {self.crossing!r}")

    @property
    def _has_several(self):
        return np.ndim(self.quantile) > 0

    def _encode(self, y, weight, reset):
        y = y.astype(float, copy=False)
        loss = PinballLoss(float(np.ravel(self.quantile)[0]))
        _validation.check_range(loss, y, type(self).__name__)
        return y, weight, loss

    def _strength(self):
        return 0.0

    def _terms(self):
        return (L1(float(self.alpha)),) if self.alpha else ()

    def _max_subtasks(self):
        return 0 if self._has_several else super()._max_subtasks()

    # -- fit ------------------------------------------------------------------------------------------------------

    def _learn(self, data, task):
        if data.parts is not None:
            raise ValueError("X: a quantile goes through single rows, which must be in memory: pass X and y as arrays")
        if not self._has_several:
            super()._learn(data, task)
            return
        self._check_former()
        fits = []
        for index, quantile in enumerate(self.quantile):
            one = self._of_one(index)
            one._learn(data, UNTOLD)
            one.convergence_ = replace(one.convergence_, message=f"quantile {quantile:g}: {one.convergence_.message}")
            fits.append(one)
        self._gather(fits)

    def _check_former(self):
        """Raise where a warm start would begin at the fit of other quantiles."""
        former = np.shape(getattr(self, "coef_", ()))
        if self.warm_start and hasattr(self, "coef_") and (len(former) < 2 or former[0] != len(self.quantile)):
            raise ValueError(
                f"warm_start=True: the former coef_ has shape {former}, and there are {len(self.quantile)} quantiles; "
                "refit with warm_start=False"
            )

    def _of_one(self, index):
        """A copy for one of several quantiles, with its part of the fitted attributes."""
        one = copy.copy(self)
        one.quantile = self.quantile[index]
        if hasattr(self, "coef_"):
            one.coef_, one.intercept_ = self.coef_[index], np.broadcast_to(self.intercept_, len(self.quantile))[index]
        return one

    def _gather(self, fits):
        """The fitted attributes, from the fits of the quantiles."""
        for name, value in vars(fits[0]).items():
            if name not in self.get_params(deep=False):
                setattr(self, name, value)
        self.coef_ = np.stack([one.coef_ for one in fits])
        self.intercept_ = np.array([one.intercept_ for one in fits]) if self.fit_intercept else 0.0
        self.n_iter_ = sum(one.n_iter_ for one in fits)
        farthest = max((one.convergence_ for one in fits), key=lambda c: (c.status != "optimal", c.decrement / c.scale))
        self.convergence_ = replace(farthest, passes=sum(one.convergence_.passes for one in fits))
        self.history_ = {name: np.concatenate([one.history_[name] for one in fits]) for name in fits[0].history_}
        lengths = [len(one.history_["iteration"]) for one in fits]
        self.history_["quantile"] = np.repeat(np.asarray(self.quantile, dtype=float), lengths)

    # -- predictions and scores -----------------------------------------------------------------------------------

    def _linear_predictor(self, X, offset=None):
        if offset is not None and np.ndim(self.coef_) == 2:
            _validation.check_offset_outputs(offset, 1, False)
            offset = np.broadcast_to(offset[:, None], (len(offset), len(self.coef_)))
        return super()._linear_predictor(X, offset)

    def _predicted(self, raw):
        if raw.ndim == 1 or self.crossing == "keep":
            return raw
        predicted = np.empty_like(raw)
        predicted[:, np.argsort(self.quantile, kind="stable")] = np.sort(raw, axis=1)
        return predicted

    def score(self, X, y=None, sample_weight=None, offset=None):
        """D^2 of the pinball loss, the share of that of the best constant which predictions save.

        1 - loss(predictions) / loss(quantile of y), Koenker & Machado's R^1; of several quantiles the mean. With
        ``crossing="sort"`` predictions are the sorted ones.

        Parameters
        ----------
        X, y, sample_weight, offset
            As of `fit`; beside an offset the constant is the quantile of what it leaves.

        Returns
        -------
        float

        References
        ----------
        .. [1] R. Koenker, J. Machado, "Goodness of fit and related inference processes for quantile regression",
           JASA 94(448), 1999.
        """
        check_is_fitted(self)
        data = _validation.RowData(X, y, sample_weight, offset)
        if data.parts is not None:
            raise ValueError("X: a quantile of all y is needed, so that rows must be in memory: pass X and y as arrays")
        X, y, weight, offset = _validation.check_training_data(self, data, reset=False, **self._of_targets)
        y, weight, _ = self._encode(y, weight, reset=False)
        raw = self._predicted(self._linear_predictor(X, offset)).reshape(len(y), -1)
        losses = [PinballLoss(float(quantile)) for quantile in np.ravel(self.quantile)]
        return float(np.mean([explained(loss, y, raw[:, [i]], weight, offset) for i, loss in enumerate(losses)]))

    # -- the objective of inspection ------------------------------------------------------------------------------

    def _objective_and_theta(self, data):
        if np.ndim(self.coef_) == 2:
            raise ValueError(
                f"this QuantileRegressor has {len(self.coef_)} quantiles, each with an objective of its own: look at "
                "fits of one quantile"
            )
        return super()._objective_and_theta(data)
