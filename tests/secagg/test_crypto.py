"""The primitives: they do what the protocol needs of them, and nothing that it must not."""

import itertools

import numpy as np
import pytest

from fedjtt.secagg.crypto import (
    PUBLIC_BYTES,
    SEALED_BYTES,
    SECRET_BYTES,
    SHARE_BYTES,
    agreed_key,
    is_public,
    join,
    mask_of,
    new_private,
    new_secret,
    pair_mask,
    public_of,
    seal,
    split,
    unseal,
)


def test_keys_are_fresh_and_both_ends_agree() -> None:
    ours, theirs, stranger = new_private(), new_private(), new_private()
    assert len({ours, theirs, stranger}) == 3
    assert len(public_of(ours)) == PUBLIC_BYTES
    assert agreed_key(ours, public_of(theirs)) == agreed_key(theirs, public_of(ours))
    assert agreed_key(ours, public_of(theirs)) != agreed_key(ours, public_of(stranger))
    assert np.array_equal(pair_mask(ours, public_of(theirs), 9), pair_mask(theirs, public_of(ours), 9))


def test_only_points_of_the_curve_are_public_keys() -> None:
    assert is_public(public_of(new_private()))
    assert not is_public(bytes(PUBLIC_BYTES))
    assert not is_public(public_of(new_private())[:-1])


def test_a_mask_is_aes_256_in_counter_mode_under_the_whole_key() -> None:
    """AES-256 of an all-zero block under an all-zero key: NIST's known answer dc95c078a2408989ad48a21492842087."""
    assert mask_of(bytes(32), 2).astype("<u8").tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    seed = new_secret()
    assert np.array_equal(mask_of(seed, 5), mask_of(seed, 9)[:5])
    for byte in (0, 15, 31):  # every byte of the key counts: none is folded away
        other = bytearray(seed)
        other[byte] ^= 1
        assert not (mask_of(seed, 64) == mask_of(bytes(other), 64)).any()


def test_masks_are_uniform() -> None:
    """Each of the 64 bits is set in half of 20,000 numbers, but for six standard deviations of .5 / sqrt(20,000)."""
    numbers = mask_of(new_secret(), 20_000)
    share = [float(((numbers >> np.uint64(bit)) & np.uint64(1)).mean()) for bit in range(64)]
    assert max(abs(each - 0.5) for each in share) < 6 * 0.5 / 20_000**0.5


def test_any_threshold_of_shares_is_the_secret_and_fewer_are_not() -> None:
    secret = new_secret()
    assert len(secret) == SECRET_BYTES
    shares = split(secret, 3, 5)
    assert {len(share) for share in shares} == {SHARE_BYTES}
    for chosen in itertools.combinations(shares, 3):
        assert join(list(chosen)) == secret
    for chosen in itertools.combinations(shares, 2):
        try:
            assert join(list(chosen)) != secret
        except ValueError:  # what comes out is seldom padded as a secret is
            continue


def test_what_is_sealed_is_read_by_its_holder_alone_and_unchanged() -> None:
    ours, theirs, stranger = new_private(), new_private(), new_private()
    key = agreed_key(ours, public_of(theirs))
    shares = (bytes(SHARE_BYTES), bytes(range(SHARE_BYTES)))
    sealed = seal(key, 4, 7, shares)
    assert len(sealed) == SEALED_BYTES
    assert unseal(agreed_key(theirs, public_of(ours)), sealed, 4, 7) == shares
    with pytest.raises(ValueError, match="not sealed with this key"):
        unseal(agreed_key(stranger, public_of(ours)), sealed, 4, 7)
    with pytest.raises(ValueError, match="not sealed with this key"):
        unseal(key, sealed[:-9] + bytes(9), 4, 7)
    with pytest.raises(ValueError, match="it was sealed by 4 for 7"):
        unseal(key, sealed, 4, 8)
