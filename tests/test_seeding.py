import hashlib
from itertools import product

import numpy as np
import torch

from fedjtt.seeding import derive_seed, numpy_generator, torch_generator


def test_a_seed_is_the_documented_hash() -> None:
    digest = hashlib.sha256(b"fedjtt/7/identify/3/2").hexdigest()
    assert derive_seed(7, "identify", 3, 2) == int(digest[:16], 16) // 2


def test_different_arguments_give_different_seeds_even_where_their_sums_agree() -> None:
    arguments = list(product(range(4), ("a", "b"), range(4), range(4)))
    assert len({derive_seed(*each) for each in arguments}) == len(arguments)
    assert all(0 <= derive_seed(*each) < 2**63 for each in arguments)


def test_generators_repeat_themselves_and_leave_the_global_ones_alone() -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert torch.equal(
        torch.rand(5, generator=torch_generator(1, "x", 2, 3)), torch.rand(5, generator=torch_generator(1, "x", 2, 3))
    )
    assert np.array_equal(numpy_generator(1, "x").random(5), numpy_generator(1, "x").random(5))
    assert not np.array_equal(numpy_generator(1, "x").random(5), numpy_generator(2, "x").random(5))
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])
