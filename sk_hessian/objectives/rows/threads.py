"""Sums over blocks on two or more threads, where BLAS may have them.

numpy and scipy release the interpreter's lock in the products and element-wise loops of a block, so threads that each
take some blocks share a pass almost evenly, with BLAS held at one thread meanwhile: two pools on the same cores make
small kernels ten to a hundred times slower. A fit of many rows holds BLAS so from its beginning to its end, because the
threads of BLAS go on waiting, on a core, for some time after each of its calls: a pass over 300,000 x 33 then takes 23
ms in place of 16. No more threads are taken than BLAS has (``OMP_NUM_THREADS``,
``threadpoolctl``, joblib's nesting all set that), and only from the main thread: a fit in another thread belongs to
somebody's own pool.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

#: elements of X below which a second thread saves less than it takes to be called
PARALLEL_FROM = 1_000_000


#: columns beyond which BLAS has more to do than the passes: it keeps its threads
_MOST_COLUMNS = 500

#: numbers up to which BLAS takes no second thread for any product
_SERIAL = 10_000

#: the threads that the passes of a fit have, while it holds BLAS at one
_of_fit = ContextVar("threads of a fit", default=0)


@cache
def _libraries():
    """All BLAS libraries of the process; found once, because it takes 3 ms."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


@contextmanager
def _one_thread():
    """Hold BLAS at one thread."""
    before = [library.get_num_threads() for library in _libraries()]
    for library in _libraries():
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, count in zip(_libraries(), before, strict=True):
            library.set_num_threads(count)


@cache
def _pool():
    return ThreadPoolExecutor(thread_name_prefix="sk_hessian")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def n_threads(n_elements):
    """How many threads a pass over so many elements may take."""
    if n_elements < PARALLEL_FROM or threading.current_thread() is not threading.main_thread():
        return 1
    if _of_fit.get():
        return _of_fit.get()
    pools = [library.get_num_threads() for library in _libraries()]
    return max(1, min([*pools, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()]))


def held_for(X):
    """A context that holds BLAS at one thread for all of a fit to X, of a moderate number of columns, if an array.

    Where passes take several threads for these; on small tables because a product of 20,000 numbers gains nothing from
    a second thread, and waits for it on a busy machine: 22 ms in one call of a hundred, where others take 4
    microseconds.
    """
    shape: Any = getattr(X, "shape", ())
    # of a sparse matrix its entries, as in the passes; of a lazy collection it may not be known
    size: Any = getattr(X, "size", 0)
    is_counted = isinstance(size, int) and size > _SERIAL and len(shape) == 2 and shape[1] <= _MOST_COLUMNS
    # BLAS belongs to the process, so that only one thread may hold it
    if not is_counted or _of_fit.get() or threading.current_thread() is not threading.main_thread():
        return _AS_IT_IS
    return _held(size)


#: where nothing is to be held
_AS_IT_IS = nullcontext()


@contextmanager
def _held(size):
    """Hold BLAS for a fit of so many numbers, and give its threads to the passes."""
    token = _of_fit.set(n_threads(size))
    try:
        with _one_thread():
            yield
    finally:
        _of_fit.reset(token)


def run(tasks):
    """The results of functions without arguments, each on its own thread in the caller's context, in their order."""
    with _AS_IT_IS if _of_fit.get() else _one_thread():
        futures = [_pool().submit(copy_context().run, task) for task in tasks[1:]]
        return [tasks[0](), *(future.result() for future in futures)]
