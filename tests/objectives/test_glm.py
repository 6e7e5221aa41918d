from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp

from sk_hessian.objectives import (
    LOSSES,
    BinaryCrossEntropy,
    GLMObjective,
    HuberLoss,
    MLPObjective,
    SingleRows,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
)
from sk_hessian.solvers import plan
from tests.estimators import assert_refused
from tests.objectives.cases import (
    IDS,
    NETWORK_LOSSES,
    assert_close,
    container,
    differences,
    linear,
    loss_id,
    network,
)

every_loss = pytest.mark.parametrize("loss", LOSSES, ids=IDS)
with_and_without_intercept = pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "plain"])


@every_loss
@with_and_without_intercept
def test_every_derivative(loss, intercept, rng):
    """Gradient and Hessian against differences, expected curvature against its definition."""
    case = linear(loss, "C", intercept, rng)
    model, theta = case.objective, case.theta
    value, gradient = model.value_and_gradient(theta)
    assert np.isfinite(value)
    assert_close(gradient, differences(lambda t: model.value_and_gradient(t)[0], theta))
    H = differences(lambda t: model.value_and_gradient(t)[1], theta)
    assert_close(model.hessian_matrix(theta, "observed"), H)
    v = rng.normal(size=theta.size)
    assert_close(model.hessian(theta, "observed").matvec(v), H @ v)
    assert_close(model.hessian_matrix(theta, "expected"), dense_hessian(case, "expected"), 1e-12)
    for curvature in ("observed", "expected"):
        matrix = model.hessian_matrix(theta, curvature)
        np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12, atol=1e-14)
        assert_close(model.hessian(theta, curvature) @ np.eye(theta.size), matrix, 1e-12)
        assert_close(model.hessian_diagonal(theta, curvature), np.diag(matrix), 1e-12)


@every_loss
@pytest.mark.parametrize("kind", ["F", "csr"])
@with_and_without_intercept
def test_containers_agree(loss, kind, intercept, rng):
    case = linear(loss, kind, intercept, rng)
    other, model, theta = case.objective, case.again(), case.theta
    for got, expected in zip(other.value_and_gradient(theta), model.value_and_gradient(theta), strict=True):
        assert_close(got, expected, 1e-12)
    v = rng.normal(size=theta.size)
    for curvature in ("observed", "expected"):
        assert_close(other.hessian_matrix(theta, curvature), model.hessian_matrix(theta, curvature), 1e-12)
        assert_close(other.hessian(theta, curvature) @ v, model.hessian(theta, curvature) @ v, 1e-11)
        assert_close(other.hessian_diagonal(theta, curvature), model.hessian_diagonal(theta, curvature), 1e-12)


FACTORS = ["full", "diagonal", "kronecker"]


@pytest.mark.parametrize(
    ("loss", "preconditioner"),
    [(loss, kind) for loss in LOSSES for kind in FACTORS if kind != "kronecker" or loss.n_outputs > 1],
    ids=loss_id,
)
@pytest.mark.parametrize("kind", ["C", "csr"])
@with_and_without_intercept
def test_matrix_product_and_diagonal_in_preconditioned_coordinates(loss, kind, intercept, preconditioner, rng):
    case = linear(loss, kind, intercept, rng)
    model, theta = case.objective, case.theta
    factor = model.preconditioner(theta, preconditioner)
    P = np.stack([factor.apply(e) for e in np.eye(factor.shape[1])], axis=1)
    g = rng.normal(size=theta.size)
    assert_close(factor.transpose(g), P.T @ g, 1e-10)
    expected = P.T @ model.hessian_matrix(theta, "observed") @ P
    digits = 1e-5 if loss.shift_invariant else 1e-8  # a flat direction is blown up, and its rounding with it
    assert_close(model.hessian_matrix(theta, "observed", factor=factor), expected, digits)
    assert_close(model.hessian_diagonal(theta, "observed", factor=factor), np.diag(expected), digits)


def test_one_output_has_no_kronecker_factor(rng):
    case = linear(SquaredLoss(), "C", True, rng)
    assert_refused("precondition='kronecker' is not available", case.objective.preconditioner, case.theta, "kronecker")


@every_loss
@pytest.mark.parametrize("kind", ["C", "csr"])
@with_and_without_intercept
def test_an_offset_of_columns_is_a_shift_of_the_coefficients(loss, kind, intercept, rng):
    case = linear(loss, kind, intercept, rng)
    theta, c = case.theta, 0.1 * rng.uniform(size=(4, loss.n_outputs))
    X = container(case.X, kind)
    plain, model = case.again(X, penalty=0.0), case.again(X, penalty=0.0, offset=(case.X @ c).squeeze())
    shift = plain.pack(c, np.zeros(loss.n_outputs), np.zeros(loss.n_constants))
    v = rng.normal(size=theta.size)
    for got, expected in zip(model.value_and_gradient(theta), plain.value_and_gradient(theta + shift), strict=True):
        assert_close(got, expected, 1e-12)
    for curvature in ("observed", "expected"):
        matrix = plain.hessian_matrix(theta + shift, curvature)
        assert_close(model.hessian_matrix(theta, curvature), matrix, 1e-12)
        assert_close(model.hessian(theta, curvature) @ v, matrix @ v, 1e-11)
        assert_close(model.hessian_diagonal(theta, curvature), np.diag(matrix), 1e-12)
    np.testing.assert_allclose(
        model.at(theta).predictor_change([v]), plain.at(theta + shift).predictor_change([v]), rtol=1e-12
    )


def test_samples_carry_the_offset(rng):
    loss = TweedieLoss(1)
    X, y, offset = rng.normal(size=(30, 2)), rng.poisson(2, size=30), rng.normal(size=30)
    model, theta, rows = GLMObjective(X, y, loss, offset=offset), np.array([0.3, -0.2, 0.1]), np.array([3, 8, 20])
    some = GLMObjective(X[rows], y[rows], loss, offset=offset[rows])
    for got, expected in zip(model.sample(rows).value_and_gradient(theta), some.value_and_gradient(theta), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-14)


def dense_hessian(case, kind):
    """The Hessian from its definition, row by row."""
    model, loss = case.objective, case.objective.loss
    coef, intercept, constants = model.unpack(case.theta)
    k, m, n, size = loss.n_outputs, loss.n_outputs + loss.n_constants, len(case.X), case.theta.size
    design = np.column_stack([case.X, np.ones(n)]) if model.fit_intercept else case.X
    raw = np.hstack([case.X @ coef + intercept, np.tile(constants, (n, 1))])
    total = np.zeros((size, size))
    for z, H, w in zip(design, loss.hessian(case.y, raw, kind), case.weight, strict=True):
        jacobian = np.zeros((m, size))
        jacobian[:k, : z.size * k] = np.kron(z, np.eye(k))
        jacobian[k:, z.size * k :] = np.eye(m - k)
        total += w * jacobian.T @ H @ jacobian
    return total / case.weight.sum() + np.diag(case.strength)


@every_loss
def test_full_factor_whitens_the_expected_hessian(loss, rng):
    case = linear(loss, "C", True, rng)
    factor = case.objective.preconditioner(case.theta, "full")
    values = np.linalg.eigvalsh(case.objective.hessian_matrix(case.theta, "expected", factor=factor))
    np.testing.assert_allclose(values[int(loss.shift_invariant) :], 1, atol=1e-8)


@every_loss
def test_parameters_start_and_scale(loss, rng):
    """`pack` inverts `unpack`; the start is feasible and no better than the bound; the scale is positive."""
    case = linear(loss, "C", True, rng)
    model = case.objective
    np.testing.assert_array_equal(model.pack(*model.unpack(case.theta)), case.theta)
    value, _ = model.value_and_gradient(model.start())
    assert np.isfinite(value)
    assert 0 < model.scale < np.inf
    assert value >= model.lower_bound


@pytest.mark.parametrize(
    "loss",
    [loss for loss in LOSSES if isinstance(loss, SquaredLoss) or getattr(loss, "power", None) == 1],
    ids=loss_id,
)
def test_rescaling_the_targets_rescales_the_scale(loss, rng):
    case = linear(loss, "C", True, rng)
    larger, model = case.again(y=1000 * case.y, penalty=0.0), case.again(penalty=0.0)
    assert larger.scale == pytest.approx(model.scale * 1000 ** (1 if hasattr(loss, "power") else 2), rel=1e-9)


@pytest.mark.parametrize("loss", [TweedieLoss(1, "identity"), TweedieLoss(2, "identity")], ids=["poisson", "gamma"])
def test_outside_the_domain_the_objective_is_infinite(loss, rng):
    case = linear(loss, "C", True, rng)
    assert case.objective.value_and_gradient(-case.theta)[0] == np.inf


@pytest.mark.parametrize("wide", [False, True])
def test_nearly_dependent_columns_get_an_orthogonal_basis(wide, rng):
    X = rng.normal(size=(60, 4))
    X = np.column_stack([X, X[:, 0] + 1e-9 * rng.normal(size=60)])
    model = GLMObjective(X, rng.normal(size=60), SquaredLoss(), penalty=1e-6 if wide else 0.0)
    factor = model.preconditioner(model.start(), "full")
    H = model.hessian_matrix(model.start(), "expected", factor=factor)
    np.testing.assert_allclose(H, np.eye(len(H)), atol=1e-6)


def test_the_canonical_solution_of_dependent_columns_is_the_shortest(rng):
    X = rng.normal(size=(30, 3))
    X = np.column_stack([X, X[:, 0] - 2 * X[:, 1] + 5])
    model = GLMObjective(X, rng.normal(size=30), SquaredLoss(), feature_names=list("abcd"))
    model.preconditioner(model.start(), "full")
    theta = rng.normal(size=5)
    canonical = model.canonical(theta)
    null = np.array([1, -2, 0, -1])
    assert abs(canonical[:4] @ null) < 1e-10
    assert model.value_and_gradient(canonical)[0] == pytest.approx(model.value_and_gradient(theta)[0], rel=1e-12)
    assert model.space.rank == 3
    assert len(model.flat_directions()) == 1
    assert all(name in model.flat_directions()[0] for name in "abd")


def test_the_canonical_softmax_coefficients_sum_to_zero(rng):
    case = linear(SoftmaxCrossEntropy(3), "C", True, rng)
    free = case.again(penalty=0.0)
    coef, intercept, _ = free.unpack(free.canonical(case.theta))
    np.testing.assert_allclose(coef.sum(axis=1), 0, atol=1e-12)
    assert abs(intercept.sum()) < 1e-12


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array], ids=["dense", "csr"])
def test_the_factor_of_a_sketch_is_close_to_the_whole_one(make, rng):
    """Rare levels included, which a plain sample of a tenth of the rows would miss."""
    n = 200_000
    X = rng.normal(size=(n, 101))
    X[:, 3:] = 0
    X[np.arange(n), 3 + rng.integers(0, 97, size=n)] = 1
    X[:, 100] = np.arange(n) % 10_000 == 0
    model = GLMObjective(make(X), np.arange(n) % 2.0, BinaryCrossEntropy(), penalty=1e-6)
    sketch = plan.sketch_of(model, model.n_parameters)
    assert sketch is not None
    assert sketch.n_rows < n / 5
    factor = sketch.preconditioner(model.start(), "full")
    values = np.linalg.eigvalsh(model.hessian_matrix(model.start(), "observed", factor=factor))
    assert values.min() > 0.5
    assert values.max() < 3


def test_a_small_table_needs_no_sketch(rng):
    model = linear(BinaryCrossEntropy(), "C", True, rng).objective
    assert plan.sketch_of(model, model.n_parameters) is None


def test_the_kronecker_factor_is_exact_for_several_targets(rng):
    case = linear(SquaredLoss(3), "C", True, rng)
    model, theta = case.objective, case.theta
    H = model.hessian_matrix(theta, "observed", factor=model.preconditioner(theta, "kronecker"))
    np.testing.assert_allclose(H, np.eye(len(H)), atol=1e-9)


def test_the_data_are_never_written_to(rng):
    case = linear(BinaryCrossEntropy(), "C", True, rng)
    for array in (case.X, case.y, case.weight):
        array.flags.writeable = False
    model, theta = case.again(), case.theta
    model.value_and_gradient(theta)
    model.preconditioner(theta, "full")
    assert np.isfinite(model.hessian_matrix(theta)).all()


def test_a_sparse_matrix_is_a_sparse_array(rng):
    case = linear(TweedieLoss(1, "log"), "C", True, rng)
    one, other = (case.again(make(case.X)) for make in (sp.csr_array, sp.csr_matrix))
    np.testing.assert_array_equal(one.value_and_gradient(case.theta)[1], other.value_and_gradient(case.theta)[1])
    np.testing.assert_array_equal(one.hessian_matrix(case.theta), other.hessian_matrix(case.theta))


def test_predictor_change_is_the_largest_move_of_a_row(rng):
    case = linear(BinaryCrossEntropy(), "C", True, rng)
    d = rng.normal(size=case.theta.size)
    moved = np.abs(case.X @ d[:-1] + d[-1]).max()
    np.testing.assert_allclose(
        case.objective.at(case.theta).predictor_change((d, 2 * d)), [moved, 2 * moved], rtol=1e-12
    )


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_penalty_in_the_span_of_few_rows(k, fit_intercept, rng):
    """What is known of it without a product is what the product gives, the intercept without penalty."""
    X = rng.normal(size=(30, 200)) + 3
    X[:, 5] = 1.0
    penalty = np.outer(rng.uniform(0.1, 2, 200), rng.uniform(0.5, 2, k))
    model = GLMObjective(
        X, rng.normal(size=(30, k)).squeeze(), SquaredLoss(k), fit_intercept=fit_intercept, penalty=penalty
    )
    theta = model.start()
    factor = model.preconditioner(theta, "full")
    P = factor.dense()
    assert P.shape[1] < P.shape[0] / 6
    assert_close(model.hessian_matrix(theta, factor=factor), P.T @ model.hessian_matrix(theta) @ P, 1e-9)


@pytest.mark.parametrize("mean", [0.0, 20.0, 1e5])
def test_curvature_of_columns_that_are_centred_before_or_after_the_product(mean, rng):
    X, y = rng.normal(size=(300, 4)) * [1, 1e-3, 1e3, 1] + [mean, 0, 0, -mean], rng.integers(0, 2, 300).astype(float)
    model = GLMObjective(X, y, BinaryCrossEntropy(), penalty=0.1)
    factor, p = model.preconditioner(model.start(), "units"), y.mean()
    P = factor.dense()
    Z = np.column_stack([X, np.ones(300)]) @ P
    expected = p * (1 - p) * Z.T @ Z / 300 + P.T @ np.diag([0.1] * 4 + [0]) @ P
    assert_close(model.hessian_matrix(model.start(), "observed", factor=factor), expected, 1e-10)


def test_raw_predictions_are_kept_for_their_own_theta_only(rng):
    X, y = rng.normal(size=(50, 3)), rng.integers(0, 2, 50).astype(float)
    model, fresh = (GLMObjective(X, y, BinaryCrossEntropy(), penalty=0.1) for _ in range(2))
    a, b = rng.normal(size=(2, 4))
    model.value_and_gradient(a)
    for theta in (a, b, a):
        np.testing.assert_array_equal(model.hessian_matrix(theta), fresh.hessian_matrix(theta))
        np.testing.assert_allclose(model.hessian(theta).matvec(a), fresh.hessian_matrix(theta) @ a, rtol=1e-10)
    assert model.sample(np.arange(20)).hessian_matrix(a) == pytest.approx(
        GLMObjective(X[:20], y[:20], BinaryCrossEntropy(), penalty=0.1).hessian_matrix(a)
    )


@pytest.mark.parametrize("rare", [False, True])
def test_a_sketch_is_no_larger_than_it_says(rare, rng):
    """So that a decrement by its factor, so many times larger, bounds the true one."""
    X = rng.normal(size=(60_000, 30))
    if rare:
        X[:, 0] = rng.random(60_000) < 1e-3
    y = (X[:, 1] + rng.logistic(size=60_000) > 0).astype(float)
    model = GLMObjective(X, y, BinaryCrossEntropy(), penalty=1e-6)
    theta = rng.normal(size=31) * 0.2
    sketch = plan.sketch_of(model, theta.size)
    factor = sketch.preconditioner(theta, "full", curvature="observed")
    inflation = model.inflation(sketch)
    least = np.linalg.eigvalsh(model.hessian_matrix(theta, "observed", factor=factor))[0]
    assert 1 / inflation <= least
    assert inflation <= 40


#: linear models, and networks, whose Jacobian differs from row to row
BOTH = [*((loss, False) for loss in LOSSES), *((loss, True) for loss in NETWORK_LOSSES)]
of_both = pytest.mark.parametrize(("loss", "is_network"), BOTH, ids=loss_id)


@of_both
def test_the_sum_of_samples_is_the_whole(loss, is_network, rng):
    case = network(loss, rng, n=40) if is_network else linear(loss, "C", True, rng)
    model, theta = case.objective, case.theta
    parts = np.array_split(rng.permutation(model.n_rows), 4)
    values, gradients = zip(*(model.sample(np.sort(part)).value_and_gradient(theta) for part in parts), strict=True)
    value, gradient = model.value_and_gradient(theta)
    assert np.mean(values) == pytest.approx(value, rel=1e-12)
    assert_close(np.mean(gradients, axis=0), gradient, 1e-12)


@of_both
@pytest.mark.parametrize("kind", ["C", "csr"])
def test_the_terms_of_single_rows_add_up(loss, is_network, kind, rng):
    case = network(loss, rng, kind=kind) if is_network else linear(loss, kind, True, rng)
    model, theta, penalty = case.objective, case.theta, case.strength
    factor = model.preconditioner(theta, "full") if is_network else model.at(theta).whole_factor("expected")
    P = factor.dense()

    def terms(terms):
        slope = np.einsum("nmr,nm->nr", terms.along, terms.slope) * terms.share[:, None]
        bend = np.einsum("nmr,nml,nls->nrs", terms.along, terms.bend, terms.along) * terms.share[:, None, None]
        return slope, bend, terms.raw

    slope, bend, raw = SingleRows(model.at(theta), factor, "expected").gather(terms)
    np.testing.assert_allclose(raw, model.raw_predictions(theta), rtol=1e-12 if is_network else 0)
    assert_close(slope.sum(axis=0), P.T @ (model.value_and_gradient(theta)[1] - penalty * theta))
    assert_close(bend.sum(axis=0), P.T @ (model.hessian_matrix(theta, "expected") - np.diag(penalty)) @ P)
    total = SingleRows(model.at(theta), factor, "expected").reduce(lambda rows: terms(rows)[0].sum(axis=0)[None])[0]
    assert_close(total, slope.sum(axis=0))


@pytest.mark.parametrize("loss", [SquaredLoss(), HuberLoss(), SoftmaxCrossEntropy(3)], ids=loss_id)
def test_without_a_row_the_total_penalty_is_the_same(loss, rng):
    case = linear(loss, "C", True, rng)
    model, theta, weight = case.objective, case.theta, case.weight
    model.preconditioner(theta), model.scale
    rest = model.on_rows(model.rows.take(np.delete(np.arange(model.n_rows), 7)))
    assert (rest.n_rows, model.n_rows) == (39, 40)
    assert rest.total_weight == pytest.approx(weight.sum() - weight[7])
    lost = weight[7] * loss.value(case.y[7:8], model.raw_predictions(theta)[7:8])[0]
    value = model.value_and_gradient(theta)[0] * model.total_weight
    assert rest.value_and_gradient(theta)[0] * rest.total_weight == pytest.approx(value - lost)
    keep = np.arange(40) != 7
    penalty = case.options["penalty"] * (weight.sum() / weight[keep].sum())
    new = case.again(case.X[keep], case.y[keep], sample_weight=weight[keep], penalty=penalty)
    assert rest.scale == pytest.approx(new.scale)
    assert_close(rest.preconditioner(theta).dense(), new.preconditioner(theta).dense())


@pytest.mark.parametrize(
    ("kind", "share"), [*product(("linear", "network"), (1.0, 1e-3)), ("linear", 1e-7), ("network", 1e-6)]
)
@pytest.mark.parametrize(
    ("loss", "offset"),
    [
        (SquaredLoss(), 0.0),
        (SquaredLoss(), 1e6),
        (TweedieLoss(1), 0.0),
        (TweedieLoss(2), 0.0),
        (BinaryCrossEntropy(), 0.0),
    ],
    ids=["squares", "offset", "poisson", "gamma", "logistic"],
)
def test_noise_is_the_rounding_error_at_the_point(loss, offset, kind, share):
    """It bounds what a few roundings of the parameters change, and vanishes with the residuals of squares."""
    rng = np.random.default_rng(3)
    X, coef = rng.normal(size=(200, 3)), np.array([0.5, -0.3, 0.2])
    eta = X @ coef if kind == "linear" else np.tanh(X @ coef)
    raw = eta + share * rng.normal(size=200)
    y = {SquaredLoss: raw + offset, TweedieLoss: np.exp(raw), BinaryCrossEntropy: (raw > 0) * 1.0}[type(loss)]
    objective, theta = GLMObjective(X, y, loss), np.append(coef, offset)
    if kind == "network":
        objective = MLPObjective(X, y, loss, hidden_layer_sizes=(1,))
        theta = objective.pack([coef[:, None], np.ones((1, 1))], [np.zeros(1), np.array([offset])])
    value = objective.value_and_gradient(theta)[0]
    noise = objective.at(theta).noise
    near = [objective.value_and_gradient(theta * (1 + 1e-16 * k))[0] for k in (-4, -2, 2, 4)]
    assert np.abs(np.subtract(near, value)).max() <= noise
    most = share * max(offset, 1.0) if isinstance(loss, SquaredLoss) else 1.0
    assert noise <= 1e-13 * most + 1e-29 * offset**2
    assert objective.at(theta).noise == pytest.approx(noise, rel=1e-12), "known without the latest pass too"
