"""Random generators that are a function of (seed, purpose, round, partition), and of nothing else.

No module reads or seeds a global generator: whoever needs chance asks here and passes the generator on.
"""

import hashlib

import numpy as np
import torch


def derive_seed(seed: int, purpose: str, server_round: int = 0, partition_id: int = 0) -> int:
    """Return a 63-bit seed that is unrelated for any two different arguments.

    A hash, not a sum: ``seed + round`` would give run 0's second round the numbers of run 1's first.

    Parameters
    ----------
    seed : int
        The run's seed.
    purpose : str
        What the numbers are for, such as ``"partition"`` or ``"identify"``.
    server_round : int
        Round of the stage, from 1; 0 where there is none.
    partition_id : int
        The machine, from 0; 0 where there is none.
    """
    text = f"fedjtt/{seed}/{purpose}/{server_round}/{partition_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, purpose: str, server_round: int = 0, partition_id: int = 0) -> torch.Generator:
    """Return a CPU generator of torch for :func:`derive_seed` of the same arguments."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, server_round, partition_id))


def numpy_generator(seed: int, purpose: str, server_round: int = 0, partition_id: int = 0) -> np.random.Generator:
    """Return a generator of numpy for :func:`derive_seed` of the same arguments."""
    return np.random.default_rng(derive_seed(seed, purpose, server_round, partition_id))
