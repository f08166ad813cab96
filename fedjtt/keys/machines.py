"""How many machines there are, and what is done where some of them fail or lie."""

from pydantic import Field

from fedjtt.keys.field import Keys, choice


class MachineKeys(Keys):
    """How many machines there are, and what is done where some of them fail or lie."""

    machines: int = Field(10, ge=1, description="machines that the train data is spread over")
    min_machines: float = Field(
        1.0, gt=0, description="good replies that a round needs: a share up to 1, or a number above 1"
    )
    max_failed_rounds: int = Field(
        0, ge=0, description="exchanges of a run that are made again because too few machines counted, before it ends"
    )
    round_timeout: float = Field(0.0, ge=0, description="seconds that an exchange waits for the machines; 0: no limit")
    connect_timeout: float = Field(
        120.0, ge=0, description="seconds that the server waits for machines that are not connected"
    )
    on_restart: str = choice(
        "anew", ("anew", "resume"), "what a run does that finds the checkpoint of an unfinished one in its folder"
    )
    max_update_norm: float = Field(
        0.0, ge=0, description="longest change of the weights that is accepted from a machine; 0: any finite one"
    )
    max_error_fraction: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a machine's examples in its error set above which the result names the machine",
    )
