"""The primitives of secure aggregation, none of them our own.

Shamir's shares, key agreement with HKDF and the encryption of shares are Flower's
(``flwr.common.secure_aggregation``). A mask is AES-256 in counter mode of `cryptography` under a key of full length, as
Bonawitz et al. (2017) have it: Flower's ``pseudo_rand_gen`` folds its seed to 32 bits, which can be tried out.
"""

import os
from base64 import urlsafe_b64decode

import numpy as np
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, encrypt, generate_shared_key
from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_concat, share_keys_plaintext_separate
from numpy.typing import NDArray

CURVE = ec.SECP256R1()
SECRET_BYTES = 32
PUBLIC_BYTES = 33
SHARE_BYTES = 52
"""A share names its place in 4 bytes; then 16 for each of the padded secret's three blocks."""

SEALED_BYTES = 248
"""Fernet's token of two shares, their owner and their holder."""

_BLOCK = bytes(16)


def new_secret() -> bytes:
    """Return a random secret: a mask's seed. From the system, never from a run's seed."""
    return os.urandom(SECRET_BYTES)


def new_private() -> bytes:
    """Return a fresh private key."""
    value = ec.generate_private_key(CURVE).private_numbers().private_value
    return value.to_bytes(SECRET_BYTES, "big")


def public_of(private: bytes) -> bytes:
    """Return a private key's public half."""
    return _private(private).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def is_public(public: bytes) -> bool:
    """Return whether these bytes are a public key."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(CURVE, public)
    except ValueError:
        return False
    return True


def agreed_key(private: bytes, public: bytes) -> bytes:
    """Return the 256-bit key that two owners of a key pair have in common, in base64."""
    return generate_shared_key(_private(private), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, public))


def pair_mask(private: bytes, public: bytes, length: int) -> NDArray[np.uint64]:
    """Return the mask that two machines have in common; one adds it, the other takes it away."""
    return mask_of(urlsafe_b64decode(agreed_key(private, public)), length)


def mask_of(seed: bytes, length: int) -> NDArray[np.uint64]:
    """Return uniform numbers of the ring, uint64 ``[length]``; a seed makes one mask only."""
    stream = Cipher(algorithms.AES(seed), modes.CTR(_BLOCK)).encryptor().update(bytes(8 * length))
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64, copy=False)


def split(secret: bytes, threshold: int, holders: int) -> list[bytes]:
    """Return a share of a secret for each holder; `threshold` of them are the secret, fewer tell nothing."""
    return create_shares(secret, threshold, holders)


def join(shares: list[bytes]) -> bytes:
    """Return the secret.

    Raises
    ------
    ValueError
        Where these are not shares of one secret.
    """
    secret = combine_shares(shares)
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"the shares make a secret of {len(secret)} bytes")
    return secret


def seal(key: bytes, owner: int, holder: int, shares: tuple[bytes, bytes]) -> bytes:
    """Encrypt and authenticate an owner's two shares for their holder, under the key that both have agreed on."""
    return encrypt(key, share_keys_plaintext_concat(owner, holder, *shares))


def unseal(key: bytes, sealed: bytes, owner: int, holder: int) -> tuple[bytes, bytes]:
    """Return the owner's two shares.

    Raises
    ------
    ValueError
        Where they were not sealed by this owner for this holder, or have been changed.
    """
    try:
        source, destination, *shares = share_keys_plaintext_separate(decrypt(key, sealed))
    except InvalidToken:
        raise ValueError("it was not sealed with this key") from None
    if (source, destination) != (owner, holder):
        raise ValueError(f"it was sealed by {source} for {destination}")
    return shares[0], shares[1]


def _private(private: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(private, "big"), CURVE)
