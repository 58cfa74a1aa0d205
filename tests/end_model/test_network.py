"""The parts that keep the seeds independent: the networks, their batches, their loss."""

import torch

from alchemist_exp.end_model.early_stopping import BestWeights, ValidationSet
from alchemist_exp.end_model.network import MLP, MLPEnsemble
from alchemist_exp.end_model.settings import Device, TrainingSettings
from alchemist_exp.end_model.training import Distillation, SeededBatches

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(
    hidden=(4,), learning_rate=0.01, weight_decay=0.0, batch_size=4, max_epochs=9, patience=1, device=Device.cpu
)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def initialized(*seeds: int) -> MLPEnsemble:
    networks = MLPEnsemble([5, 4, 3], len(seeds))
    for network, generator in zip(networks, generators(*seeds), strict=True):
        network.initialize(generator)
    return networks


def test_initial_weights_depend_on_the_seed_alone() -> None:
    pair, alone = initialized(0, 3), initialized(3)
    for among, single in zip(pair[1].parameters(), alone[0].parameters(), strict=True):
        assert torch.equal(among, single)
    assert not torch.equal(pair[0].weights[0], pair[1].weights[0])


def test_a_seeds_gradient_does_not_depend_on_the_other_seeds() -> None:
    rows = torch.randn(6, 5, generator=generators(0)[0])
    targets = torch.rand(6, 3, generator=generators(1)[0]).softmax(dim=-1)

    def gradients(networks: MLPEnsemble, batch: list[list[int]]) -> list[torch.Tensor]:
        task = Distillation(
            networks,
            rows=rows,
            targets=targets,
            validation=ValidationSet(rows, targets.argmax(dim=-1), None),
            best=BestWeights(networks, 1),
            settings=SETTINGS,
            on_epoch=None,
        )
        return list(torch.autograd.grad(task.training_step(torch.tensor(batch)), list(networks[-1].parameters())))

    among, alone = gradients(initialized(0, 3), [[0, 1, 2], [3, 4, 5]]), gradients(initialized(3), [[3, 4, 5]])
    assert all(torch.equal(pair, single) for pair, single in zip(among, alone, strict=True))


def test_the_network_is_that_of_the_paper() -> None:
    network, rows = initialized(1)[0], torch.randn(7, 5, generator=generators(0)[0])
    first, last = network.weights
    assert torch.allclose(network.logits(rows), (rows @ first).relu() @ last, atol=1e-6)


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
    networks = initialized(0, 1)
    best = BestWeights(networks, patience=2)

    def epoch(*scores: float) -> None:
        with torch.no_grad():
            for network in networks:
                network.biases[1] += 1
        best.update(networks, scores)

    epoch(0.5, 0.1)
    epoch(0.4, 0.2)
    epoch(0.5, 0.3)  # an equal score is no progress: the first seed stops here
    assert best.running == [False, True]
    epoch(0.9, 0.4)
    epoch(0.9, float("nan"))  # the second diverges
    epoch(0.9, 0.9)
    assert best.running == [False, False]
    assert best.best_epoch == [0, 3]
    assert best.epochs == [3, 4]
    best.restore(networks)
    assert [network.biases[1][0].item() for network in networks] == [1.0, 4.0]


def test_the_score_is_accuracy_or_the_positive_classs_f1() -> None:
    network = MLP([2, 2])
    with torch.no_grad():
        network.weights[0].copy_(torch.eye(2))
    rows = torch.eye(2)[[0, 0, 0, 1, 1, 0]]
    gold = torch.tensor([0, 0, 0, 0, 1, 1])
    assert ValidationSet(rows, gold, None).score(network).item() == 4 / 6
    assert ValidationSet(rows, gold, 1).score(network).item() == 0.5
    assert ValidationSet(rows, gold, 0).score(network).item() == 0.75
    with torch.no_grad():
        network.weights[0][0, 0] = torch.nan
    assert ValidationSet(rows, gold, None).score(network).isnan()
