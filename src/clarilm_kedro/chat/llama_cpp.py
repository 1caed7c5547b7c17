"""llama.cpp's own server, from the package xllamacpp, in a process of its own.

It takes many requests at once (slots), and enforces JSON schemas by grammar. Of its own, because the package's server
has no call that stops it, writes what it has to say to the standard error output, and would take the run with it.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from clarilm_kedro.chat.options import LlamaCppOptions
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.text.packaged import PREFIX, packaged_path

logger = logging.getLogger(__name__)

_PROCESS = "clarilm_kedro.chat.llama_cpp_process"
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_TAIL_CHARS = 500


def gguf_path(gguf: str, option: str = "gguf") -> Path:
    """Find a GGUF file.

    Args:
        gguf: A path, or a packaged model.
        option: The server's option that names it, for the error.

    Returns:
        The file.

    Raises:
        ClarilmError: It is not there.
    """
    path = packaged_path(gguf) if gguf.startswith(PREFIX) else Path(gguf).expanduser()
    if not path.is_file():
        raise ClarilmError(f"There is no GGUF file {path}: check the option server.{option}.")
    return path


class LlamaCppServer:
    """A llama.cpp server on a free port of the loopback interface; it ends with this process, however that ends.

    Args:
        options: The GGUF file, slots, context, threads and log file.
    """

    def __init__(self, options: LlamaCppOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Load the model and listen.

        Returns:
            Address up to and including ``/v1``.

        Raises:
            ClarilmError: The package is missing, the file cannot be loaded, or the server does not come up.
        """
        if find_spec("xllamacpp") is None:
            raise ClarilmError(
                "A server of kind llama_cpp needs the package xllamacpp: install the extra `embedded` "
                "(pip install 'clarilm_kedro[embedded]')."
            )
        path = gguf_path(self._options.gguf)
        log = Path(self._options.log_file)
        log.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "gguf": str(path),
            "lora": str(gguf_path(self._options.lora, "lora")) if self._options.lora else None,
            # llama.cpp divides its context between the slots.
            "n_ctx": self._options.n_ctx * self._options.slots,
            "slots": self._options.slots,
            "threads": self._options.threads or os.cpu_count() or 1,
        }
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PROCESS],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        address = self._address(json.dumps(settings))
        if not address:
            self.stop()
            said = " ".join(log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARS:].split())
            raise ClarilmError(
                f"llama.cpp cannot load {path}: is it a complete GGUF file, and is there memory enough? It says (whole "
                f"log: {log}): {said}"
            )
        _wait_until_healthy(address)
        return f"{address}/v1"

    def stop(self) -> None:
        """Free the model and the port."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with suppress(BrokenPipeError):  # it has ended by itself
            process.communicate(timeout=_STOP_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait()

    def _address(self, settings: str) -> str:
        """Tell the process what to load, and wait for its address; empty where it ends without one."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return ""
        too_late = threading.Timer(_START_SECONDS, process.kill)
        too_late.start()
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(settings + "\n")
                process.stdin.flush()
            return process.stdout.readline().strip()
        finally:
            too_late.cancel()


def _wait_until_healthy(address: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with direct.open(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ClarilmError(f"The llama.cpp server at {address} was not ready within {_START_SECONDS:g} s.")
