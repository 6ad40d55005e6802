import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from tests.checkpoints import make_checkpoint, make_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model; tests that change files make their own."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "random")


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of one's own, to be changed."""
    return shutil.copytree(checkpoint, tmp_path / "copy")
