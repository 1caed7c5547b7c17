"""The servers that the project starts itself: each configuration once, on loopback, until :func:`stop_servers`."""

import atexit
import hashlib
import logging
import threading
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Protocol, cast

from clarilm_kedro.chat.options import LlamaCppOptions, SampleServerOptions
from clarilm_kedro.errors import ClarilmError

logger = logging.getLogger(__name__)

_SAMPLE_PACKAGE = "clarilm_kedro.sample"


class Server(Protocol):
    """A server on loopback."""

    def start(self) -> str:
        """Start, and give the address up to and including ``/v1``."""
        ...

    def stop(self) -> None:
        """Stop, and free the port."""
        ...


_running: dict[SampleServerOptions | LlamaCppOptions, tuple[Server, str]] = {}
_starting = threading.Lock()


def server_url(options: SampleServerOptions | LlamaCppOptions) -> str:
    """Start a server, unless one of this configuration runs.

    Args:
        options: The server's configuration.

    Returns:
        Its address up to and including ``/v1``.

    Raises:
        ClarilmError: A package or file it needs is missing, or it does not come up.
    """
    with _starting:
        if options not in _running:
            server = _make(options)
            url = server.start()
            logger.info("Started the %s server at %s.", options.kind, url)
            _running[options] = (server, url)
        return _running[options][1]


def stop_servers() -> None:
    """Stop every server that was started."""
    with _starting:
        while _running:
            options, (server, _) = _running.popitem()
            server.stop()
            logger.info("Stopped the %s server.", options.kind)


def stop_server(options: SampleServerOptions | LlamaCppOptions) -> None:
    """Stop the server of one configuration, if it runs."""
    with _starting:
        if options in _running:
            server, _ = _running.pop(options)
            server.stop()
            logger.info("Stopped the %s server.", options.kind)


atexit.register(stop_servers)


def weights_identity(options: SampleServerOptions | LlamaCppOptions) -> str:
    """Name what answers behind a server, so that the store does not give one model's replies as another's.

    Args:
        options: The server's configuration.

    Returns:
        Name and size of a GGUF file, with the hash of a LoRA beside it; for the scripted teacher a hash over the sample
        world and the teacher's code.

    Raises:
        ClarilmError: The file or folder is not there.
    """
    if isinstance(options, LlamaCppOptions):
        from clarilm_kedro.chat.llama_cpp import gguf_path

        path = gguf_path(options.gguf)
        name = f"{path.name}:{path.stat().st_size}"
        if options.lora is None:
            return name
        # One trained anew has the same size.
        return f"{name}+{hashlib.sha256(gguf_path(options.lora, 'lora').read_bytes()).hexdigest()}"
    if not options.world_dir.is_dir():
        raise ClarilmError(f"There is no sample world in {options.world_dir}: check the option server.world_dir.")
    code = Path(str(files(_SAMPLE_PACKAGE)))
    return _tree_sha(options.world_dir, "*") + _tree_sha(code, "*.py")


def _make(options: SampleServerOptions | LlamaCppOptions) -> Server:
    if isinstance(options, LlamaCppOptions):
        from clarilm_kedro.chat.llama_cpp import LlamaCppServer

        return LlamaCppServer(options)
    # By name, because the sample package stands on this one's prompts and types.
    teacher = import_module(f"{_SAMPLE_PACKAGE}.server").SampleTeacherServer
    return cast(Server, teacher(options.world_dir))


def _tree_sha(folder: Path, pattern: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
