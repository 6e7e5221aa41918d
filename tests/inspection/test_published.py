"""Results that Stata, R and NIST have printed, with the data that they are of.

Stata's are those that statsmodels keeps for its own tests (``statsmodels/*/tests/results``: `results_macro_ols_robust`,
`results_grunfeld_ols_robust_cluster`, `results_count_robust_cluster`, `results_count_margins`, `results_regression`,
`results_discrete`).
"""

import numpy as np
import pandas as pd
import pytest
from statsmodels.datasets import anes96, cpunish, grunfeld, longley, macrodata, spector

from sk_hessian.inspection import coef_table, compare_models, marginal_effects, prediction_table
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

#: damage by waves: incidents and months of service of five types of ships, built in four periods, at sea in two
#: (McCullagh and Nelder 1989, table 6.2; ``ships`` of R's MASS)
INCIDENTS = [0, 0, 3, 4, 6, 18, 11, 39, 29, 58, 53, 12, 44, 18, 1, 1, 0, 1, 6, 2, 1, 0, 0, 0, 0, 2, 11, 4]
INCIDENTS += [0, 7, 7, 5, 12, 1]
SERVICE = [127, 63, 1095, 1095, 1512, 3353, 2244, 44882, 17176, 28609, 20370, 7064, 13099, 7117, 1179, 552, 781, 676]
SERVICE += [783, 1948, 274, 251, 105, 288, 192, 349, 1208, 2051, 45, 789, 437, 1157, 2161, 542]
BUILT = [1, 1, 2, 2, 3, 3, 4] * 4 + [1, 2, 2, 3, 3, 4]
AT_SEA = [0, 1, 0, 1, 0, 1, 1] * 4 + [0, 0, 1, 0, 1, 1]
TYPE = np.repeat(list("ABCDE"), [7, 7, 7, 7, 6])


def ships(exposed, columns=None):
    """Counts of ships, with the months of service as exposure or without."""
    X = pd.DataFrame({"yr_con": BUILT, "op_75_79": AT_SEA}, dtype=float) if columns is None else columns
    offset = np.log(SERVICE) if exposed else None
    return PoissonRegressor(alpha=0, tol=1e-10).fit(X, INCIDENTS, offset=offset), X, offset


#: options, whether months of service are an exposure, factor of the covariance, standard errors
POISSON = {
    "exposure": ({}, True, 1, [0.05790831365493, 0.12151759298719, 0.13252425018256]),
    "robust": ({"cov": "HC0"}, False, 34 / 33, [0.19233713248134, 0.55301404772037, 0.66532523368388]),
    "exposure, robust": ({"cov": "HC0"}, True, 34 / 33, [0.09144457613957, 0.16103531267836, 0.2558675415017]),
    # without the factor (n - 1) / (n - k), which Stata has for least squares alone
    "cluster": ({"cov_groups": TYPE}, False, 31 / 33, [0.19933709357097, 0.11093628220713, 1.1048569901548]),
    "exposure, cluster": ({"cov_groups": TYPE}, True, 31 / 33, [0.03817694295902, 0.09213163536669, 0.0968656626603]),
}


@pytest.mark.parametrize("name", POISSON)
def test_poisson_of_stata(name):
    options, exposed, factor, error = POISSON[name]
    model, X, offset = ships(exposed)
    table = coef_table(model, X, INCIDENTS, offset=offset, **options)
    np.testing.assert_allclose(np.sqrt(factor) * table.std_error, error, rtol=1e-6)
    if exposed:
        np.testing.assert_allclose(table.estimate, [0.30633819450439, 0.35592229608495, -6.974712802772], rtol=1e-6)
        assert table.log_likelihood == pytest.approx(-91.28727940081573, rel=1e-9)
        assert table.pseudo_r2 == pytest.approx(0.2523405986746273, rel=1e-6)
    if name == "exposure, robust":
        # its Wald test that both are zero
        assert table.wald("*").statistic / factor == pytest.approx(15.1822804640621, rel=1e-6)


def test_overdispersed_counts_of_ships():
    """McCullagh and Nelder 1989, table 6.3: type, year and period; a deviance of 38.7, a dispersion of 1.69."""
    kinds = pd.DataFrame({"type": TYPE, "year": [str(period) for period in BUILT]})
    columns = pd.get_dummies(kinds, drop_first=True).astype(float)
    columns["period"] = np.array(AT_SEA, dtype=float)
    model, X, offset = ships(True, columns)
    table = coef_table(model, X, INCIDENTS, offset=offset)
    estimate = [-0.54, -0.69, -0.08, 0.33, 0.70, 0.82, 0.45, 0.38, -6.41]
    np.testing.assert_allclose(table.estimate, estimate, atol=0.0051)
    assert (round(table.deviance, 1), table.df_resid) == (38.7, 25)
    quasi = coef_table(model, X, INCIDENTS, offset=offset, dispersion="pearson")
    assert quasi.dispersion == pytest.approx(1.69, abs=0.005)
    np.testing.assert_allclose(quasi.std_error, np.sqrt(quasi.dispersion) * table.std_error, rtol=1e-10)


def test_robust_and_newey_west_of_stata():
    """``regress g_realinv g_realgdp L.realint, vce(robust)``, and ``newey ..., lag(4)``."""
    data = macrodata.load_pandas().data
    growth = 400 * np.diff(np.log(data[["realgdp", "realinv"]].to_numpy()), axis=0)
    X, y = np.column_stack([growth[:, 0], data["realint"].to_numpy()[:-1]]), growth[:, 1]
    model = LinearRegression(tol=1e-10).fit(X, y)
    table = coef_table(model, X, y, cov="HC1")
    np.testing.assert_allclose(table.estimate, [4.3742216647032, -0.61399696947899, -9.4816727746549], rtol=1e-6)
    np.testing.assert_allclose(table.std_error, [0.32355452428856, 0.32772840315987, 1.3690593206013], rtol=1e-6)
    np.testing.assert_allclose(table.p_value[1], 0.06246625509181, rtol=1e-6)
    np.testing.assert_allclose(table.lower, [3.7361862031101, -1.2602631388273, -12.181398261383], rtol=1e-6)
    assert table.wald("*").statistic == pytest.approx(92.94502024547633, rel=1e-6)
    assert table.wald("*").df_denom == 199
    assert (table.r2, table.log_likelihood) == pytest.approx((0.6769775594319385, -763.9752181602239), rel=1e-9)
    table = coef_table(model, X, y, cov="HAC", lags=4)
    np.testing.assert_allclose(table.std_error, [0.33125644884286, 0.29582347593197, 1.1859338087713], rtol=1e-6)
    np.testing.assert_allclose(table.upper, [5.0274449868245, -0.03064593017165, -7.1430628393989], rtol=1e-6)
    assert table.wald("*").statistic == pytest.approx(89.45120275471848, rel=1e-6)


def test_clusters_of_stata():
    """``regress invest mvalue kstock, vce(cluster company)``; of companies and years ``ivreg2 ..., small``."""
    data = grunfeld.load_pandas().data
    data = data[data["firm"] != "American Steel"]
    X, y = data[["value", "capital"]], data["invest"]
    model = LinearRegression(tol=1e-10).fit(X, y)
    table = coef_table(model, X, y, cov_groups=data["firm"])
    np.testing.assert_allclose(table.estimate, [0.11556215606596, 0.23067848754982, -42.714369016733], rtol=1e-6)
    np.testing.assert_allclose(table.std_error, [0.01589433647768, 0.08496711097464, 20.425202580078], rtol=1e-6)
    np.testing.assert_allclose(table.p_value, [0.00004710548549, 0.02380515903536, 0.06604843284516], rtol=1e-6)
    assert table.df == 9
    assert table.wald("*").statistic == pytest.approx(51.59060716590177, rel=1e-6)
    table = coef_table(model, X, y, cov_groups=data[["firm", "year"]])
    # ivreg2 takes the smaller number of groups for all three
    own = [coef_table(model, X, y, cov_groups=groups).covariance for groups in (data["firm"], data["year"])]
    each = coef_table(model, X, y, cov="HC1").covariance
    small = 199 / 197
    moment = (own[0] * 9 / 10 + own[1] * 19 / 20) / small - each * 197 / 200
    right = 10 / 9 * small * moment
    printed = [0.01635175387097, 0.07847391274682, 19.505607409785]
    np.testing.assert_allclose(np.sqrt(right.diagonal()), printed, rtol=1e-6)
    np.testing.assert_allclose(table.std_error, printed, rtol=0.03)
    assert table.df == 9


def test_longley_of_nist_and_r():
    """Certified estimates and errors, and ``vcovHC`` of R's sandwich to the digits that were printed."""
    data = longley.load_pandas()
    X, y = data.exog, data.endog
    model = LinearRegression(tol=1e-12).fit(X, y)
    table = coef_table(model, X, y)
    certified = [84.9149257747669, 0.334910077722432e-1, 0.488399681651699, 0.214274163161675, 0.226073200069370]
    np.testing.assert_allclose(table.std_error, [*certified, 455.478499142212, 890420.383607373], rtol=1e-6)
    assert table.f_statistic == pytest.approx(330.285339234588, rel=1e-6)
    printed = {
        "HC0": [51.22035, 0.02458, 0.38324, 0.14625, 0.15821, 428.38438, 832212],
        "HC1": [68.29380, 0.03277, 0.51099, 0.19499, 0.21094, 571.17917, 1109615],
        "HC2": [67.49208, 0.03653, 0.55334, 0.20522, 0.22324, 617.59295, 1202370],
        "HC3": [91.11939, 0.05562, 0.82213, 0.29879, 0.32491, 922.80784, 1799477],
    }
    for cov, error in printed.items():
        found = coef_table(model, X, y, cov=cov).std_error
        np.testing.assert_allclose(found[:-1], error[:-1], atol=6e-6)
        assert found[-1] == pytest.approx(error[-1], abs=0.6)


def test_margins_of_stata():
    """``margins, dydx(*)`` after ``poisson``, with a column of zeros and ones as a slope and as a change."""
    data = cpunish.load_pandas()
    X = data.exog.astype(float)
    X["VC100k96"] = np.log(X["VC100k96"])
    X, y = X / X.max().round(3), data.endog - 1
    model = PoissonRegressor(alpha=0, tol=1e-10).fit(X, y)
    found = marginal_effects(model, X, y)
    effect = [47.514189267677, 2.3754103372885, -11.583732327397, -1.807106397978, 12.894515685772, -26.588397789444]
    error = [12.72269515678, 7.6314378245485, 3.8511214887188, 14.192773720841, 5.7673506886042, 7.6315578608763]
    # its columns are rounded
    np.testing.assert_allclose(found.effect, effect, rtol=3e-6)
    np.testing.assert_allclose(found.std_error, error, rtol=3e-6)
    np.testing.assert_allclose(found.lower[[0, 4]], [22.578164974105, 1.5907160498956], rtol=3e-6)
    table = coef_table(model, X, y)
    assert table.log_likelihood == pytest.approx(-28.46285727296058, rel=1e-7)
    covariance = table.covariance[[0, 4, 6], [0, 4, 0]]
    np.testing.assert_allclose(covariance, [10.87507957467, 0.42666000427673, -12.321063650937], rtol=3e-6)


def test_logit_of_stata():
    """``logit`` and ``margins`` of grades with a new way of teaching (Spector and Mazzeo 1980); data are rounded."""
    data = spector.load_pandas()
    X, y = data.exog, data.endog
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    table = coef_table(model, X, y)
    figures = (table.log_likelihood, table.pseudo_r2, table.null_deviance - table.deviance, table.aic, table.bic)
    assert figures == pytest.approx(
        (-12.8896334653335, 0.374038332124624, 15.4041924625676, 33.779266930667, 39.642210541866), rel=2e-7
    )
    test = compare_models(None, model, X, y)
    assert (test.statistic, test.p_value) == pytest.approx((15.4041924625676, 0.00150187761112892), rel=1e-6)
    np.testing.assert_allclose(table.statistic, [2.237723415, 0.6722348408, 2.234423721, -2.640537645], rtol=2e-6)
    np.testing.assert_allclose(table.lower, [0.3507938, -0.1822835, 0.29218, -22.68657], rtol=2e-5)
    printed = {
        "average": ([0.36258084688424, 0.01220841099085, 0.35751515254729], [0.1094412, 0.0177942, 0.1420034]),
        "at_mean": ([0.53385885781692, 0.01797548988961, 0.4564984096959], [0.237038, 0.0262369, 0.1810537]),
    }
    for kind, (effect, error) in printed.items():
        found = marginal_effects(model, X, y, kind=kind)
        np.testing.assert_allclose(found.effect, effect, rtol=2e-6)
        np.testing.assert_allclose(found.std_error, error, rtol=5e-6)


def test_mlogit_of_stata():
    """``mlogit`` of party identification, against its first class."""
    data = anes96.load_pandas()
    X, y = data.exog, data.endog
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    table = coef_table(model, X, y)
    assert table.null_deviance - table.deviance == pytest.approx(576.8479253554, rel=1e-6)
    table = table.against(y.min())
    first = [-0.01153598, 0.29771435, -0.024945, 0.08249144, 0.00519655, -0.37340167]
    last = [-0.14088069, 2.0700801, -0.00943265, 0.3219257, 0.10889408, -12.105751]
    np.testing.assert_allclose(table.estimate[::6], first, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(table.estimate[5::6], last, rtol=1e-4)
    first = [0.0342823657, 0.093626795, 0.0065248584, 0.0735865799, 0.0176336937, 0.6298376313]
    last = [0.042138047, 0.1434089089, 0.0081338625, 0.0910979921, 0.025300888, 1.059954821]
    np.testing.assert_allclose(table.std_error[::6], first, rtol=1e-4)
    np.testing.assert_allclose(table.std_error[5::6], last, rtol=1e-4)


def test_predictions_of_r():
    """``predict(lm(dist ~ speed, cars), interval = "confidence")``, three digits as on sthda.com, "Predict in R"."""
    speed = np.repeat(range(4, 26), [2, 0, 0, 2, 1, 1, 3, 2, 4, 4, 4, 3, 2, 3, 4, 3, 5, 0, 1, 1, 4, 1])
    dist = [
        2,
        10,
        4,
        22,
        16,
        10,
        18,
        26,
        34,
        17,
        28,
        14,
        20,
        24,
        28,
        26,
        34,
        34,
        46,
        26,
        36,
        60,
        80,
        20,
        26,
        54,
        32,
        40,
    ]
    dist += [32, 40, 50, 42, 56, 76, 84, 36, 46, 68, 32, 48, 52, 56, 64, 66, 54, 70, 92, 93, 120, 85]
    X, y = speed[:, None].astype(float), np.array(dist, dtype=float)
    model, new = LinearRegression().fit(X, y), [[12.0], [19.0], [24.0]]
    mean = prediction_table(model, new, X, y)
    np.testing.assert_allclose(mean.mean, [29.6, 57.1, 76.8], atol=0.05)
    np.testing.assert_allclose(mean.lower, [24.4, 51.8, 68.4], atol=0.05)
    np.testing.assert_allclose(mean.upper, [34.8, 62.4, 85.2], atol=0.05)
