"""The metadata of the GGUF file that a base model came from, carried over to what is exported."""

from pathlib import Path
from typing import Any, NamedTuple

# They tell of the file's own tensors, parts and layout, which are new.
_OF_THE_FILE = (
    "GGUF.",
    "split.",
    "quantize.",
    "general.file_type",
    "general.quantization_version",
    "general.alignment",
)
_NAME = "general.name"
_SHOWN_CHARS = 60


class Difference(NamedTuple):
    """Something of a base model's GGUF file that the trained model has otherwise.

    Attributes:
        key: Of the metadata, or the name of a tensor.
        base: The base file's value, shortened.
        trained: The trained model's value, shortened; None where it has none.
    """

    key: str
    base: str
    trained: str | None


def copy_metadata(writer: Any, base: Path) -> list[Difference]:
    """Put a base file's metadata into a file that is written, below what stands there already.

    What stands there is what the adapter was trained and measured with, so it wins, and the difference is told. It is
    not always what the base file says: transformers does not read how a file scales its positions, nor by which of
    llama.cpp's names a tokenizer splits text.

    Args:
        writer: A ``gguf.GGUFWriter`` that holds the trained model's metadata; its tensors may still be missing.
        base: The base model's file.

    Returns:
        What the trained model has otherwise; its name is not among them.
    """
    from gguf import GGUFReader, GGUFValueType
    from gguf.gguf_writer import GGUFValue

    written = writer.kv_data[0]
    copied, differences = {}, []
    reader = GGUFReader(base)
    for key, field in reader.fields.items():
        if key.startswith(_OF_THE_FILE):
            continue
        value, kind = field.contents(), field.types[0]
        if key == _NAME or key not in written:
            if ".rope.scaling." in key:
                differences.append(Difference(key, _short(value), None))
                continue
            copied[key] = GGUFValue(value, kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
        elif not _same(written[key].value, value):
            differences.append(Difference(key, _short(value), _short(written[key].value)))
    differences += [
        Difference(tensor.name, "a tensor", None) for tensor in reader.tensors if tensor.name.startswith("rope_")
    ]
    name = copied.pop(_NAME, written.get(_NAME))
    writer.kv_data[0] = {**copied, **written, **({_NAME: name} if name else {})}
    return differences


def name_file(writer: Any, variant: str, weights: str) -> None:
    """Name what a file holds: the base model's name with the adapter's, and the number format.

    Args:
        writer: A ``gguf.GGUFWriter`` with the base model's name in place; of a path its last part is kept.
        variant: The adapter; ``base`` for the base model as it is.
        weights: f32, f16 or q8_0.
    """
    from gguf import LlamaFileType

    kinds = {"f32": LlamaFileType.ALL_F32, "f16": LlamaFileType.MOSTLY_F16, "q8_0": LlamaFileType.MOSTLY_Q8_0}
    writer.add_file_type(kinds[weights])
    writer.add_quantization_version(2)
    values = writer.kv_data[0]
    base = values.pop(_NAME).value.rpartition("/")[2]
    if variant == "base":
        writer.add_name(base)
        return
    organization = values.pop("general.organization", None)
    writer.add_name(f"{base} {variant}")
    values.pop("general.finetune", None)
    writer.add_finetune(variant)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base)
    if organization:
        writer.add_base_model_organization(0, organization.value)


def _same(ours: Any, theirs: Any) -> bool:
    import numpy as np

    if isinstance(ours, float):
        return bool(np.float32(ours) == np.float32(theirs))
    if isinstance(ours, str):
        return bool(ours == theirs)
    return bool(np.array_equal(np.asarray(ours), np.asarray(theirs)))


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
