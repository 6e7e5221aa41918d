"""scikit-learn's callbacks, where it has them (1.9 and later): a fit, its starts and its iterations as tasks."""

from functools import partial
from numbers import Real

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # this scikit-learn knows no callbacks
    CallbackSupportMixin = type("CallbackSupportMixin", (), {})

    def with_callbacks(method):
        """``method`` itself: there is nothing to tear down."""
        return method


class Task:
    """A task of a fit, told to the estimator's callbacks: the fit itself, one of its starts, or an iteration.

    ``told`` is what callbacks may ask for in every task: the estimator, X, y and metadata. Without callbacks there is
    no context and nobody is told: every method then costs next to nothing.
    """

    def __init__(self, context, told):
        self._context, self._told = context, told

    def begin(self, attributes=None):
        """Say that the task has begun; ``attributes()`` as of `end`."""
        self._context.call_on_fit_task_begin(**self._told, reconstruction_attributes=attributes)
        return self

    def subtask(self, name, max_subtasks=0, attributes=None):
        """A part of this task, begun; ``attributes()`` as of `end`."""
        if self._context is None:
            return self
        context = self._context.subcontext(task_name=name, max_subtasks=max_subtasks)
        return Task(context, self._told).begin(attributes)

    def end(self, attributes):
        """Say that the task has ended, with the fitted attributes ``attributes()``; whether a callback asks to stop."""
        if self._context is None:
            return False
        return self._context.call_on_fit_task_end(**self._told, reconstruction_attributes=attributes)

    def iterations(self, attributes):
        """What `minimize` is to call before and after each iteration to make it a subtask; None without callbacks.

        ``attributes(theta, value)`` for parameters and the objective there, as of `end`.
        """
        if self._context is None:
            return None, None
        latest = self

        def attributes_at(state):
            return partial(attributes, state.x, state.record["objective"])

        def before(state):
            nonlocal latest
            latest = self.subtask("iteration", attributes=attributes_at(state))

        def after(state):
            return latest.end(attributes_at(state))

        return before, after


def _is_told(estimator, name, value):
    """Whether callbacks are told of what a fit was given for each row: scorers pass all of it on to their metric."""
    # one weight for all rows changes no score, and scorers want one for each row
    if value is None or isinstance(value, Real):
        return False
    # metrics know weights; an offset is for those who asked for it
    return name == "sample_weight" or estimator.get_metadata_routing().score.requests.get(name) is True


#: a task of which nobody is told
UNTOLD = Task(None, {})


@with_callbacks
def learn_as_task(estimator, data):
    """Let an estimator learn from `RowData`, as a task of which its callbacks are told."""
    rows = {"sample_weight": data.sample_weight, "offset": data.offset}
    metadata = {name: value for name, value in rows.items() if _is_told(estimator, name, value)} or None
    context = estimator._init_callback_context(max_subtasks=estimator._max_subtasks())
    task = Task(context, {"estimator": estimator, "X": data.X, "y": data.y, "metadata": metadata}).begin()
    estimator._learn(data, task)
    task.end(dict)
