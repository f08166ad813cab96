"""What a network computes in while it trains: half precision, torch's compiler; weights stay float32."""

import math
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from fedjtt.errors import ConfigError, DivergedError

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
COMPILER = "inductor"
FIRST_SCALE, LARGEST_SCALE, GROWS_AFTER = 2.0**10, 2.0**16, 200


class Forward:
    """A network's logits in training, float32 whatever is inside.

    Parameters
    ----------
    precision : str
        ``float32``; ``bfloat16`` or ``float16``: convolutions and products in that, sums and norms in float32
        (torch's autocast).
    compiled : bool
        Whether torch.compile makes one program of the network; machines and rounds share it.
    """

    def __init__(self, module: nn.Module, precision: str = "float32", compiled: bool = False) -> None:
        self._module, self._half, self._compiled = module, HALF.get(precision), compiled
        # A network is compiled once, however often this is called: torch keeps what it has compiled with the code.
        self._call = torch.compile(module, backend=COMPILER) if compiled else module

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits.

        Raises
        ------
        ConfigError
            Where the network is to be compiled and cannot be.
        """
        half = nullcontext() if self._half is None else torch.autocast(x.device.type, self._half)
        with half:
            logits: Tensor = self._call(x) if not self._compiled else self._by_program(x)
        return logits.float()

    def _by_program(self, x: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException  # two seconds, for those who compile

        try:
            return self._call(x)  # type: ignore[no-any-return]
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())[:160]
            raise ConfigError(
                f"compile is true, but torch cannot compile this network here ({reason}); set compile to false"
            ) from None


class LossScale:
    """Keeps small gradients above what float16 calls 0: the loss is multiplied before it is differentiated.

    As in Micikevicius et al. (2018): where a gradient overflows, the step is left out and the scale halved; after 200
    steps without, it doubles. It begins low: every round of a machine begins it anew, and has few steps to lose.

    Attributes
    ----------
    value : float
        A power of two: to multiply by it and to divide again changes no bit.
    """

    def __init__(self) -> None:
        self.value = FIRST_SCALE
        self._good = 0

    def undone(self, gradient: Tensor) -> bool:
        """Divide a gradient by the scale, in place; return whether it is finite, and set the scale for the next step.

        Raises
        ------
        DivergedError
            Where it overflows without any scale.
        """
        if all(math.isfinite(extreme) for extreme in torch.aminmax(gradient)):
            gradient.div_(self.value)
            self._good += 1
            if self._good % GROWS_AFTER == 0:
                self.value = min(LARGEST_SCALE, 2 * self.value)
            return True
        if self.value == 1:
            raise DivergedError(
                "a gradient overflows in float16; set precision to bfloat16, or lower the learning rate"
            )
        self.value, self._good = self.value / 2, 0
        return False
