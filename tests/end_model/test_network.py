"""The parts that keep the seeds independent: the stacked network, its batches, its loss."""

import torch

from alchemist_exp.end_model.early_stopping import BestWeights, ValidationSet
from alchemist_exp.end_model.network import StackedMLP
from alchemist_exp.end_model.settings import Device, TrainingSettings
from alchemist_exp.end_model.training import Distillation, SeededBatches

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(
    hidden=(4,), learning_rate=0.01, weight_decay=0.0, batch_size=4, max_epochs=9, patience=1, device=Device.cpu
)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def initialized(*seeds: int) -> StackedMLP:
    network = StackedMLP([5, 4, 3], len(seeds))
    network.initialize(generators(*seeds))
    return network


def test_initial_weights_depend_on_the_seed_alone() -> None:
    pair, alone = initialized(0, 3), initialized(3)
    for among, single in zip(pair.parameters(), alone.parameters(), strict=True):
        assert torch.equal(among[1], single[0])
    assert not torch.equal(pair.weights[0][0], pair.weights[0][1])


def test_gradients_do_not_mix() -> None:
    rows = torch.randn(2, 6, 5, generator=generators(0)[0])
    pair, alone = initialized(0, 3), initialized(3)
    pair(rows).square().mean(dim=(1, 2)).sum().backward()
    alone(rows[1:]).square().mean(dim=(1, 2)).sum().backward()
    for among, single in zip(pair.parameters(), alone.parameters(), strict=True):
        assert among.grad is not None
        assert single.grad is not None
        assert torch.allclose(among.grad[1], single.grad[0], atol=1e-6)
        among.grad = None
    pair(rows)[0].sum().backward()
    assert all(weight.grad is not None and not weight.grad[1].any() for weight in pair.parameters())


def test_a_seeds_gradient_does_not_depend_on_the_number_of_seeds() -> None:
    rows = torch.randn(6, 5, generator=generators(0)[0])
    targets = torch.rand(6, 3, generator=generators(1)[0]).softmax(dim=-1)

    def gradients(network: StackedMLP, batch: list[list[int]]) -> list[torch.Tensor]:
        task = Distillation(
            network,
            rows=rows,
            targets=targets,
            validation=ValidationSet(rows, targets.argmax(dim=-1), None),
            best=BestWeights(network, 1),
            settings=SETTINGS,
            on_epoch=None,
        )
        return list(torch.autograd.grad(task.training_step(torch.tensor(batch)), list(network.parameters())))

    among, alone = gradients(initialized(0, 3), [[0, 1, 2], [3, 4, 5]]), gradients(initialized(3), [[3, 4, 5]])
    for pair, single in zip(among, alone, strict=True):
        assert torch.allclose(pair[1], single[0], atol=1e-6)


def test_the_stacked_network_is_the_network_of_the_paper() -> None:
    network, rows = initialized(1), torch.randn(7, 5, generator=generators(0)[0])
    first, last = network.weights[0][0], network.weights[1][0]
    assert torch.allclose(network.logits(rows)[0], (rows @ first).relu() @ last, atol=1e-6)


def test_in_every_epoch_each_seed_gets_all_rows_once_in_its_own_order() -> None:
    batches = SeededBatches(10, 4, generators(0, 1), CPU)
    epochs = [torch.cat(list(batches), dim=1) for _ in range(2)]
    assert [batch.shape for batch in batches] == [(2, 4), (2, 4), (2, 2)]
    assert len(batches) == 3
    for epoch in epochs:
        assert torch.equal(epoch.sort(dim=1).values, torch.arange(10).expand(2, 10))
    assert not torch.equal(epochs[0][0], epochs[0][1])
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(torch.cat(list(SeededBatches(10, 4, generators(1), CPU)), dim=1)[0], epochs[0][1])


def test_a_stopped_seed_does_not_change() -> None:
    network = initialized(0, 1)
    best = BestWeights(network, patience=2)

    def epoch(*scores: float) -> None:
        with torch.no_grad():
            network.biases[1] += 1
        best.update(network, torch.tensor(scores, dtype=torch.float64))

    epoch(0.5, 0.1)
    epoch(0.4, 0.2)
    epoch(0.5, 0.3)  # an equal score is no progress: the first seed stops here
    epoch(0.9, 0.4)
    epoch(0.9, float("nan"))  # the second diverges
    epoch(0.9, 0.9)
    assert best.all_stopped
    assert best.best_epoch.tolist() == [0, 3]
    assert best.epochs.tolist() == [3, 4]
    best.restore(network)
    assert network.biases[1][:, 0, 0].tolist() == [1.0, 4.0]


def test_the_score_is_accuracy_or_the_positive_classs_f1() -> None:
    network = StackedMLP([2, 2], 1)
    with torch.no_grad():
        network.weights[0][0] = torch.eye(2)
    rows = torch.eye(2)[[0, 0, 0, 1, 1, 0]]
    gold = torch.tensor([0, 0, 0, 0, 1, 1])
    assert ValidationSet(rows, gold, None).score(network).item() == 4 / 6
    assert ValidationSet(rows, gold, 1).score(network).item() == 0.5
    assert ValidationSet(rows, gold, 0).score(network).item() == 0.75
    with torch.no_grad():
        network.weights[0][0, 0, 0] = torch.nan
    assert ValidationSet(rows, gold, None).score(network).isnan().all()
