import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from sk_hessian.objectives import (
    ACTIVATIONS,
    GLMObjective,
    HuberLoss,
    MLPObjective,
    SoftmaxCrossEntropy,
    SquaredLoss,
    StreamObjective,
    TweedieLoss,
    first_memory,
)
from sk_hessian.solvers import minimize, plan
from tests.objectives.cases import DEPTHS, NETWORK_LOSSES, assert_close, container, differences, loss_id, network

every_loss = pytest.mark.parametrize("loss", NETWORK_LOSSES, ids=loss_id)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_depth = pytest.mark.parametrize("depth", DEPTHS)


@every_activation
def test_derivatives_of_activations(activation):
    h, z = ACTIVATIONS[activation], np.array([-800.0, -30.0, -1.5, -1e-3, 1e-3, 0.7, 30.0, 800.0])
    step = 1e-5 * np.maximum(1.0, np.abs(z))
    value = h.value(z)
    slope = (h.value(z + step) - h.value(z - step)) / (2 * step)
    sides = [h.slope(x, h.value(x)) for x in (z + step, z - step)]
    np.testing.assert_allclose(h.slope(z, value), slope, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(h.bend(z, value), (sides[0] - sides[1]) / (2 * step), rtol=1e-6, atol=1e-9)
    assert (np.abs(value) <= h.bound).all()


#: every loss, activation and depth, and every pair of an activation and a depth
COMBINATIONS = [(loss, "tanh", depth) for loss in NETWORK_LOSSES for depth in DEPTHS]
COMBINATIONS += [(loss, activation, 1) for loss in NETWORK_LOSSES for activation in ACTIVATIONS if activation != "tanh"]
COMBINATIONS += [
    (SoftmaxCrossEntropy(3), activation, depth)
    for activation in ACTIVATIONS
    if activation != "tanh"
    for depth in (2, 3)
]


@pytest.mark.parametrize(("loss", "activation", "depth"), COMBINATIONS, ids=loss_id)
def test_every_derivative(loss, activation, depth, rng):
    """Gradient and exact Hessian against differences; Gauss-Newton against its definition J'HJ."""
    case = network(loss, rng, activation, depth)
    model, theta = case.objective, case.theta
    assert_close(model.value_and_gradient(theta)[1], differences(lambda t: model.value_and_gradient(t)[0], theta))
    H = differences(lambda t: model.value_and_gradient(t)[1], theta)
    identity = np.eye(theta.size)
    assert_close(model.hessian(theta, "observed") @ identity, H)
    assert_close(model.hessian_matrix(theta, "observed"), H)
    expected = gauss_newton(case)
    assert_close(model.hessian(theta, "expected") @ identity, expected)
    assert_close(model.hessian_matrix(theta, "expected"), expected)
    assert_close(model.hessian_diagonal(theta, "expected"), np.diag(expected))
    v = rng.normal(size=theta.size)
    assert_close(model.hessian(theta, "observed").matvec(v), H @ v)
    assert_close(model.hessian(theta, "expected").matvec(v), expected @ v)


def gauss_newton(case):
    """J'HJ / sum w with the Jacobian of raw predictions by differences, and the penalty."""
    model, theta = case.objective, case.theta
    J = differences(model.raw_predictions, theta)
    H = model.loss.hessian(case.y, model.raw_predictions(theta), "expected")
    assert J.shape[1] == model.loss.n_outputs + model.loss.n_constants
    return np.einsum("n,nap,nab,nbq->pq", case.weight / case.weight.sum(), J, H, J) + np.diag(case.strength)


@every_loss
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("kind", ["F", "csr"])
def test_containers_agree(loss, depth, kind, rng):
    case = network(loss, rng, depth=depth, kind=kind)
    other, dense, theta = case.objective, case.again(), case.theta
    v = rng.normal(size=theta.size)
    assert_close(other.value_and_gradient(theta)[0], dense.value_and_gradient(theta)[0], 1e-12)
    for curvature in ("observed", "expected"):
        assert_close(other.hessian(theta, curvature).matvec(v), dense.hessian(theta, curvature).matvec(v), 1e-10)
        assert_close(other.hessian_matrix(theta, curvature), dense.hessian_matrix(theta, curvature), 1e-10)
    assert_close(other.hessian_diagonal(theta, "expected"), dense.hessian_diagonal(theta, "expected"), 1e-10)
    for factor in ("full", "kronecker", "diagonal"):
        dense_factor, other_factor = (m.preconditioner(theta, factor) for m in (dense, other))
        g = dense_factor.apply(dense_factor.transpose(v))
        assert_close(other_factor.apply(other_factor.transpose(v)), g, 1e-6)
    assert_close(other.raw_predictions(theta), dense.raw_predictions(theta), 1e-10)


def test_float32_and_a_memory_map_are_read_as_they_are(rng, tmp_path):
    case = network(SquaredLoss(), rng, n=300)
    X, theta = case.X.astype(np.float32), case.theta
    X.tofile(tmp_path / "X")
    maps = np.memmap(tmp_path / "X", dtype=np.float32, shape=X.shape, mode="r")
    values = [case.again(rows).value_and_gradient(theta)[0] for rows in (X, maps)]
    assert values[0] == values[1] == pytest.approx(case.objective.value_and_gradient(theta)[0], rel=1e-6)


@every_loss
@every_depth
def test_factors_are_consistent(loss, depth, rng):
    """P' is the transpose of P, P'HP has no large eigenvalue, and a network's factor certifies nothing."""
    case = network(loss, rng, depth=depth)
    model, theta = case.objective, case.theta
    H, g = model.hessian_matrix(theta, "expected"), rng.normal(size=theta.size)
    assert plan.best_kind(model, theta.size) == "full"
    for kind in ("full", "kronecker", "diagonal"):
        factor = model.preconditioner(theta, kind)
        P = np.column_stack([factor.apply(e) for e in np.eye(factor.shape[1])])
        assert_close(factor.transpose(g), P.T @ g, 1e-10)
        assert_close(model.hessian_matrix(theta, "expected", factor=factor), P.T @ H @ P, 1e-6)
        assert_close(model.hessian_diagonal(theta, "expected", factor=factor), np.diag(P.T @ H @ P), 1e-6)
        assert np.linalg.eigvalsh(P.T @ H @ P).max() <= (1 + 1e-6 if kind == "full" else theta.size)
        assert factor.is_full == (kind == "full")
        assert not factor.certifies or depth == 0


@pytest.mark.parametrize(("make", "n"), [(np.asarray, 50_000), (sp.csr_array, 300_000)], ids=["dense", "csr"])
def test_predictions_hold_the_hidden_units_of_a_block_only(make, n, rng):
    X = make(rng.normal(size=(n, 2)))
    model = MLPObjective(X, np.zeros(n), SquaredLoss(), hidden_layer_sizes=(50, 30))
    theta = model.start(0)
    tracemalloc.start()
    model.raw_predictions(theta)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * (50 + 30) * 8 / 2


def test_a_constant_column_keeps_no_weight(rng):
    X = np.column_stack([rng.normal(size=30), np.full(30, 7.0)])
    model = MLPObjective(X, X[:, 0], SquaredLoss(), hidden_layer_sizes=(2,), penalty=1e-3)
    theta = model.start(0)
    assert not model.unpack(theta)[0][0][1].any()
    theta = rng.normal(size=theta.size)
    result = minimize(model, theta, "newton", max_iter=1)
    assert not model.unpack(result.x)[0][0][1].any()
    # the run begins with the same predictions, the weight in the bias, and a penalty that is no larger
    assert result.history["objective"][0] <= model.value_and_gradient(theta)[0]


@pytest.mark.parametrize("scale", [1.0, 1e6])
@every_activation
def test_starts_do_not_depend_on_units(activation, scale, rng):
    """The same seed gives the same predictions, whatever the units of inputs and outputs."""
    X = rng.normal(size=(200, 4))
    y = X[:, 0] + rng.normal(size=200)
    raws = []
    for factor, shift in ((1.0, 0.0), (scale, 10 * scale)):
        model = MLPObjective(
            factor * X + shift, factor * y + shift, SquaredLoss(), hidden_layer_sizes=(5,), activation=activation
        )
        raws.append((model.raw_predictions(model.start(3)) - shift) / factor)
    assert_close(raws[1], raws[0], 1e-6)


@pytest.mark.parametrize("kind", ["C", "csr"])
@every_loss
def test_a_network_without_hidden_layers_is_the_linear_model(loss, kind, rng):
    case = network(loss, rng, depth=0, kind=kind, n=60)
    model, theta = case.objective, case.theta
    linear = GLMObjective(container(case.X, kind), case.y, loss, sample_weight=case.weight, penalty=0.05)
    assert model.value_and_gradient(theta)[0] == pytest.approx(linear.value_and_gradient(theta)[0], rel=1e-12)
    ours, other = (minimize(m, m.start(), "newton", tol=1e-7) for m in (model, linear))
    assert ours.status == other.status == "optimal"
    assert ours.fun == pytest.approx(other.fun, rel=1e-12)
    raws = [loss.without_shift(model.raw_predictions(r.x)[:, : loss.n_outputs]) for r in (ours, other)]
    assert_close(raws[0], raws[1], 1e-6 if isinstance(loss, HuberLoss) else 1e-8)


@every_loss
def test_predictor_changes_are_those_of_raw_predictions(loss, rng):
    case = network(loss, rng)
    model, theta, k = case.objective, case.theta, loss.n_outputs
    direction = 1e-6 * rng.normal(size=theta.size)
    change, still = model.at(theta).predictor_change([direction, 0 * theta])
    raw = model.raw_predictions(theta)
    moves = model.raw_predictions(theta + direction) - raw
    moves[:, :k] = loss.without_shift(moves[:, :k])
    # the unit of a quadratic loss is infinite, that of a constant is one
    unit = np.hstack(
        [np.broadcast_to(loss.predictor_unit(raw)[:, :k], (len(raw), k)), np.ones((len(raw), raw.shape[1] - k))]
    )
    assert still == 0
    assert change == pytest.approx(np.abs(moves / unit).max(), rel=1e-3)


def test_rounding_errors_of_a_value_are_no_more_than_its_noise(rng):
    case = network(SquaredLoss(), rng, depth=2, n=200)
    order = rng.permutation(200)
    other = case.again(case.X[order], case.y[order], sample_weight=case.weight[order])
    a, b = (m.value_and_gradient(case.theta)[0] for m in (case.objective, other))
    assert abs(a - b) <= case.objective.at(case.theta).noise <= 1e-9 * a


def test_unpack_is_the_inverse_of_pack(rng):
    case = network(HuberLoss(), rng, depth=2)
    np.testing.assert_array_equal(case.objective.pack(*case.objective.unpack(case.theta)), case.theta)


def test_bad_options_are_named(rng):
    with pytest.raises(ValueError, match="activation='sine' is unknown: choose from"):
        MLPObjective(np.ones((3, 1)), np.ones(3), SquaredLoss(), activation="sine")
    case = network(SquaredLoss(), rng)
    with pytest.raises(ValueError, match="precondition='cholesky' is not available for a network; choose from"):
        case.objective.preconditioner(case.theta, "cholesky")


def test_an_overflow_is_an_infinite_value(rng):
    case = network(TweedieLoss(1, "log"), rng)
    assert case.objective.value_and_gradient(1e200 * case.theta)[0] == np.inf


@pytest.mark.parametrize("kind", ["observed", "expected"])
def test_the_regular_hessian_bends_along_the_common_shift_alone(kind, rng):
    case = network(SoftmaxCrossEntropy(3), rng)
    model, theta = case.objective, case.theta
    factor = model.preconditioner(theta, "units")
    added = model.at(theta).regular_hessian_matrix(kind, factor) - model.hessian_matrix(theta, kind, factor=factor)
    coefs, intercepts, constants = model.unpack(0 * theta)
    shift = np.linalg.solve(factor.dense(), model.pack(coefs, [intercepts[0], np.ones(3)], constants))
    values, vectors = np.linalg.eigh(added)
    assert (values[:-1] <= 1e-12 * values[-1]).all()
    assert abs(vectors[:, -1] @ shift) == pytest.approx(np.linalg.norm(shift))
    np.testing.assert_array_equal(model.at(theta).regular_hessian_matrix(kind), model.hessian_matrix(theta, kind))


def test_the_canonical_softmax_network_has_no_common_shift(rng):
    case = network(SoftmaxCrossEntropy(3), rng)
    model, theta = case.objective, case.theta
    canonical = model.canonical(theta)
    assert model.unpack(canonical)[1][-1].sum() == pytest.approx(0, abs=1e-12)
    raw, expected = model.raw_predictions(canonical), model.raw_predictions(theta)
    np.testing.assert_allclose(np.ptp(raw - expected, axis=1), 0, atol=1e-12)
    # the weights are shifted only where no penalty holds them
    np.testing.assert_array_equal(model.unpack(canonical)[0][-1], model.unpack(theta)[0][-1])
    free = case.again(penalty=0.0)
    np.testing.assert_allclose(free.unpack(free.canonical(theta))[0][-1].sum(axis=1), 0, atol=1e-12)


def test_the_factor_of_a_softmax_network_has_curvature_along_the_common_shift(rng):
    """So that it is not held back."""
    case = network(SoftmaxCrossEntropy(3), rng, depth=0)
    factor = case.objective.at(case.theta).whole_factor("observed")
    H = case.objective.at(case.theta).regular_hessian_matrix("observed", factor)
    np.testing.assert_allclose(H, np.eye(len(H)), atol=1e-8)


def test_some_rows_of_a_stream_of_a_network_are_one_too(rng):
    case = network(SquaredLoss(), rng)
    rows, theta = case.objective, case.theta
    stream = StreamObjective(rows, first_memory(rows, True, theta).with_rows(rows, [theta]))
    every, some = stream.sample(np.arange(rows.n_rows)), stream.sample(np.arange(rows.n_rows // 2))
    assert_close(every.hessian_matrix(theta), stream.hessian_matrix(theta))
    assert minimize(some, theta, max_iter=3).fun <= some.value_and_gradient(theta)[0]
