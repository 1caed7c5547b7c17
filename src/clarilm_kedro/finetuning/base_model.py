"""Base models: where they come from, in which number format they run, which chat template they get.

A GGUF file is read into plain weights once and kept in a cache folder, because transformers takes half a minute
to read one and what it then holds can neither be saved nor trained.
"""

import hashlib
import logging
import os
import re
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapters import load_adapter
from clarilm_kedro.finetuning.chat_templates import CHAT_TEMPLATES
from clarilm_kedro.finetuning.memory import release_memory
from clarilm_kedro.options import Options
from clarilm_kedro.text.packaged import PREFIX, packaged_path

logger = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
_FORMAT = "v1"  # of the materialised folder; part of its name


class BaseModelSpec(Options):
    """Which base model is used, and how."""

    source: str = Field(description="packaged:smollm2, a GGUF file, a model folder or a Hugging Face id.", min_length=1)
    chat_template: str = Field(
        "model", description="model (its own), llama3, chatml, plain, or the path of a Jinja file.", min_length=1
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Weights' format; auto: bfloat16 on a GPU or a processor that computes in it, else float32."
    )
    cache_dir: Path = Field(
        Path("data/06_models/base_models"), description="Where a GGUF file is kept as plain weights."
    )


def ready_base_model(spec: BaseModelSpec) -> Path:
    """Give the folder (or the hub id) that transformers loads the base model from.

    A GGUF file is materialised at its first use, under a name made from the file's digest; a lock keeps two processes
    from doing it at once, and a rename makes the folder appear whole or not at all.

    Args:
        spec: The base model.

    Returns:
        A local folder, or the hub id as a relative path of the same spelling.

    Raises:
        ClarilmError: The source is neither a file, nor a model folder, nor spelled like a hub id.
    """
    source, path = spec.source, _path_of(spec)
    if path.is_file():
        if path.suffix != ".gguf":
            raise ClarilmError(f"base_model.source '{source}' is a file, but not a GGUF file. Give the model's folder.")
        return _materialised(path, spec.cache_dir)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ClarilmError(
                f"base_model.source '{source}' is a folder without config.json. Give a folder as transformers saves "
                "it, or the path of a GGUF file itself."
            )
        return path
    if not _HUB_ID.fullmatch(source):
        raise ClarilmError(
            f"base_model.source '{source}' does not exist here, and it is not spelled like a Hugging Face id either."
        )
    return Path(source)


def gguf_source(spec: BaseModelSpec) -> Path | None:
    """Find the GGUF file that a base model comes from.

    Args:
        spec: The base model.

    Returns:
        The file; None of a folder or a hub model.
    """
    path = _path_of(spec)
    return path if path.is_file() and path.suffix == ".gguf" else None


def load_config(spec: BaseModelSpec) -> Any:
    """Load the base model's configuration alone; of a GGUF file its header is read and nothing is written.

    Args:
        spec: The base model.

    Returns:
        A transformers configuration.

    Raises:
        ClarilmError: It cannot be had.
    """
    from transformers import AutoConfig

    path = gguf_source(spec)
    with _explained(spec), quiet_transformers():
        if path:
            return AutoConfig.from_pretrained(str(path.parent), gguf_file=path.name)
        return AutoConfig.from_pretrained(str(ready_base_model(spec)))


def identity(spec: BaseModelSpec) -> dict[str, str]:
    """Name what a training on this base model depends on; equal names mean equal weights, format and chat template.

    Args:
        spec: The base model.

    Returns:
        ``weights`` (a digest for files, the id for a hub model), ``dtype`` and ``chat_template``.
    """
    path = _path_of(spec)
    weights = spec.source
    if path.is_file():
        stat = path.stat()
        weights = _digest(path, stat.st_size, stat.st_mtime_ns)
    elif path.is_dir():
        weights = _folder_digest(path)
    template = spec.chat_template
    if template not in CHAT_TEMPLATES and template != "model":
        template = hashlib.sha256(_template_file(template).encode()).hexdigest()[:16]
    return {"weights": weights, "dtype": resolve_dtype(spec), "chat_template": template}


def load_tokenizer(spec: BaseModelSpec) -> Any:
    """Load the tokenizer with the chat template, the end-of-turn token and a padding token in place.

    Args:
        spec: The base model.

    Returns:
        A transformers tokenizer.

    Raises:
        ClarilmError: ``chat_template`` is ``model`` and the model has none, or names a file that is not there.
    """
    from transformers import AutoTokenizer

    with _explained(spec):
        tokenizer = AutoTokenizer.from_pretrained(str(ready_base_model(spec)))
    if spec.chat_template in CHAT_TEMPLATES:
        template = CHAT_TEMPLATES[spec.chat_template]
        if template.end_of_turn in tokenizer.get_vocab():
            tokenizer.eos_token = template.end_of_turn
        tokenizer.chat_template = template.text
    elif spec.chat_template != "model":
        tokenizer.chat_template = _template_file(spec.chat_template)
    elif not tokenizer.chat_template:
        raise ClarilmError(
            f"The base model '{spec.source}' brings no chat template. Set base_model.chat_template to "
            f"{', '.join(sorted(CHAT_TEMPLATES))}, or to the path of a Jinja file."
        )
    if tokenizer.eos_token is None:
        raise ClarilmError(f"The tokenizer of '{spec.source}' has no end-of-sequence token, so no reply could end.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(spec: BaseModelSpec, *, dtype: str | None = None, attention: str = "sdpa") -> Any:
    """Load the base model's weights.

    Args:
        spec: The base model.
        dtype: ``float32`` or ``bfloat16``; None takes what ``spec`` says.
        attention: transformers' name of the attention implementation.

    Returns:
        A transformers causal language model, on the CPU.

    Raises:
        ClarilmError: It cannot be loaded, or not all of its weights are there.
    """
    from transformers import AutoModelForCausalLM

    release_memory()  # of the model before this one
    with _explained(spec), quiet_transformers():
        model, told = AutoModelForCausalLM.from_pretrained(
            str(ready_base_model(spec)),
            dtype=dtype or resolve_dtype(spec),
            attn_implementation=attention,
            output_loading_info=True,
        )
    if lacking := sorted(told["missing_keys"]):  # transformers fills them with random numbers and a warning
        raise ClarilmError(
            f"The base model '{spec.source}' lacks {len(lacking)} of its weights ({', '.join(lacking[:3])}). Copy or "
            "download it again."
        )
    return model


def load_for_inference(spec: BaseModelSpec, adapter_dir: Path | None) -> tuple[Any, Any]:
    """Load a base model, with an adapter merged into it, ready to decode.

    Merged, because an unmerged adapter halves the speed of a prefill on a CPU (and decodes at two thirds of it); in
    float32, because an update smaller than bfloat16's step at a weight would else be lost.

    Args:
        spec: The base model.
        adapter_dir: Folder of a LoRA adapter trained on it; None uses the base model as it is.

    Returns:
        Model (in evaluation mode, on the device) and tokenizer (which pads on the left).
    """
    dtype = resolve_dtype(spec)
    model = load_model(spec, dtype=dtype) if adapter_dir is None else load_merged(spec, adapter_dir)
    for parameter in model.parameters():  # not model.to(): the rotary frequencies are to stay in float32
        parameter.data = parameter.data.to(getattr(_torch(), dtype))
    tokenizer = load_tokenizer(spec)
    tokenizer.padding_side = "left"
    # PEFT leaves the weights frozen. torch then multiplies a batch of single positions with the output head by copying
    # the head once per row (gigabytes, and 50 times slower on a CPU); it folds them where a gradient may be asked for.
    model.requires_grad_(True)
    return model.to(device()).eval(), tokenizer


def load_merged(spec: BaseModelSpec, adapter_dir: Path | None) -> Any:
    """Load a base model in float32, with an adapter merged into it.

    Args:
        spec: The base model.
        adapter_dir: Folder of a LoRA adapter trained on it; None uses the base model as it is.

    Returns:
        A transformers causal language model, on the CPU.

    Raises:
        ClarilmError: The adapter belongs to another base model.
    """
    model = load_model(spec, dtype="float32")
    return model if adapter_dir is None else load_adapter(model, adapter_dir, spec.source).merge_and_unload()


def resolve_dtype(spec: BaseModelSpec) -> Literal["float32", "bfloat16"]:
    """Decide the weights' format; see the option ``dtype``."""
    if spec.dtype != "auto":
        return spec.dtype
    return "bfloat16" if device() == "cuda" or _cpu_has_bfloat16() else "float32"


def device() -> Literal["cuda", "cpu"]:
    """Name the device that models run on."""
    return "cuda" if _torch().cuda.is_available() else "cpu"


class quiet_transformers:  # noqa: N801  (a context manager reads like a function)
    """Keep the progress bars of transformers off the console while it loads, and put them back afterwards."""

    def __enter__(self) -> None:
        from transformers.utils import logging as hf_logging

        self._active = hf_logging.is_progress_bar_enabled()
        hf_logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging as hf_logging

        if self._active:
            hf_logging.enable_progress_bar()


class _explained:  # noqa: N801
    """Turn what transformers says about a base model that it cannot load into a sentence."""

    def __init__(self, spec: BaseModelSpec) -> None:
        self._source = spec.source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise ClarilmError(
                f"The base model '{self._source}' could not be loaded: {str(error).splitlines()[0]} "
                "Check base_model.source; a Hugging Face id needs a network (or the model in its cache) and, where "
                "its licence asks for it, a login."
            ) from error


def _path_of(spec: BaseModelSpec) -> Path:
    return packaged_path(spec.source) if spec.source.startswith(PREFIX) else Path(spec.source).expanduser()


def _materialised(gguf: Path, cache_dir: Path) -> Path:
    from filelock import FileLock

    stat = gguf.stat()
    folder = (
        cache_dir.expanduser().absolute() / f"{gguf.stem}-{_digest(gguf, stat.st_size, stat.st_mtime_ns)}-{_FORMAT}"
    )
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder
        logger.info("Reading %s into plain weights below %s; this happens once.", gguf.name, folder.parent)
        # Beside the target, since a rename is atomic within one file system only.
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _save_plain(gguf, partial)
            os.replace(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return folder


def _save_plain(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch = _torch()
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
        # The weights are plain numbers now, but transformers 5.23 still marks the model as quantized and would
        # refuse to save it ("quantized with gguf and is not serializable").
        model.hf_quantizer = None
        for mark in ("quantization_method", "is_quantized"):
            model.__dict__.pop(mark, None)
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))


@lru_cache(maxsize=8)
def _digest(path: Path, size: int, modified: int) -> str:
    """Hash a file; size and time of change are there to make the cache notice another file under the same name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _folder_digest(folder: Path) -> str:
    """Hash a model folder's texts, and the names, sizes and times of change of its weights, which may be large."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        stat = path.stat()
        digest.update(f"{path.name}\x1f{stat.st_size}\x1f".encode())
        digest.update(path.read_bytes() if path.suffix in {".json", ".jinja", ".txt"} else b"%d" % stat.st_mtime_ns)
    return digest.hexdigest()[:16]


def _template_file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise ClarilmError(
            f"base_model.chat_template '{path}' is neither model, {', '.join(sorted(CHAT_TEMPLATES))} "
            f"nor a file that can be read: {error.strerror}."
        ) from error


@lru_cache(maxsize=1)
def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies matrices of bfloat16; without that it is slower than float32.

    AVX512's bfloat16 alone does not do: there a training step took 1.5 times the CPU of float32 (docs/benchmarks.md).
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    return bool(re.search(r"^flags\s*:.*\bamx_bf16\b", flags, re.MULTILINE))


def _torch() -> Any:
    import torch

    return torch
