import numpy as np
import pytest
import scipy.sparse as sp

from sk_hessian.objectives import (
    ACTIVATIONS,
    BinaryCrossEntropy,
    GLMObjective,
    HuberLoss,
    MLPObjective,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
    _layers,
)
from sk_hessian.objectives.rows import sparse, table
from sk_hessian.solvers import minimize
from tests.objectives.cases import assert_close, container, differences, loss_id, targets

NETWORK_LOSSES = [
    SquaredLoss(),
    SquaredLoss(2),
    SquaredLoss(3),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(2),
    BinaryCrossEntropy(3),
    SoftmaxCrossEntropy(3),
    TweedieLoss(1, "log"),
    TweedieLoss(2, "log"),
    HuberLoss(),
]
DEPTHS = {0: (), 1: (3,), 2: (3, 2), 3: (2, 3, 2)}

every_loss = pytest.mark.parametrize("loss", NETWORK_LOSSES, ids=loss_id)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_depth = pytest.mark.parametrize("depth", DEPTHS)


def network(loss, rng, activation="tanh", depth=1, kind="C", n=12, p=3):
    """A weighted, penalised network on uncentred columns of several units, and a point that is no start."""
    X = (rng.normal(size=(n, p)) + [1, 0, 3]) * [1, 10, 0.1] * (rng.uniform(size=(n, p)) < 0.8)
    model = MLPObjective(
        container(X, kind),
        targets(loss, n, rng),
        loss,
        hidden_layer_sizes=DEPTHS[depth],
        activation=activation,
        sample_weight=rng.uniform(0.2, 3, size=n),
        penalty=0.05,
    )
    z = rng.normal(size=model.n_parameters) * 0.7
    theta = model.coordinates.apply(z)
    theta[len(theta) - loss.n_constants :] = 0.5
    return model, theta


@pytest.mark.parametrize("z", [-800.0, -30.0, -1.5, -1e-3, 1e-3, 0.7, 30.0, 800.0])
@every_activation
def test_derivatives_of_activations(activation, z):
    h, z = ACTIVATIONS[activation], np.array([z])
    step = 1e-5 * max(1.0, abs(z[0]))
    value = h.value(z)
    slope = (h.value(z + step) - h.value(z - step)) / (2 * step)
    sides = [h.slope(x, h.value(x)) for x in (z + step, z - step)]
    np.testing.assert_allclose(h.slope(z, value), slope, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(h.bend(z, value), (sides[0] - sides[1]) / (2 * step), rtol=1e-6, atol=1e-9)
    assert np.abs(value) <= h.bound


@every_loss
@every_activation
@every_depth
def test_every_derivative(loss, activation, depth, rng):
    """Gradient and exact Hessian against differences; Gauss-Newton against its definition J'HJ."""
    model, theta = network(loss, rng, activation, depth)
    assert_close(model.value_and_gradient(theta)[1], differences(lambda t: model.value_and_gradient(t)[0], theta))
    H = differences(lambda t: model.value_and_gradient(t)[1], theta)
    identity = np.eye(theta.size)
    assert_close(model.hessian(theta, "observed") @ identity, H)
    assert_close(model.hessian_matrix(theta, "observed"), H)
    expected = gauss_newton(model, theta)
    assert_close(model.hessian(theta, "expected") @ identity, expected)
    assert_close(model.hessian_matrix(theta, "expected"), expected)
    assert_close(model.hessian_diagonal(theta, "expected"), np.diag(expected))
    v = rng.normal(size=theta.size)
    assert_close(model.hessian(theta, "observed").matvec(v), H @ v)
    assert_close(model.hessian(theta, "expected").matvec(v), expected @ v)


def gauss_newton(model, theta):
    """J'HJ / sum w with the Jacobian of raw predictions by differences."""
    k, X = model.loss.n_outputs, model.rows.X

    def raw(t):
        outputs = model.raw(t, X)
        constants = t[len(t) - model.loss.n_constants :]
        return np.hstack([outputs, np.broadcast_to(constants, (len(X), len(constants)))])

    J = differences(raw, theta)
    H = model.loss.hessian(model.rows.y, raw(theta), "expected")
    weight = model.rows.weight / model.rows.weight.sum()
    penalised = np.zeros_like(theta)
    for part, shape in model.layers:
        penalised[part].reshape(shape)[:-1] = model.penalty
    assert J.shape[1] == k + model.loss.n_constants
    return np.einsum("n,nap,nab,nbq->pq", weight, J, H, J) + np.diag(penalised)


@every_loss
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("kind", ["F", "csr"])
def test_containers_agree(loss, depth, kind, rng):
    dense, theta = network(loss, np.random.default_rng(1), depth=depth)
    other, _ = network(loss, np.random.default_rng(1), depth=depth, kind=kind)
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
    assert_close(other.raw(theta, other.rows.X), dense.raw(theta, dense.rows.X), 1e-10)


def test_float32_and_a_memory_map_are_read_as_they_are(rng, tmp_path):
    model, theta = network(SquaredLoss(), rng, n=300)
    X = model.rows.X.astype(np.float32)
    X.tofile(tmp_path / "X")
    maps = np.memmap(tmp_path / "X", dtype=np.float32, shape=X.shape, mode="r")
    options = {"hidden_layer_sizes": (3,), "sample_weight": model.rows.weight, "penalty": 0.05}
    values = [MLPObjective(x, model.rows.y, SquaredLoss(), **options).value_and_gradient(theta)[0] for x in (X, maps)]
    assert values[0] == values[1] == pytest.approx(model.value_and_gradient(theta)[0], rel=1e-6)


@every_loss
@every_depth
@pytest.mark.parametrize("kind", ["full", "kronecker", "diagonal", "auto"])
def test_factors_are_consistent(loss, depth, kind, rng):
    """P' is the transpose of P, P'HP has no large eigenvalue, and a network's factor certifies nothing."""
    model, theta = network(loss, rng, depth=depth)
    factor = model.preconditioner(theta, kind)
    P = np.column_stack([factor.apply(e) for e in np.eye(factor.shape[1])])
    g = rng.normal(size=theta.size)
    assert_close(factor.transpose(g), P.T @ g, 1e-10)
    H = model.hessian_matrix(theta, "expected")
    assert_close(model.hessian_matrix(theta, "expected", factor=factor), P.T @ H @ P, 1e-6)
    assert_close(model.hessian_diagonal(theta, "expected", factor=factor), np.diag(P.T @ H @ P), 1e-6)
    assert np.linalg.eigvalsh(P.T @ H @ P).max() <= (1 + 1e-6 if kind in ("full", "auto") else theta.size)
    assert factor.is_full == (kind in ("full", "auto"))
    assert not factor.certifies or depth == 0


@every_loss
def test_coordinates_are_invertible_and_standardise(loss, rng):
    model, theta = network(loss, rng, depth=2)
    z = rng.normal(size=theta.size)
    g = rng.normal(size=theta.size)
    assert model.coordinates.apply(z) @ g == pytest.approx(z @ model.coordinates.transpose(g), rel=1e-10)
    moved = model.coordinates.standardised(theta)
    coefs, intercepts, _ = model.unpack(moved)
    columns = model.coordinates.columns
    sums = (model.rows.X - columns.shift) / columns.scale @ coefs[0] + intercepts[0]
    coefs, intercepts, _ = model.unpack(theta)
    assert_close(sums, model.rows.X @ coefs[0] + intercepts[0], 1e-10)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array], ids=["dense", "csr"])
def test_predictions_hold_the_hidden_units_of_a_block_only(kind, rng, monkeypatch):
    model = MLPObjective(kind(rng.normal(size=(100, 2))), np.zeros(100), SquaredLoss(), hidden_layer_sizes=(50, 30))
    theta, sizes = model.start(0), []
    whole = model.raw(theta, model.rows.X)

    class Counted(_layers.Forward):
        def __init__(self, block, layers, activation):
            super().__init__(block, layers, activation)
            sizes.append(len(self.raw))

    monkeypatch.setattr(_layers, "Forward", Counted)
    for module in (table, sparse):
        monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 10 * (2 * (50 + 30 + 1) + 2))
    assert_close(model.raw(theta, model.rows.X), whole)
    assert sizes == [10] * 10


def test_a_constant_column_keeps_no_weight(rng):
    X = np.column_stack([rng.normal(size=30), np.full(30, 7.0)])
    model = MLPObjective(X, X[:, 0], SquaredLoss(), hidden_layer_sizes=(2,), penalty=1e-3)
    theta = model.start(0)
    assert not model.unpack(theta)[0][0][1].any()
    theta = rng.normal(size=theta.size)
    reached = model.preconditioner(theta, "full").restrict(theta)
    assert not model.unpack(reached)[0][0][1].any()
    assert_close(model.raw(reached, X), model.raw(theta, X), 1e-12)


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
        raws.append((model.raw(model.start(3), model.rows.X) - shift) / factor)
    assert_close(raws[1], raws[0], 1e-6)


@pytest.mark.parametrize("kind", ["C", "csr"])
@every_loss
def test_a_network_without_hidden_layers_is_the_linear_model(loss, kind, rng):
    model, theta = network(loss, rng, depth=0, kind=kind, n=60)
    rows = model.rows
    linear = GLMObjective(rows.X, rows.y, loss, sample_weight=rows.weight, penalty=model.penalty)
    assert model.value_and_gradient(theta)[0] == pytest.approx(linear.value_and_gradient(theta)[0], rel=1e-12)
    ours, other = (minimize(m, m.start(), "newton", tol=1e-7) for m in (model, linear))
    assert ours.status == other.status == "optimal"
    assert ours.fun == pytest.approx(other.fun, rel=1e-12)
    raws = [model.loss.without_shift(model.raw(r.x, rows.X)) for r in (ours, other)]
    assert_close(raws[0], raws[1], 1e-6 if isinstance(loss, HuberLoss) else 1e-8)


@every_loss
def test_a_sample_is_unbiased_and_keeps_the_penalty(loss, rng):
    model, theta = network(loss, rng, n=40)
    halves = np.array_split(rng.permutation(40), 2)
    parts = [model.sample(rows).value_and_gradient(theta) for rows in halves]
    value, gradient = model.value_and_gradient(theta)
    assert np.mean([p[0] for p in parts]) == pytest.approx(value, rel=1e-12)
    assert_close(np.mean([p[1] for p in parts], axis=0), gradient, 1e-12)


@every_loss
def test_predictor_changes_are_those_of_raw_predictions(loss, rng):
    model, theta = network(loss, rng)
    directions = [1e-6 * rng.normal(size=theta.size), np.zeros(theta.size)]
    change, still = model.at(theta).predictor_change(directions)
    assert still == 0
    if loss.quadratic:
        assert change == 0
        return
    moves = model.raw(theta + directions[0], model.rows.X) - model.raw(theta, model.rows.X)
    moves, k = loss.without_shift(moves), loss.n_outputs
    constants = directions[0][len(theta) - loss.n_constants :]
    raw = np.hstack([model.raw(theta, model.rows.X), np.full((len(moves), loss.n_constants), 0.5)])
    unit = loss.predictor_unit(raw)
    largest = np.abs(moves / unit[:, :k]).max()
    assert change == pytest.approx(max([largest, *np.abs(constants)]), rel=1e-3)


def test_rounding_errors_of_a_value_are_no_more_than_its_noise(rng):
    model, theta = network(SquaredLoss(), rng, depth=2, n=200)
    other, _ = network(SquaredLoss(), np.random.default_rng(0), depth=2, n=200)
    order = rng.permutation(200)
    other = MLPObjective(
        model.rows.X[order],
        model.rows.y[order],
        SquaredLoss(),
        hidden_layer_sizes=DEPTHS[2],
        sample_weight=model.rows.weight[order],
        penalty=0.05,
    )
    a, b = (m.value_and_gradient(theta)[0] for m in (model, other))
    assert abs(a - b) <= model.at(theta).noise <= 1e-9 * a


def test_unpack_is_the_inverse_of_pack(rng):
    model, theta = network(HuberLoss(), rng, depth=2)
    np.testing.assert_array_equal(model.pack(*model.unpack(theta)), theta)


def test_bad_options_are_named(rng):
    with pytest.raises(ValueError, match="activation='sine' is unknown: choose from"):
        MLPObjective(np.ones((3, 1)), np.ones(3), SquaredLoss(), activation="sine")
    model, theta = network(SquaredLoss(), rng)
    with pytest.raises(ValueError, match="precondition='cholesky' is not available for a network; choose from"):
        model.preconditioner(theta, "cholesky")


def test_an_overflow_is_an_infinite_value(rng):
    model, theta = network(TweedieLoss(1, "log"), rng)
    assert model.value_and_gradient(1e200 * theta)[0] == np.inf
    assert sp.issparse(network(SquaredLoss(), rng, kind="csr")[0].rows.X)


@every_loss
@pytest.mark.parametrize("kind", ["C", "csr"])
def test_the_terms_of_single_rows_add_up(loss, kind, rng):
    model, theta = network(loss, rng, kind=kind)[:2]
    factor = model.preconditioner(theta, "full")
    P = factor.dense()

    def terms(terms):
        slope = np.einsum("nmr,nm->nr", terms.along, terms.slope) * terms.share[:, None]
        return slope, np.einsum("nmr,nml,nls->nrs", terms.along, terms.bend, terms.along) * terms.share[:, None, None]

    slope, bend = model.gather_terms(theta, factor, terms, "expected")
    penalty = np.zeros(theta.size)
    for part, shape in model.layers:
        penalty[part].reshape(shape)[:-1] = model.penalty
    assert_close(slope.sum(axis=0), P.T @ (model.value_and_gradient(theta)[1] - penalty * theta))
    assert_close(bend.sum(axis=0), P.T @ (model.hessian_matrix(theta, "expected") - np.diag(penalty)) @ P)


@pytest.mark.parametrize("kind", ["observed", "expected"])
def test_the_regular_hessian_bends_along_the_common_shift_alone(kind, rng):
    model, theta = network(SoftmaxCrossEntropy(3), rng)[:2]
    factor = model.preconditioner(theta, "units")
    P = factor.dense()
    added = model.at(theta).regular_hessian_matrix(kind, factor) - model.hessian_matrix(theta, kind, factor=factor)
    shift = np.zeros(len(theta))
    shift[model.layers[-1][0].stop - 3 : model.layers[-1][0].stop] = 1
    shift = np.linalg.solve(P, shift)
    values, vectors = np.linalg.eigh(added)
    assert (values[:-1] <= 1e-12 * values[-1]).all()
    assert abs(vectors[:, -1] @ shift) == pytest.approx(np.linalg.norm(shift))
    np.testing.assert_array_equal(model.at(theta).regular_hessian_matrix(kind), model.hessian_matrix(theta, kind))


def test_the_canonical_softmax_network_has_no_common_shift(rng):
    model, theta = network(SoftmaxCrossEntropy(3), rng)[:2]
    canonical = model.canonical(theta)
    assert model.unpack(canonical)[1][-1].sum() == pytest.approx(0, abs=1e-12)
    raw, expected = model.raw_predictions(canonical), model.raw_predictions(theta)
    np.testing.assert_allclose(np.ptp(raw - expected, axis=1), 0, atol=1e-12)
    # the weights are shifted only where no penalty holds them
    np.testing.assert_array_equal(model.unpack(canonical)[0][-1], model.unpack(theta)[0][-1])
    model.penalty = 0.0
    np.testing.assert_allclose(model.unpack(model.canonical(theta))[0][-1].sum(axis=1), 0, atol=1e-12)
    # and the factor has curvature along the shift, so that it is not held back
    assert (
        not network(SoftmaxCrossEntropy(3), rng, depth=0)[0].curvature_factor(theta[:12], "observed").inner.is_floored
    )
