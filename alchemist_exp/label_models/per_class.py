"""A label model for each class, for programs that return several classes (dataset.multi_label=true).

Each class is a binary task: a program votes 1 if its list has the class, 0 if it answers without it, and abstains
(-1) on all classes or on none.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.convergence import Convergence
from alchemist_exp.core.label_sets import SetLabels, SetMatrix
from alchemist_exp.core.types import IntArray, LabelMatrix
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel
from alchemist_exp.label_models.fit import predict_labels
from alchemist_exp.label_models.influence import program_influence


@dataclass(kw_only=True)
class PerClassModel(LabelModel):
    """One label model of the same kind for each class.

    Attributes:
        models: The label model of each class.

    Example:
        >>> from alchemist_exp import load_component
        >>> matrix = SetMatrix(votes=np.array([[3, 1, 1], [0, 2, 2], [-1, -1, -1]]), n_classes=2)
        >>> model = PerClassModel.of(load_component("label_model=majority"), 2)
        >>> model.fit(matrix, model.class_balance(matrix, None)).predict_proba(matrix).hard().tolist()
        [1, 2, -1]

    """

    models: list[LabelModel]

    @classmethod
    def of(cls, model: LabelModel, n_classes: int) -> Self:
        """Return copies of an unfitted label model.

        Args:
            model: The unfitted label model.
            n_classes: The number of classes.

        """
        return cls(name=model.name, models=[deepcopy(model) for _ in range(n_classes)])

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Fit the label model of each class on its binary votes.

        Args:
            matrix: A `SetMatrix`.
            class_balance: float64 array of shape (n_classes,): the share of rows for which each class holds.
            labeled: Has no effect: models that use gold labels are refused.

        Returns:
            The model itself, fitted.

        """
        sets = _checked(matrix)
        for index, (model, share) in enumerate(zip(self.models, class_balance, strict=True)):
            with naming_plugin(model, "fit"):
                # Each class is a binary task: class 0 is "does not hold", class 1 "holds".
                self.models[index] = model.fit(sets.of_class(index), np.array([1 - share, share]))
        return self

    def class_balance(self, train: LabelMatrix, gold: IntArray | None) -> ClassBalance:
        """Return the share of rows for which each class holds.

        Args:
            train: A `SetMatrix`, the votes on train.
            gold: int64 array of shape (n_rows,): masks of labeled rows; None estimates the shares from the votes.

        Returns:
            float64 array of shape (n_classes,), each above 0 and below 1.

        """
        sets = _checked(train)
        of_classes = [
            model.class_balance(sets.of_class(index), None if gold is None else gold >> index & 1)
            for index, model in enumerate(self.models)
        ]
        return np.array([balance[1] for balance in of_classes])

    def predict_proba(self, matrix: LabelMatrix) -> SetLabels:
        """Return the probability of each class; rows without a vote are uncovered.

        Args:
            matrix: A `SetMatrix` of the programs that the model was fitted on.

        """
        sets = _checked(matrix)
        labels = [predict_labels(model, sets.of_class(index)) for index, model in enumerate(self.models)]
        covered = np.all([of_class.covered for of_class in labels], axis=0)
        return SetLabels(probs=np.stack([of_class.probs[:, 1] for of_class in labels], axis=1), covered=covered)

    @property
    def convergence(self) -> Convergence | None:
        """How the fits ended: the most iterations of a class, and whether all converged; None for other models."""
        found = [of_class for model in self.models if (of_class := model.convergence) is not None]
        if not found:
            return None
        return Convergence(
            iterations=max(one.iterations for one in found), converged=all(one.converged for one in found)
        )

    def influence(self, matrix: SetMatrix) -> npt.NDArray[np.float64]:
        """Return the mean over classes of `program_influence`.

        Args:
            matrix: The votes on train.

        Returns:
            float64 array of shape (n_programs,).

        """
        of_classes = [program_influence(model, matrix.of_class(index)) for index, model in enumerate(self.models)]
        mean: npt.NDArray[np.float64] = np.mean(of_classes, axis=0)
        return mean

    def unsaved_attributes(self) -> list[str]:
        """Return the attributes of the models that `save` would lose."""
        return sorted({name for model in self.models for name in model.unsaved_attributes()})

    def save(self, directory: Path) -> None:
        """Write the model of each class into a directory of its index.

        Args:
            directory: Where the directories are written.

        """
        for index, model in enumerate(self.models):
            (place := _place(directory, index)).mkdir()
            model.save(place)

    def load(self, directory: Path, *, n_programs: int, n_classes: int) -> Self:
        """Restore what `save` wrote.

        Args:
            directory: Where `save` wrote the directories.
            n_programs: The number of programs that the model was fitted on.
            n_classes: The number of classes.

        Returns:
            The model itself, fitted.

        """
        for index in range(n_classes):
            self.models[index].load(_place(directory, index), n_programs=n_programs, n_classes=2)
        return self


def _checked(matrix: LabelMatrix) -> SetMatrix:
    if not isinstance(matrix, SetMatrix):
        raise TypeError(f"expected votes for several classes, not {type(matrix).__name__}")
    return matrix


def _place(directory: Path, index: int) -> Path:
    return directory / f"class_{index}"
