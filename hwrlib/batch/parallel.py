"""Where work in bulk runs: in processes of this machine, or on a cluster."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from hwrlib.common.extras import require

PATIENCE = 10  # seconds to wait for a scheduler


def processors() -> int:
    """How many of them this process should use."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


@contextmanager
def backend(cluster: str, jobs: int) -> Iterator[None]:
    """Send what joblib runs in the block to a cluster, or to processes of this machine.

    Args:
        cluster: address of a Dask scheduler, `tcp://host:8786`; empty: this machine.
        jobs: processes on this machine.
    Raises:
        ConnectionError: there is no scheduler at that address.
        MissingExtra: Dask is not installed.
    """
    if not cluster:
        with joblib.parallel_config(backend="loky", n_jobs=jobs):
            yield
        return
    require("cluster", "reading or training on a cluster", "distributed")
    from distributed import Client

    try:
        client = Client(cluster, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConnectionError(f"{cluster}: no Dask scheduler there ({error}); start one with: dask scheduler") from None
    with client, joblib.parallel_config(backend="dask"):
        yield
