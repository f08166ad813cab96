"""How a run is computed, and where its result goes."""

from pydantic import Field

from fedjtt.keys.field import Keys, choice


class RunKeys(Keys):
    """How a run is computed, and where its result goes."""

    seed: int = Field(0, ge=0, description="seed of data, partition, weights and every random choice")
    threads: int = Field(1, ge=1, description="torch threads of a process; another number gives other bits")
    engine: str = choice(
        "in-process",
        ("in-process", "flower"),
        "in-process: one process or a few workers; flower: Flower's simulation runtime",
    )
    workers: int = Field(1, ge=1, description="processes that the machines of one run are spread over")
    device: str = choice(
        "cpu", ("auto", "cpu", "cuda"), "where tensors live; auto: on the GPU of whoever computes, and without one cpu"
    )
    precision: str = choice(
        "float32",
        ("float32", "bfloat16", "float16"),
        "what networks compute in while they train (autocast; float16 with a loss scale); weights, averages and "
        "evaluation are float32 in any case",
    )
    compile: bool = Field(
        False, description="train by torch.compile: first steps take a minute or so, and sums have another order"
    )
    out: str = Field(
        "", description="folder for the result; empty: runs/<name and id> for the CLI, no folder under flwr run"
    )
