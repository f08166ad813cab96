"""What is done so that a machine's messages say less of its examples."""

from pydantic import Field

from fedjtt.keys.field import Keys


class PrivacyKeys(Keys):
    """What is done so that a machine's messages say less of its examples."""

    secure_aggregation: bool = Field(False, description="the server sees only sums of what machines send (SecAgg+)")
    clip_update_norm: float = Field(
        0.0, ge=0, description="longest change of the weights that a machine sends: it shortens longer ones; 0: none"
    )
    noise_multiplier: float = Field(
        0.0,
        ge=0,
        description="differential privacy of updates: standard deviation, in units of clip-update-norm, of the noise "
        "that the server adds to the sum of a round's updates, which all count alike; 0: none",
    )
    count_noise: float = Field(
        0.0, ge=0, description="standard deviation of the noise that machines add to every count they send; 0: none"
    )
    noise_seed: int = Field(
        0, ge=0, description="seed of both noises, for experiments only: who knows it can take them away; 0: no seed"
    )
