"""Learned weights of the losses of several tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn


class UncertaintyWeighting(nn.Module):
    """Weights of tasks that are learned: ½ Σ [exp(−s) · loss of the task + s], one s a task.

    Sources: https://arxiv.org/abs/1705.07115 (homoscedastic uncertainty), as FairMOT, https://arxiv.org/abs/2004.01888,
    has it: there detection starts at −1.85 and identity at −1.05. Each s is a parameter: it lives in checkpoints.

    Args:
        tasks: name → names of the heads whose losses are summed, with their own weights, to the task's; every head of
            the model belongs to one task.
        start: name of a task → s at the start; 0 for those that it leaves out.

    Raises:
        ValueError: a task without heads, a head in two tasks, or a start for no task.
    """

    def __init__(self, tasks: dict[str, list[str]], start: dict[str, float] | None = None) -> None:
        super().__init__()
        start = start or {}
        heads = [head for members in tasks.values() for head in members]
        if not tasks or not all(tasks.values()) or len(set(heads)) != len(heads):
            raise ValueError(f"tasks: expected the names of heads, each in one task, got {tasks}")
        if unknown := [name for name in start if name not in tasks]:
            raise ValueError(f"start: {', '.join(unknown)} is none of the tasks {', '.join(tasks)}")
        self.task_of = {head: task for task, members in tasks.items() for head in members}
        self.log_variances = nn.ParameterDict(
            {task: nn.Parameter(torch.tensor(float(start.get(task, 0.0)))) for task in tasks}
        )

    def check(self, heads: Collection[str]) -> None:
        """Raise a ValueError unless these are the heads of the tasks."""
        if set(heads) != set(self.task_of):
            raise ValueError(
                f"model.loss_weighting.tasks has the heads {', '.join(self.task_of)}, but model.heads has "
                f"{', '.join(heads)}: each must be in one task"
            )

    def forward(self, terms: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Weighted terms, whose sum is to be minimised.

        Args:
            terms: name of a head → its terms, scalars.

        Returns:
            The terms by their own names, and `uncertainty`, the part ½ Σ s.
        """
        weighted: dict[str, Tensor] = {}
        for head, values in terms.items():
            share = 0.5 * torch.exp(-self.log_variances[self.task_of[head]])
            weighted |= {name: share * value for name, value in values.items()}
        return weighted | {"uncertainty": 0.5 * torch.stack(list(self.log_variances.values())).sum()}
