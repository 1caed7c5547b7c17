"""Configuration: environments that extend one another, globals that ``--params`` may override, credentials.

Kedro reads the base environment and one more. Here an environment's ``globals.yml`` may name another one it extends, so
``cluster`` can say only what differs from ``paper``; the order is base, the chain, the environment itself, then local.
The source may be a folder or the archive that ``kedro package`` writes.
"""

import difflib
import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from clarilm_kedro.datasets.paths import shipped_unless
from clarilm_kedro.errors import ClarilmError

EXTENDS = "extends"


class MissingConfigurationError(ClarilmError, MissingConfigException):
    """There is no file of a kind: a sentence for the user where Kedro does not do without."""


class ChainedConfigLoader(OmegaConfigLoader):
    """An ``OmegaConfigLoader`` with chained environments, overridable globals and keys from the environment.

    Globals are merged key by key along the chain; catalog and parameters replace whole top-level keys, as in Kedro.
    A runtime parameter (``kedro run --params``) whose path names a global replaces that global, so that every
    ``${globals:...}`` follows it. One that names neither a global nor an option is refused. ``${shipped:NAME,PATH}`` is
    a file that the package ships, or PATH where that is not null.
    """

    def __init__(self, conf_source: str | Path, *args: Any, **kwargs: Any) -> None:
        own = {"oc.env": oc.env, "shipped": shipped_unless}
        kwargs["custom_resolvers"] = {**own, **(kwargs.get("custom_resolvers") or {})}
        try:
            super().__init__(conf_source, *args, **kwargs)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise ClarilmError(
                f"The configuration {conf_source} cannot be read ({error}). Name a folder, or an archive as `kedro "
                "package` writes it, with --conf-source."
            ) from error
        self._refuse_unknown_runtime_params()

    @property
    def environments(self) -> list[str]:
        """Names of the environments that apply, the weakest first."""
        local = self.default_run_env
        chain: list[str] = []
        name: str | None = self.env or local
        while name and name not in (self.base_env, local):
            if name in chain:
                raise ClarilmError(f"conf/{name}/globals.yml extends itself through {' -> '.join([*chain, name])}.")
            if not self._fs.isdir(Path(self._get_conf_env_path(name)).as_posix()):
                raise ClarilmError(f"There is no environment '{name}' in conf/. Known: {', '.join(self._known())}.")
            chain.insert(0, name)
            name = self._extended_by(name)
        return [self.base_env, *chain, local]

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Load one kind of configuration, merged over :attr:`environments`.

        Args:
            key: ``catalog``, ``parameters``, ``credentials``, ``globals`` or ``mlflow``.

        Returns:
            The resolved configuration.

        Raises:
            KeyError: There is no file pattern for the key.
            MissingConfigException: No environment holds such a file.
        """
        if key in self or key not in self.config_patterns:
            return super().__getitem__(key)
        self._register_runtime_params_resolver()
        if key == "globals":
            OmegaConf.clear_resolver("runtime_params")
        files: set[Path] = set()
        merged: dict[str, Any] = {}
        for env in self.environments:
            path = self._get_conf_env_path(env)
            if not self._fs.isdir(Path(path).as_posix()):
                continue  # conf/local is never committed
            found = self._read_dir_configs(path, [*self.config_patterns[key]], key, files, key == "credentials")
            resolved = self._merge_and_resolve(key, found)
            merged = _deep_merge(merged, resolved) if key in ("globals", "credentials") else {**merged, **resolved}
        if key == "globals":
            merged.pop(EXTENDS, None)
            return _deep_merge(merged, _known_part(self.runtime_params or {}, merged))
        if key == "credentials":
            return self._with_keys_from_environment(merged)
        if not files:
            raise MissingConfigurationError(
                f"No {key} file in any of: {', '.join(self.environments)}. The configuration is read from "
                f"{self.conf_source}; --conf-source names another folder or archive."
            )
        return merged

    def _known(self) -> list[str]:
        listed = self._fs.ls(self._get_conf_env_path(""), detail=True)
        return sorted(Path(each["name"]).name for each in listed if each["type"] == "directory")

    def _extended_by(self, env: str) -> str | None:
        path = f"{self._get_conf_env_path(env)}/globals.yml"
        if not self._fs.isfile(path):
            return None
        with self._fs.open(path) as file:
            return (yaml.safe_load(file.read().decode("utf-8")) or {}).get(EXTENDS)

    def _with_keys_from_environment(self, credentials: dict[str, Any]) -> dict[str, Any]:
        """Give every name that a chat model uses an entry; a key that no file has comes from ``<NAME>_API_KEY``."""
        filled = dict(credentials)
        for name in sorted({*_credentials_named(self._globals), *credentials}):
            entry = filled.get(name) or {}
            if isinstance(entry, Mapping) and not entry.get("api_key"):
                filled[name] = {**entry, "api_key": os.environ.get(f"{name.upper()}_API_KEY")}
        return filled

    def _refuse_unknown_runtime_params(self) -> None:
        if not self.runtime_params:
            return
        given = self.runtime_params
        self.runtime_params = {}
        try:
            parameters = self["parameters"]
        except MissingConfigException:
            parameters = {}
        finally:
            self.runtime_params = given
        known = _deep_merge(dict(self._globals), parameters)
        every = sorted({".".join(path) for path in _paths(known)})
        for path in _paths(given, leaves_only=True):
            if not _names(path, known):
                name = ".".join(path)
                near = difflib.get_close_matches(name, every, n=1, cutoff=0.0)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise ClarilmError(
                    f"--params {name}: no option or global has that name.{hint} "
                    "Options stand in conf/base/*/parameters.yml, globals in conf/base/globals.yml."
                )


def _credentials_named(tree: Mapping[str, Any]) -> Iterator[str]:
    """Give the names that the settings of chat models, at any depth, look their credentials up by."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _credentials_named(value)
        elif key == "credentials" and value:
            yield str(value)


def _deep_merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = deepcopy(dict(under))
    for key, value in over.items():
        old = merged.get(key)
        # A mapping with a `kind` or a `backend` is one of several shapes: another one replaces it whole.
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and all(value.get(name, old.get(name)) == old.get(name) for name in ("kind", "backend"))
        ):
            merged[key] = _deep_merge(old, value)
        else:
            merged[key] = deepcopy(value)
    return merged


def _known_part(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        # An empty mapping is a place for anything, such as systems by name.
        key: _known_part(value, known[key])
        if isinstance(value, Mapping) and isinstance(known[key], Mapping) and known[key]
        else value
        for key, value in given.items()
        if key in known
    }


def _paths(
    tree: Mapping[str, Any], above: tuple[str, ...] = (), *, leaves_only: bool = False
) -> Iterator[tuple[str, ...]]:
    """Give the path of keys to every entry; a key may hold dots itself, as Spark's settings do."""
    for key, value in tree.items():
        path = (*above, key)
        if isinstance(value, Mapping) and value:
            yield from _paths(value, path, leaves_only=leaves_only)
            if leaves_only:
                continue
        yield path


def _names(path: Sequence[str], known: Any) -> bool:
    """Whether a path of keys leads to something known; below a null or empty option anything may be given."""
    for part in path:
        if known is None or known == {}:
            return True
        if not isinstance(known, Mapping) or part not in known:
            return False
        known = known[part]
    return True
