"""One way of drawing FM-LOG's candidates, in a process that :mod:`measure` runs: export, then draw.

Arguments: the way, a JSON file with the task, and where to write the generations.
"""

import json
import sys
import tempfile
from pathlib import Path

from clarilm_kedro.finetuning.adapter_server import AdapterServer, AdapterServerOptions
from clarilm_kedro.finetuning.base_model import BaseModelSpec, ready_base_model
from clarilm_kedro.finetuning.decoder import Generation
from clarilm_kedro.finetuning.decoding import SamplingOptions
from clarilm_kedro.finetuning.fm_log import draw
from clarilm_kedro.finetuning.gguf_export import export_gguf
from clarilm_kedro.pipelines.cfd.serving import draw_from_endpoint
from measure import step

TRANSFORMERS = {"transformers float32": "float32", "transformers bfloat16": "bfloat16"}
LLAMA_CPP = {"llama.cpp f32": "f32", "llama.cpp f16": "f16", "llama.cpp q8_0": "q8_0"}
EXPORT, DRAW = "export", "draw"


def main(way: str, task: Path, target: Path) -> None:
    """Draw, with the loading of the model or the start of the server in the time."""
    given = json.loads(task.read_text(encoding="utf-8"))
    options = SamplingOptions(**given["sampling"])
    base = BaseModelSpec(source=given["base"], dtype=TRANSFORMERS.get(way, "float32"), cache_dir=Path(given["cache"]))
    adapter, questions = Path(given["adapter"]), given["questions"]
    ready_base_model(base)
    if way in TRANSFORMERS:
        with step(DRAW):
            drawn = draw(base, adapter, questions, options)
    else:
        drawn = from_server(base, adapter, questions, options, way, given["slots"])
    target.write_text(json.dumps(drawn), encoding="utf-8")


def from_server(
    base: BaseModelSpec, adapter: Path, questions: list[str], options: SamplingOptions, way: str, slots: int
) -> list[list[Generation]]:
    """Export into an empty folder and draw through the pipeline's own path, with an empty response store."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("folder", "log_file", "store")}
        server = AdapterServer(AdapterServerOptions(weights=LLAMA_CPP[way], slots=slots, **paths))  # type: ignore[arg-type]
        with step(EXPORT):
            export_gguf(base, adapter, server.options.weights, server.options.folder)
        with step(DRAW), server.sampling(base, adapter, options) as model:
            drawn, failures = draw_from_endpoint(questions, model, options)
        if len(failures):
            sys.exit(f"{way}: {failures.iloc[0]['error']}")
    return [[generation for generation, _ in drawn[question]] for question in questions]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
