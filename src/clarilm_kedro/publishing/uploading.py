"""From laid-out files to a commit on the hub, through ``huggingface_hub``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.publishing.dataset import TABLES
from clarilm_kedro.publishing.files import Upload

_TOKENS = "https://huggingface.co/settings/tokens"
_TOKEN_ADVICE = (
    f"make a token with write access at {_TOKENS}, and give it as the environment variable HF_TOKEN or in "
    "conf/local/credentials.yml under huggingface: {token: ...}"
)


def checked_repo_id(repo_id: str) -> str:
    """Refuse what is no ``OWNER/NAME``.

    Raises:
        ClarilmError: Says what is wrong with it.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ClarilmError(f"'{repo_id}' is not the id of a Hugging Face repository: {error}") from error
    if "/" not in repo_id:
        raise ClarilmError(f"'{repo_id}' names no owner: give OWNER/NAME, the owner being you or an organization.")
    return repo_id


def write_token(given: str | None) -> str:
    """Give the token to upload with: the one given, else ``HF_TOKEN`` or that of ``hf auth login``.

    Raises:
        ClarilmError: There is none.
    """
    from huggingface_hub import get_token

    token = given or get_token()
    if not token:
        raise ClarilmError(f"Uploading needs a token and there is none: {_TOKEN_ADVICE}.")
    return token


def push(upload: Upload, repo_id: str, *, token: str, endpoint: str | None = None, public: bool = False) -> str:
    """Upload into a repository in one commit; it is made where it is not there.

    Files that arrived with an earlier attempt, or did not change, are not sent again. Parquet files of an earlier
    upload that this one has not are deleted; the repository's history keeps them.

    Args:
        upload: The files.
        repo_id: ``OWNER/NAME``.
        token: With write access.
        endpoint: Address of the hub; None takes ``HF_ENDPOINT``, else the public one.
        public: Make the repository public, or upload into one that is.

    Returns:
        Address of the commit.

    Raises:
        ClarilmError: The repository is public and ``public`` is not set, or the hub did not take the files.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
    from huggingface_hub.errors import RepositoryNotFoundError

    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    api = HfApi(endpoint=endpoint, token=token, library_name="clarilm-kedro")
    with _told(endpoint, repo_id):
        try:
            about = api.repo_info(repo_id, repo_type=upload.repo_type)
        except RepositoryNotFoundError:
            api.create_repo(repo_id, repo_type=upload.repo_type, private=not public, exist_ok=True)
            about = api.repo_info(repo_id, repo_type=upload.repo_type)
        if not public and about.private is False:
            raise ClarilmError(
                f"The {upload.repo_type} repository {repo_id} is public: everybody would see what is uploaded. Add "
                "--public if that is wanted, name another repository, or make it private on its page."
            )
        present = {each.rfilename for each in getattr(about, "siblings", None) or []}
        operations: list[Any] = [
            CommitOperationAdd(file.path, file.content if isinstance(file.content, bytes) else str(file.content))
            for file in upload.files
        ]
        operations += [CommitOperationDelete(path) for path in sorted(present & _ours(present, upload))]
        commit = api.create_commit(
            repo_id,
            operations,
            commit_message=f"Upload {upload.repo_type} with clarilm-kedro",
            repo_type=upload.repo_type,
        )
    return str(commit.commit_url)


def _ours(present: set[str], upload: Upload) -> set[str]:
    """Files of an earlier upload that this one has not."""
    if upload.repo_type != "dataset":
        return set()
    configs = {table.config for table in TABLES}
    uploaded = {file.path for file in upload.files}
    parts = {path: path.split("/") for path in present - uploaded}
    return {
        path for path, part in parts.items() if len(part) == 2 and part[0] in configs and part[1].endswith(".parquet")
    }


@contextmanager
def _told(endpoint: str, repo_id: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into sentences; no token stands in them."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    again = "Run the same command again: what arrived is not sent again."
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ClarilmError("HF_HUB_OFFLINE is set, so nothing is uploaded. Set it to 0 to upload.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = f" It says: {error.server_message}" if error.server_message else ""
        advice = {
            401: f"the hub did not accept the token: {_TOKEN_ADVICE}",
            403: f"the token may not write to {repo_id}: {_TOKEN_ADVICE}, or name an owner that you may write for",
            404: f"the hub knows no {repo_id}, or does not show it to this token: {_TOKEN_ADVICE}",
            409: f"{repo_id} was changed by somebody else at the same time. {again}",
            412: f"{repo_id} was changed by somebody else at the same time. {again}",
            413: "a file or the upload is larger than the hub takes: upload fewer rows, or ask the hub for more room",
            429: f"the hub takes no more requests for now. Wait, then run the same command again. {again}",
        }.get(status, f"{endpoint} answered with status {status}. {again}")
        raise ClarilmError(f"The upload to {repo_id} failed: {advice.rstrip('.')}.{said}") from error
    except (httpx2.HTTPError, OSError) as error:
        raise ClarilmError(
            f"The hub at {endpoint} cannot be reached, or the connection broke ({error or type(error).__name__}). "
            f"{again} Behind a mirror name its address with --endpoint or HF_ENDPOINT."
        ) from error
    except RuntimeError as error:  # of hf_xet, which sends large files
        raise ClarilmError(
            f"Sending the large files of {repo_id} failed: {error}. {again} Where Xet is blocked, set "
            "HF_HUB_DISABLE_XET=1."
        ) from error
    except (ValueError, KeyError) as error:  # the card's head is not valid; no hub
        raise ClarilmError(f"{endpoint} did not take the upload to {repo_id}: {error}") from error
