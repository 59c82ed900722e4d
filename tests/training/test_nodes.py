"""Training over two machines, which are two processes on this one: docs/training.md has the commands."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

NODE = """
import sys

from centernet.cli import fit

run = fit.run(sys.argv[1:], "fit")
weights = sum(float(p.detach().double().abs().sum()) for p in run.model.parameters())
steps = run.trainer.global_step
print(f"rank {run.trainer.global_rank} of {run.trainer.world_size}: {weights:.10f} after {steps}", flush=True)
"""


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def run_nodes(folder: Path, config: str, launcher: str = "plain") -> list[str]:
    """Train on two nodes; return what each printed."""
    script = folder / "node.py"
    script.write_text(NODE)
    port, started = str(free_port()), []
    paths = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    for rank in range(2):
        environment = os.environ | paths
        command = [sys.executable]
        if launcher == "plain":
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": str(rank)}
        else:
            words = f"--nnodes 2 --nproc_per_node 1 --node_rank {rank} --master_addr 127.0.0.1 --master_port {port}"
            command += ["-m", "torch.distributed.run", *words.split()]
        command += [str(script), "--config", config, "--output", str(folder / "runs")]
        started.append(
            subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
    try:
        outputs = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], outputs[0][1][-2000:] + outputs[1][1][-2000:]
    return [out for out, _ in outputs]


@pytest.mark.parametrize("launcher", ["plain", "torchrun"])
def test_two_nodes_end_with_equal_weights(launcher: str, tiny: Any, tmp_path: Path) -> None:
    config = tiny(trainer__devices=1, trainer__num_nodes=2, trainer__strategy="ddp", trainer__max_epochs=1)
    outputs = run_nodes(tmp_path, config, launcher)
    ends = [dict(re.findall(r"^rank (\d of 2): (.+)$", out, re.MULTILINE)) for out in outputs]
    assert [list(end) for end in ends] == [["0 of 2"], ["1 of 2"]], outputs
    assert ends[0]["0 of 2"] == ends[1]["1 of 2"] and ends[0]["0 of 2"].endswith("after 3")  # 24 images, 2×4 a step
    assert [path.name for path in (tmp_path / "runs" / "tiny").iterdir()] == ["version_0"], "one folder of one run"
    assert (tmp_path / "runs/tiny/version_0/checkpoints/best.ckpt").is_file()
