"""What several tests of kernels need: another number of threads, and the same call on CPU and GPU."""

import ctypes

import pytest

from launch.runtime import start_jittor

jt = start_jittor()


@pytest.fixture
def with_threads():
    """with_threads(n, run, *args): run(*args) while OpenMP has n threads."""
    openmp = ctypes.CDLL("libgomp.so.1")  # the one that Jittor's kernels are linked to
    before = openmp.omp_get_max_threads()

    def call(threads, run, *args):
        openmp.omp_set_num_threads(threads)
        return run(*args)

    yield call
    openmp.omp_set_num_threads(before)


@pytest.fixture
def on_both():
    """on_both(run, *args): what run(*args) gives on the CPU and on the GPU; run makes its own Vars."""
    before = jt.flags.use_cuda

    def call(run, *args):
        results = []
        for cuda in (0, 1):
            jt.flags.use_cuda = cuda
            results.append(run(*args))
        return results

    yield call
    jt.flags.use_cuda = before
