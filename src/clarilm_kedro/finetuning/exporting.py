"""A trained model to take away: a folder of transformers, a GGUF file or a LoRA as one, with notes beside it."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import (
    BaseModelSpec,
    gguf_source,
    load_config,
    load_merged,
    load_tokenizer,
    quiet_transformers,
    ready_base_model,
)
from clarilm_kedro.finetuning.disk import check_room, is_full
from clarilm_kedro.finetuning.gguf_export import ARCHITECTURE, Weights, check_architecture, write_gguf, write_metadata
from clarilm_kedro.finetuning.gguf_lora import LoraWeights, write_lora_gguf
from clarilm_kedro.finetuning.gguf_metadata import Difference, copy_metadata, name_file
from clarilm_kedro.finetuning.gguf_tokens import NotForGgufError
from clarilm_kedro.finetuning.serving_notes import RECORD, Served, write_notes
from clarilm_kedro.finetuning.template import clarification_prompt, fm_log_prompt

Format = Literal["merged", "gguf", "lora-gguf"]
MergedWeights = Literal["f32", "bf16", "f16"]

#: Number formats that each export can have; the first is taken where none is asked for.
WEIGHTS: dict[str, tuple[str, ...]] = {
    "merged": get_args(MergedWeights),
    "gguf": ("f16", "f32", "q8_0"),
    "lora-gguf": get_args(LoraWeights),
}
#: The base model as it is, which a LoRA is put on.
BASE = "base"
FM_LOG = "fm_log"

_DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


@dataclass(frozen=True)
class Exportable:
    """What is exported.

    Attributes:
        variant: The adapter's name, or ``base``.
        base: The base model.
        adapter: Folder of the adapter; None for the base model as it is.
        threshold: On P(ask); None where none was fitted.
    """

    variant: str
    base: BaseModelSpec
    adapter: Path | None
    threshold: float | None = None


def export(what: Exportable, kind: Format, out: Path, *, weights: str | None = None, force: bool = False) -> Served:
    """Write an export with its notes to a folder, which appears whole or not at all.

    Args:
        what: The model.
        kind: merged (a folder of transformers), gguf, or lora-gguf.
        out: The folder.
        weights: Number format, one of :data:`WEIGHTS`; None takes the first.
        force: Whether an earlier export in that folder is replaced.

    Returns:
        What was exported.

    Raises:
        ClarilmError: A format that this export cannot have, a folder that holds something, a base model that is not
            written to GGUF here (with the commands of llama.cpp's converter), an adapter of another base model, or no
            room on the disk.
    """
    chosen = weights or WEIGHTS[kind][0]
    if chosen not in WEIGHTS[kind]:
        raise ClarilmError(
            f"An export of format {kind} has its weights as {', '.join(WEIGHTS[kind])}, not as {chosen}."
        )
    if kind == "lora-gguf" and what.adapter is None:
        raise ClarilmError("The base model is no adapter: export it with --format gguf or merged.")
    with _whole_folder(out, force) as folder:
        try:
            if kind != "merged":
                check_architecture(load_config(what.base), what.base.source)
            return _WRITERS[kind](what, chosen, folder)
        except NotForGgufError as error:
            raise ClarilmError(f"{error.reason} {_converter(what, kind, chosen, out)}") from error


def _write_merged(what: Exportable, weights: str, folder: Path) -> Served:
    import torch
    from transformers import GenerationConfig

    model, tokenizer = load_merged(what.base, what.adapter), load_tokenizer(what.base)
    dtype = getattr(torch, _DTYPES[weights])
    needed = sum(values.numel() for values in model.parameters()) * dtype.itemsize
    check_room(folder, needed)
    for values in model.parameters():
        values.data = values.data.to(dtype)
    model.config.dtype = dtype
    model.config.eos_token_id, model.config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    # Greedy, as it was evaluated; what the base model was published with (penalties, say) is left behind.
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with quiet_transformers():
        model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    _name_tokenizer_for_all(folder / "tokenizer_config.json")
    return _noted(what, "merged", weights, None, folder, tokenizer)


def _name_tokenizer_for_all(file: Path) -> None:
    """Name the tokenizer's class as before version 5 of transformers, which knows both names; servers have either."""
    config = json.loads(file.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_gguf(what: Exportable, weights: str, folder: Path) -> Served:
    name = f"{what.variant}-{weights}.gguf"
    told: list[Difference] = []
    write_gguf(what.base, what.adapter, cast(Weights, weights), folder / name, _describe(what, weights, told))
    return _noted(what, "gguf", weights, name, folder, load_tokenizer(what.base), told)


def _write_lora(what: Exportable, weights: str, folder: Path) -> Served:
    import gguf

    name = f"{what.variant}-lora-{weights}.gguf"
    told: list[Difference] = []
    adds_start = False
    if base := gguf_source(what.base):
        dry = gguf.GGUFWriter(None, ARCHITECTURE)
        write_metadata(dry, what.base, load_config(what.base))
        told, adds_start = copy_metadata(dry, base), _adds_start(base)
    write_lora_gguf(
        what.base,
        cast(Path, what.adapter),
        cast(LoraWeights, weights),
        folder / name,
        lambda writer: name_file(writer, what.variant, weights),
    )
    return _noted(what, "lora-gguf", weights, name, folder, load_tokenizer(what.base), told, adds_start)


_WRITERS: dict[str, Callable[[Exportable, str, Path], Served]] = {
    "merged": _write_merged,
    "gguf": _write_gguf,
    "lora-gguf": _write_lora,
}


def _describe(what: Exportable, weights: str, told: list[Difference]) -> Callable[[Any], None]:
    base = gguf_source(what.base)

    def describe(writer: Any) -> None:
        if base:
            told.extend(copy_metadata(writer, base))
        name_file(writer, what.variant, weights)

    return describe


def _adds_start(base: Path) -> bool:
    """Whether llama.cpp puts the start token before what it reads; where a file does not say so, by llama-vocab.cpp."""
    from gguf import GGUFReader

    fields = GGUFReader(base).fields
    if "tokenizer.ggml.add_bos_token" in fields:
        return bool(fields["tokenizer.ggml.add_bos_token"].contents())
    known = {name: fields[name].contents() for name in ("tokenizer.ggml.model", "tokenizer.ggml.pre") if name in fields}
    return known.get("tokenizer.ggml.model") == "llama" or known.get("tokenizer.ggml.pre") == "llama-bpe"


def _noted(
    what: Exportable,
    kind: Format,
    weights: str,
    file: str | None,
    folder: Path,
    tokenizer: Any,
    told: list[Difference] | None = None,
    base_adds_start: bool = False,
) -> Served:
    prompt = fm_log_prompt if what.variant == FM_LOG else clarification_prompt
    gguf = gguf_source(what.base)
    served = Served(
        variant=what.variant,
        format=kind,
        weights=weights,
        file=file,
        source=what.base.source,
        base_folder=_whole(ready_base_model(what.base)),
        base_gguf=gguf.absolute() if gguf else None,
        adapter=what.adapter.absolute() if what.adapter else None,
        rank=_rank(what.adapter) if what.adapter else None,
        system=prompt("")[0]["content"],
        decides=what.variant != FM_LOG,
        threshold=what.threshold,
        differences=tuple(told or ()),
        base_adds_start=base_adds_start,
    )
    write_notes(served, tokenizer, folder)
    return served


@contextmanager
def _whole_folder(out: Path, force: bool) -> Iterator[Path]:
    """Give a folder to build in; it gets its place once the block has ended well, and is removed otherwise."""
    target = out.expanduser().absolute()
    if target.exists() and not target.is_dir():
        raise ClarilmError(f"{out} is a file: give the folder that the export is to be.")
    if target.is_dir() and any(target.iterdir()):
        if not force:
            raise ClarilmError(
                f"{out} is not empty: give another folder, or --force to replace an earlier export there."
            )
        if not (target / RECORD).is_file():
            raise ClarilmError(
                f"{out} holds something else than an export (it has no {RECORD}), so it is not replaced."
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, since a rename is atomic within one file system only.
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        new = building / "new"
        new.mkdir()
        yield new
        if target.exists():
            os.replace(target, building / "old")
        os.replace(new, target)
    except Exception as error:
        if not is_full(error):
            raise
        told = error.strerror if isinstance(error, OSError) else "it is full"
        raise ClarilmError(
            f"There is no room for the export in {target.parent}: {told}. Free some, give another --out, or a smaller "
            "--weights."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _converter(what: Exportable, kind: Format, weights: str, out: Path) -> str:
    """Give the commands that do it with llama.cpp's own converters, which know many architectures."""
    start = "llama.cpp's converter knows more of them (a copy of its repository is needed):\n"
    if kind == "lora-gguf":
        return (
            f"{start}  python llama.cpp/convert_lora_to_gguf.py --base {_whole(ready_base_model(what.base))} --outfile "
            f"{out}/{what.variant}-lora-{weights}.gguf --outtype {weights} {what.adapter}"
        )
    return (
        f"{start}  kedro clarilm export --variant {what.variant} --format merged --out {out}\n"
        f"  python llama.cpp/convert_hf_to_gguf.py {out} --outfile {out}/{what.variant}-{weights}.gguf "
        f"--outtype {weights}"
    )


def _whole(base: Path) -> str:
    """Give a folder's whole path; a hub id stays as it is."""
    return str(base.absolute() if base.exists() else base)


def _rank(adapter: Path) -> int:
    return int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])
