"""Several processes: one fine-tune, told and written once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config import config_args  # type: ignore[import-untyped]
from accelerate.utils import FullyShardedDataParallelPlugin  # type: ignore[import-untyped]

from tests.training.sft_toys import losses
from tests.training.toy_plans import collect
from training import sft

ROOT = Path(__file__).parents[2]
RECIPE = """\
base = "nowhere"
contract = "persistent"
seeds = [3407]
max_length = 4096
device = "cpu"
dtype = "float32"
[lora]
r = 4
lora_alpha = 8
[trainer]
learning_rate = 1e-2
max_steps = 3
save_steps = 3
per_device_train_batch_size = 1
gradient_accumulation_steps = {accumulation}
"""


def test_two_ranks_are_one_with_twice_the_accumulation(checkpoint: Path, tmp_path: Path) -> None:
    collect(tmp_path / "traces")

    def given(name: str, accumulation: int) -> list[str]:
        file = tmp_path / f"{name}.toml"
        file.write_text(RECIPE.format(accumulation=accumulation))
        out = ["--out", tmp_path / name]
        return [str(part) for part in (file, "--traces", tmp_path / "traces", *out)] + [
            "--base",
            str(checkpoint),
        ]

    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
    ]
    done = subprocess.run(
        [*launch, "-m", "training.sft", *given("two", 1)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("sft: ")]
    assert [line.split()[1] for line in told] == ["two:", "step", "saved", "checked"]
    assert sft.main(given("one", 2)) == 0
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


def test_the_sharded_launch_is_one_that_accelerate_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, not run: it needs several GPUs."""
    config = config_args.load_config_from_file(str(ROOT / "training" / "recipes" / "fsdp.yaml"))
    assert isinstance(config, config_args.ClusterConfig)
    assert config.distributed_type == "FSDP"
    names = {f"fsdp_{name}" for name in FullyShardedDataParallelPlugin.__dataclass_fields__}
    aliases = {"fsdp_auto_wrap_policy", "fsdp_version"}
    assert config.fsdp_config.keys() <= names | aliases
