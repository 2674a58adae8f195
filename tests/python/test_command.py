from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal
from vicinal import __main__


def command(*arguments: object, status: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "vicinal", *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
    )
    assert done.returncode == status, done.stderr
    return done


def test_help_and_version() -> None:
    text = command("--help").stdout
    assert "Usage: vicinal [OPTIONS] SUBCOMMAND" in text and "search" in text
    assert command("--version").stdout.startswith(f"vicinal {vicinal.__version__}\n")


def test_wrong_use() -> None:
    assert command(status=2).stderr.startswith("vicinal: ")
    assert "hnws" in command("spec", "hnws", status=2).stderr
    assert "missing.vcn" in command("info", "missing.vcn", status=3).stderr


def test_build_search_eval(tmp_path: Path, base: Any, queries: Any) -> None:
    np.save(tmp_path / "base.npy", base)
    np.save(tmp_path / "queries.npy", queries)
    command("build", "base.npy", "-o", "base.vcn", "--metric", "cosine", "--spec", "i8 | hnsw | rerank(f16, 3x)", cwd=tmp_path)
    command("search", "base.vcn", "queries.npy", "-k", 5, "-o", "found.npy", cwd=tmp_path)
    command("truth", "base.npy", "queries.npy", "-k", 5, "--metric", "cosine", "-o", "truth.npy", cwd=tmp_path)
    found, truth = np.load(tmp_path / "found.npy"), np.load(tmp_path / "truth.npy")
    index = vicinal.open(tmp_path / "base.vcn")
    assert found.tolist() == index.search(queries, 5).ids.tolist()
    assert truth.tolist() == vicinal.exact(base, queries, 5, metric="cosine").ids.tolist()
    assert "recall" in command("eval", "base.vcn", "queries.npy", "truth.npy", "-k", 5, cwd=tmp_path).stdout
    command("verify", "base.vcn", cwd=tmp_path)
    # The same file as a build from Python gives.
    vicinal.build(base, "i8 | hnsw | rerank(f16, 3x)", metric="cosine").save(tmp_path / "python.vcn")
    assert (tmp_path / "python.vcn").read_bytes() == (tmp_path / "base.vcn").read_bytes()


def test_in_this_process(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["anything", "spec", "f16 | flat"])
    assert __main__.main() == 0
    assert capfd.readouterr().out.startswith("f16 | flat\n")


def test_signals_are_python_s_again_afterwards() -> None:
    code = "import os, signal, sys\nfrom vicinal import __main__\nsys.argv = ['vicinal', 'spec', 'flat']\n__main__.main()\n"
    code += "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n    print('caught', flush=True)\n"
    code += "os.kill(os.getpid(), signal.SIGTERM)\nprint('not reached')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGTERM and done.stdout.endswith("caught\n")


def test_interrupted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "base.npy", rng.standard_normal((60_000, 64), dtype=np.float32))
    code = "import os, signal, sys, threading, time\n"
    code += "threading.Thread(target=lambda: (time.sleep(1), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()\n"
    code += "from vicinal import __main__\n"
    code += "sys.argv = 'vicinal build base.npy -o out.vcn --metric l2 --spec hnsw'.split()\n"
    code += "sys.exit(__main__.main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130 and "interrupted, nothing was written" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["base.npy"]
