"""What the plan decides, from facts alone: no rows, no loss."""

from types import SimpleNamespace

import numpy as np
import pytest

from sk_hessian.objectives import FunctionObjective, GLMObjective, MLPObjective, SoftmaxCrossEntropy, SquaredLoss
from sk_hessian.objectives.contract import Facts
from sk_hessian.objectives.restricted import RestrictedObjective
from sk_hessian.solvers import plan


def stated(n_rows, convex=True, **facts):
    return SimpleNamespace(n_rows=n_rows, convex=convex, facts=Facts(**facts))


def linear(n_rows, p, k=1, **facts):
    kinds = ("full", "diagonal", "kronecker") if k > 1 else ("full", "diagonal")
    work = {"n_columns": p, "n_outputs": k, "pass_work": p * k, "hessian_work": p * p}
    objective = stated(n_rows, made_of="columns", kinds=kinds, **work, **facts)
    objective.full_size = (p + 1) * k
    return objective


def network(n_rows, n_parameters, k=1, **facts):
    work = {"pass_work": n_parameters, "hessian_work": n_parameters**2 * k}
    return stated(n_rows, False, made_of="gradients", has_many_optima=True, **work, **facts)


FUNCTION = FunctionObjective(lambda x: x @ x)
FORGETFUL = stated(100, made_of="memory", has_matrix=False)


@pytest.mark.parametrize(
    ("objective", "n_parameters", "solver", "kind"),
    [
        (linear(1000, 40), 40, "newton", "full"),
        (linear(1000, 41, is_quadratic=True), 41, "lbfgs", "full"),
        (linear(1000, 500), 501, "newton", "full"),
        (linear(1000, 501), 502, "lbfgs", "full"),
        (linear(400, 400, is_wide=True), 4001, "lbfgs", "full"),
        (linear(25_000, 100), 101, "newton", "full"),
        (linear(25_001, 10), 11, "lbfgs", "full"),
        (linear(1000, 21, 5), 105, "lbfgs", "full"),
        (linear(1000, 20, n_constants=1), 22, "newton", "full"),
        (linear(1000, 51, n_constants=1), 53, "lbfgs", "full"),
        (linear(100, 50, 3), 150, "newton", "full"),
        (linear(100, 50, 3), 151, "lbfgs", "kronecker"),
        (linear(100, 50, 3, is_quadratic=True), 150, "newton", "kronecker"),
        (linear(100_000, 54, 7), 385, "lbfgs", "full"),
        (linear(100_000, 54, 10), 600, "lbfgs", "full"),
        (linear(100_000, 54, 10), 601, "lbfgs", "kronecker"),
        (linear(100_000, 16, 26), 442, "lbfgs", "kronecker"),
        (linear(100_000, 54, 7, is_quadratic=True), 385, "lbfgs", "kronecker"),
        (linear(10, 3001, has_matrix=False), 3001, "lbfgs", "diagonal"),
        (stated(10, made_of="determinant"), 200, "newton", "full"),
        (stated(10, made_of="determinant"), 201, "lbfgs", "full"),
        (network(10, 500, 5), 500, "newton", "full"),
        (network(10, 501, 5), 501, "lbfgs", "kronecker"),
        (network(10, 501, 4), 501, "newton", "kronecker"),
        (network(10, 501, 5, n_columns=2001), 501, "lbfgs", "diagonal"),
        (network(10**6, 250), 250, "lbfgs", "full"),
        (network(10**6, 250, exact_is_cheap=True), 250, "newton", "full"),
        (network(10**6, 251, exact_is_cheap=True), 251, "lbfgs", "full"),
        (FUNCTION, 500, "newton", "full"),
        (FUNCTION, 501, "lbfgs", None),
        (stated(100, made_of="memory"), 1000, "lbfgs", "full"),
        (FORGETFUL, 10, "lbfgs", "diagonal"),
    ],
)
def test_what_auto_stands_for(objective, n_parameters, solver, kind):
    assert plan.choose(objective, n_parameters) == solver
    assert plan.best_kind(objective, n_parameters) == kind


@pytest.mark.parametrize(
    ("objective", "n_parameters", "size"),
    [
        (linear(20_000, 31), 32, None),
        (linear(30_000, 31), 32, 3000),
        (linear(30_000, 31, is_quadratic=True), 32, None),
        (linear(30_000, 201, is_quadratic=True), 202, 3000),
        (linear(10**6, 31), 32, 50_000),
        (linear(20_000, 1000), 1001, 10_000),
        (linear(19_999, 1000), 1001, None),
        (network(4000, 100), 100, 1000),
        (network(3999, 100), 100, None),
        (network(10**6, 400, 7), 400, None),
        (stated(10**6, made_of="determinant", n_columns=31), 32, None),
        (FORGETFUL, 10, None),
        (FUNCTION, 10, None),
    ],
)
def test_how_many_rows_stand_for_all(objective, n_parameters, size):
    assert plan.sketch_size(objective, n_parameters) == size


@pytest.mark.parametrize(
    ("objective", "passes"),
    [
        (linear(1000, 64, is_held=True), 4.0),
        (linear(1000, 64), 0.0),
        (linear(1000, 64, is_held=True, is_quadratic=True), 0.0),
        (linear(1000, 3001, is_held=True, has_matrix=False), 0.0),
        (linear(10_000, 160, is_held=True), 8.0),  # five Hessians of 1600 rows
        (linear(1000, 1000, 4, is_held=True), 1000 / 64 + 50 * 1000 / 64),
    ],
)
def test_what_a_factor_costs(objective, passes):
    assert plan.factor_passes(objective, objective.full_size) == pytest.approx(passes)
    assert plan.can_wait(objective, objective.full_size) == (passes > 20)


@pytest.mark.parametrize(
    ("objective", "easy"),
    [
        (linear(50_000, 50, 10, is_held=True), True),  # 5 * 5000 * 2500 * 55 / (16 * 50_000 * 500) passes
        (linear(50_000, 50, 3, is_held=True), False),
        (linear(50_000, 50, 10), False),
        (linear(50_000, 50, is_held=True), False),
    ],
)
def test_what_may_do_without_a_factor_of_its_sketch(objective, easy):
    assert plan.may_be_easy(objective, objective.full_size) == easy


def test_a_factor_of_several_outputs_is_taken_by_its_cost():
    assert plan.can_factor(linear(1000, 300, 3), 903)
    assert not plan.can_factor(linear(2000, 300, 3), 903)
    assert not plan.can_factor(linear(100, 4, 33), 165)
    assert not plan.can_factor(linear(10, 1000, 4), 4004)


def test_objectives_state_what_the_plan_reads(rng):
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    linear_model = GLMObjective(X, y, SoftmaxCrossEntropy(3), penalty=0.1)
    facts = linear_model.facts
    assert (facts.made_of, facts.n_columns, facts.n_outputs) == ("columns", 3, 3)
    assert (facts.pass_work, facts.hessian_work) == (9, 9)
    assert facts.is_held
    assert not facts.is_wide
    assert not facts.is_quadratic
    wide = GLMObjective(rng.normal(size=(40, 200)), X[:, 0], SquaredLoss(), penalty=0.1).facts
    assert (wide.is_wide, wide.n_columns, wide.hessian_work, wide.is_quadratic) == (True, 40, 40 * 200, True)
    facts = MLPObjective(X, y, SoftmaxCrossEntropy(3), hidden_layer_sizes=(2,)).facts
    assert (facts.made_of, facts.n_columns, facts.pass_work, facts.hessian_work) == ("gradients", 4, 17, 17 * 17 * 3)
    assert facts.exact_is_cheap
    assert facts.has_many_optima


def test_a_restriction_is_formed_where_the_whole_is():
    function = FunctionObjective(lambda x: x @ x)
    for size, forms in ((500, True), (501, False)):
        restricted = RestrictedObjective.holding(function, np.ones(size), np.arange(10, size))
        assert plan.forms_hessian(restricted, 10) == forms
        assert plan.best_kind(restricted, 10) == "full"
