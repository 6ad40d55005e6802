"""In a session without okrt tests the plugin prints, imports and contacts nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_a_session_without_okrt_tests_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_other():
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert not loaded & {"numpy", "msgspec", "scipy", "torch", "transformers"}
            ours = {name for name in sys.modules if name.startswith("okrt")}
            assert ours <= {"okrt", "okrt.selection", "okrt.selection.options"}  # the table alone
            assert "pytest_okrt.session" not in sys.modules
        """
    )
    for workers in ("0", "2"):
        result = pytester.runpytest_subprocess("-n", workers)
        result.assert_outcomes(passed=1)
        shown = [line for line in result.outlines if not line.startswith(("plugins:", "rootdir:"))]
        assert "okrt:" not in "\n".join(shown)
        assert "no gates" not in "\n".join(shown)
    assert not (pytester.path / "okrt-runs").exists()


@pytest.mark.parametrize(
    "module", ["okrt", "pytest_okrt", "pytest_okrt.plugin", "pytest_okrt.session", "okrt.cli"]
)
def test_importing_okrt_imports_no_torch_and_prints_nothing(module: str) -> None:
    program = (
        f"import {module}, sys\n"
        "heavy = {'torch', 'transformers', 'peft', 'trl'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
