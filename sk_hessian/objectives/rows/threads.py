"""Sums over blocks on two or more threads, where BLAS may have them.

numpy and scipy release the interpreter's lock in the products and element-wise loops of a block, so threads that each
take some blocks share a pass almost evenly, with BLAS held at one thread meanwhile: two pools on the same cores make
small kernels ten to a hundred times slower. No more threads are taken than BLAS has (``OMP_NUM_THREADS``,
``threadpoolctl``, joblib's nesting all set that), and only from the main thread: a fit in another thread belongs to
somebody's own pool.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache

from threadpoolctl import ThreadpoolController

#: elements of X below which a second thread saves less than it takes to be called
PARALLEL_FROM = 1_000_000


@cache
def _controller():
    """All BLAS libraries of the process; made once, because it takes 3 ms, and used for 0.01 ms."""
    return ThreadpoolController().select(user_api="blas")


@cache
def _pool():
    return ThreadPoolExecutor(thread_name_prefix="sk_hessian")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def n_threads(n_elements):
    """How many threads a pass over so many elements may take."""
    if n_elements < PARALLEL_FROM or threading.current_thread() is not threading.main_thread():
        return 1
    pools = [library["num_threads"] for library in _controller().info()]
    return max(1, min([*pools, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()]))


def run(tasks):
    """The results of functions without arguments, each on its own thread in the caller's context, in their order."""
    with _controller().limit(limits=1):
        futures = [_pool().submit(copy_context().run, task) for task in tasks[1:]]
        return [tasks[0](), *(future.result() for future in futures)]
