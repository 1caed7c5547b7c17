"""Under which experiment and name a run is found again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

#: Whole runs and trainings: one experiment, so that every LoRA run can be compared with every other.
MAIN = "clarilm"

_PURPOSES = {
    "data": ("download", "ingestion", "cfd", "ofs", "published"),
    "audit": ("audit", "recall"),
    "evaluation": ("evaluation", "judge"),
    "inference": ("inference",),
}

_NOTES = {
    MAIN: "Whole runs, and runs that train: the trainings are nested below their run and can be compared.",
    f"{MAIN}-data": "Runs that build data and train nothing but FM-LOG: download, ingestion, cfd, ofs, published.",
    f"{MAIN}-audit": "How good the chat models' work is: audit, recall.",
    f"{MAIN}-evaluation": "Evaluations and judgements of models that were trained before.",
    f"{MAIN}-inference": "Questions answered by a trained model.",
}

# What makes a run a part of the pipelines it names.
_FILTERS = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "namespaces")


def experiment_of(pipelines: Sequence[str]) -> str:
    """Choose the experiment of a run.

    Args:
        pipelines: Names of the pipelines that have a node in the run.

    Returns:
        ``clarilm-PURPOSE`` where all of them have the same purpose, else ``clarilm``.
    """
    purposes = {purpose for purpose, names in _PURPOSES.items() if set(names) & set(pipelines)}
    known = {name for names in _PURPOSES.values() for name in names}
    if len(purposes) != 1 or not set(pipelines) <= known:
        return MAIN
    return f"{MAIN}-{purposes.pop()}"


def experiments() -> list[str]:
    """List the experiments that runs go to where the user names none."""
    return list(_NOTES)


def tags_of(experiment: str) -> dict[str, str]:
    """Give an experiment's description and what the UI opens it as; nothing for one of the user's.

    Without its kind MLflow 3.17 opens an experiment with the pages of chat applications, and the runs are elsewhere.
    """
    if experiment not in _NOTES:
        return {}
    return {"mlflow.note.content": _NOTES[experiment], "mlflow.experimentKind": "custom_model_development"}


def is_part(run_params: Mapping[str, Any]) -> bool:
    """Whether a run was asked for only some nodes of its pipelines."""
    return any(run_params.get(name) for name in _FILTERS)


def run_name_of(pipelines: Sequence[str], *, whole: bool, part: bool, env: str | None, now: datetime) -> str:
    """Name a run that the user gave no name.

    Args:
        pipelines: Names of its pipelines, in the order rows flow through them.
        whole: Whether it is the default pipeline.
        part: Whether it is only some nodes of them.
        env: The environment; None for the default one.
        now: When it started.

    Returns:
        Such as ``ofs test 2026-11-24 18:05``.
    """
    what = "all" if whole and not part else "+".join(pipelines)
    words = ["part of" if part else "", what, env or "", now.strftime("%Y-%m-%d %H:%M")]
    return " ".join(word for word in words if word)


def command_of(run_params: Mapping[str, Any], pipelines: Sequence[str]) -> str:
    """Write the command that repeats a run.

    Args:
        run_params: What Kedro tells its hooks about the run.
        pipelines: The pipelines that were asked for.

    Returns:
        One line for a shell.
    """
    import shlex

    lists = {name: ",".join(map(str, run_params[name])) for name in _FILTERS if run_params.get(name)}
    given = {
        "env": run_params.get("env"),
        "pipelines": "" if list(pipelines) == ["__default__"] else ",".join(pipelines),
        **{"nodes" if name == "node_names" else name.replace("_", "-"): value for name, value in lists.items()},
        "params": ",".join(f"{key}={value}" for key, value in flat(run_params.get("runtime_params") or {}).items()),
    }
    return shlex.join(["kedro", "run", *(f"--{key}={value}" for key, value in given.items() if value)])


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Give every leaf of nested options under its dotted path."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found.update({f"{key}.{inner}": leaf for inner, leaf in flat(value).items()})
        else:
            found[str(key)] = value
    return found
