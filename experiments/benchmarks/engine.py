"""The in-process engine, with one worker and with two, against a bare torch loop that computes the same weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.benchmarks.harness import (
    Row,
    Setting,
    channels_last,
    interleaved,
    medians_of,
    one_thread,
    ratios_of,
    spuco_mnist,
    timed,
)
from fedjtt.api import simulate
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.data.sampling import shuffled_passes
from fedjtt.methods.identify_local import identification_steps
from fedjtt.methods.robust_steps import planned_steps
from fedjtt.models import LeNet, build_model, digest
from fedjtt.provide import spread
from fedjtt.seeding import torch_generator

CONFIG = RunConfig.parse(
    {
        "dataset": "spuco-mnist", "machines": 10, "method": "jtt", "robust": "federated",
        "identify": "local", "identify-optimizer": "sgd", "identify-averaging": "none",
        "identify-epochs": 1, "identify-min-steps": 0, "identify-batch-size": 32,
        "identify-learning-rate": 0.03, "identify-weight-decay": 0.01, "identify-clip-norm": 0.0,
        "identify-stop": "last", "identify-guard": False, "clip-norm": 0.0, "upsample": 2,
        "robust-schedule": "same-epochs", "robust-min-steps": 0,
        "robust-epochs": 1, "robust-rounds": 3, "batch-size": 32, "learning-rate": 0.02,
        "learning-rate-schedule": "constant", "averaging": "none", "weight-decay": 0.01, "selection": "last",
    }
)  # fmt: skip
EVALUATION_BATCH = 500


class BareLoop:
    """JTT over machines as a plain nested loop: a module, torch.optim.SGD, a weighted average, nothing else.

    The batches come from the generators that the machines use, drawn inside the clock, as theirs are.
    """

    def __init__(self, config: RunConfig, splits: Splits) -> None:
        self.config = config
        self.rows = [part.train.rows for part in spread(splits, config)]
        # What a bare loop would hold: images as rows of one array, the last axis the channels.
        self.data = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        self.images = {split: channels_last(data) for split, data in self.data.items()}
        shape = tuple(splits.train.x.shape[1:])
        start = build_model("lenet", shape, splits.train.num_labels, torch_generator(config.seed, "weights"))
        self.start = [p.detach().clone() for p in start.module.parameters()]
        self.module: nn.Module = LeNet(shape, splits.train.num_labels)

    def run(self) -> str:
        """Do everything and return the digest of the weights."""
        config = self.config
        errors = [self._identify(machine) for machine in range(config.machines)]
        copies = [torch.where(wrong, int(config.upsample), 1) for wrong in errors]
        sizes = [int(c.sum()) for c in copies]
        total = planned_steps(config, sum(sizes))
        weights = self.start
        rounds = int(config.robust_rounds)
        for server_round in range(1, rounds + 1):
            first, last = ((server_round + offset) * total // rounds for offset in (-1, 0))
            joined = [torch.zeros_like(w) for w in weights]
            for machine, (times, size) in enumerate(zip(copies, sizes, strict=True)):
                chance = torch_generator(config.seed, "robust", server_round, machine)
                batches = self.rows[machine][shuffled_passes(times, config.batch_size, last - first, chance)]
                self._train(weights, batches, config.learning_rate, config.weight_decay)
                for mean, parameter in zip(joined, self.module.parameters(), strict=True):
                    mean += parameter.detach() * (size / sum(sizes))
            weights = joined
            self._set(weights)
            self._correct("validation")
        self._correct("validation")
        self._correct("test")
        return digest(torch.cat([w.reshape(-1) for w in weights]))

    def _identify(self, machine: int) -> Tensor:
        config, rows = self.config, self.rows[machine]
        steps = identification_steps(config.identify_epochs, len(rows), config.identify_batch_size)
        chance = torch_generator(config.seed, "identify", 0, machine)
        ones = torch.ones(len(rows), dtype=torch.int64)
        batches = rows[shuffled_passes(ones, config.identify_batch_size, steps, chance)]
        self._train(self.start, batches, config.identify_learning_rate, config.identify_weight_decay)
        return ~self._correct("train", rows)

    def _train(self, start: list[Tensor], batches: Tensor, rate: float, decay: float) -> None:
        self._set(start)
        momentum = self.config.momentum
        optimiser = torch.optim.SGD(self.module.parameters(), rate, momentum, weight_decay=decay, foreach=False)
        self.module.train()
        for rows in batches:
            optimiser.zero_grad()
            loss = functional.cross_entropy(self.module(self._batch("train", rows)), self.data["train"].label[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def _batch(self, split: str, rows: Tensor) -> Tensor:
        return self.images[split][rows].permute(0, 3, 1, 2).float() / 255

    def _set(self, weights: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, weight in zip(self.module.parameters(), weights, strict=True):
                parameter.copy_(weight)

    @torch.no_grad()
    def _correct(self, split: str, rows: Tensor | None = None) -> Tensor:
        label = self.data[split].label
        rows = torch.arange(len(label)) if rows is None else rows
        self.module.eval()
        found = [self.module(self._batch(split, part)).argmax(1) for part in torch.split(rows, EVALUATION_BATCH)]
        return torch.cat(found) == label[rows]


def run(setting: Setting) -> list[Row]:
    """Measure both ratios; the bare loop's time is shared."""
    one_thread()
    splits = spuco_mnist(setting.data_dir, 2_000 if setting.quick else None)
    bare = BareLoop(CONFIG, splits)
    digests: dict[str, str] = {}

    def bare_side() -> float:
        return timed(lambda: digests.update(bare=bare.run()))

    def engine_side(workers: int) -> float:
        config = CONFIG.replace(workers=workers)
        return timed(lambda: digests.update({f"{workers}": str(simulate(config, splits).result["digest"])}))

    quick_start = CONFIG.replace(robust_rounds=1)
    simulate(quick_start, spuco_mnist(setting.data_dir, 400))  # torch's and oneDNN's first calls are nobody's
    torch.optim.SGD(bare.module.parameters(), 0.1)  # imports torch._dynamo, 2 s
    figures = interleaved([bare_side, lambda: engine_side(1), lambda: engine_side(2)], setting.pairs)
    seconds = medians_of(figures)
    same = "" if len(set(digests.values())) == 1 else f"the weights differ: {digests}"
    how = (
        f"10 machines, SpuCoMNIST, LeNet, batch 32: JTT, one epoch of identification, {CONFIG.robust_rounds} rounds; "
        "wall s, one thread a process: bare {:.1f}, engine {:.1f}; digests equal"
    )
    return [
        Row("engine", ratios_of(figures, 1, 0), 1.10, how.format(seconds[0], seconds[1]), problem=same),
        Row("workers", ratios_of(figures, 2, 0), 0.60, how.format(seconds[0], seconds[2]), problem=same),
    ]
