"""The user's manifests: folders and files of Kubernetes and Istio YAML, all of it understood or refused.

What is wrong with one object alone is found by ``read``, what is wrong between them by ``complete``, which also adds
what an installed cluster has: the namespaces ``default`` and ``istio-system``, and Istio's ingress gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from meshchaos.errors import FileError, UserError
from meshchaos.mesh.istio.injection import template_labels
from meshchaos.mesh.istio.mesh_config import authorizers
from meshchaos.mesh.local.objects import builtin
from meshchaos.mesh.local.objects.documents import Document, documents
from meshchaos.mesh.local.objects.kinds.service_entry import far_endpoints
from meshchaos.mesh.local.objects.schema import Problem
from meshchaos.mesh.local.objects.validate import admit, problems, title
from meshchaos.mesh.objects import Manifest, Ref, ref_of, selects

SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def read(paths: Iterable[Path]) -> list[Document]:
    """The objects of files and folders, in the order given, those of a folder (and the folders in it) by their path.

    Every one is taken by the local mesh as it is. Files of experiments (``*.chaos.yaml``) and hidden ones are left out.
    Raises FileError for one mistake, UserError with a line each for several:
    ``file:line:col: VirtualService reviews.bookinfo: spec.http[0].retrys: unknown field; did you mean retries?``
    """
    paths = list(paths)
    found: list[Document] = []
    wrong: list[FileError] = []
    seen: dict[Ref, Document] = {}
    for file in _files(paths):
        try:
            for document in documents(_text(file), str(file)):
                wrong.extend(_mistakes(document, seen))
                found.append(document)
        except FileError as error:
            wrong.append(error)
    _raise(wrong)
    if not found:
        raise UserError(f"no Kubernetes objects in {', '.join(map(str, paths)) or 'the manifests'}")
    return found


def complete(found: Sequence[Document], endpoints: Sequence[str] = ()) -> list[Manifest]:
    """The objects ready for ``Store.load``: with the built-in ones first, defaults filled in.

    Raises as ``read`` for names between objects that lead nowhere: a namespace, a ServiceAccount, the workload of a
    Gateway, or an authorizer, without which traffic would silently not be what the manifests say; and for endpoints of
    a ServiceEntry beyond this machine and the networks ``endpoints``.
    """
    objects = [admit(document.value) for document in found]
    added = builtin.additions(objects)
    everything = [*added, *objects]
    there = {ref_of(manifest) for manifest in everything}
    known = sorted(authorizers(everything))
    wrong: list[FileError] = []
    for document, manifest in zip(found, objects, strict=True):
        ref, spec = ref_of(manifest), manifest.get("spec", {})
        if ref.namespace and Ref("Namespace", "", ref.namespace) not in there:
            message = f"there is no Namespace {ref.namespace} in the manifests; add it, with its istio-injection label"
            wrong.append(_at(document, Problem(("metadata", "namespace"), message)))
        if ref.kind == "Deployment":
            account = spec["template"]["spec"]["serviceAccountName"]
            if account != "default" and Ref("ServiceAccount", ref.namespace, account) not in there:
                message = f"there is no ServiceAccount {account} in namespace {ref.namespace}"
                wrong.append(_at(document, Problem(("spec", "template", "spec", "serviceAccountName"), message)))
        provider = (spec.get("provider") or {}).get("name") if ref.kind == "AuthorizationPolicy" else None
        if provider is not None and provider not in known:
            message = (
                f"MeshConfig has no authorizer {provider!r}; add it to extensionProviders in the ConfigMap istio of "
                f"istio-system, key mesh (it has {', '.join(known) or 'none'})"
            )
            wrong.append(_at(document, Problem(("spec", "provider", "name"), message)))
        wrong += [_at(document, problem) for problem in far_endpoints(manifest, endpoints)]
        if ref.kind == "Gateway" and not _served(spec.get("selector") or {}, everything):
            wrong.append(_at(document, Problem(("spec", "selector"), "no Deployment has these labels on its Pods")))
    _raise(wrong)
    return everything


def load(paths: Iterable[Path], endpoints: Sequence[str] = ()) -> list[Manifest]:
    """``read`` and ``complete`` in one."""
    return complete(read(paths), endpoints)


def _served(selector: dict[str, str], objects: Iterable[Manifest]) -> bool:
    return any(selects(selector, template_labels(m)) for m in objects if m["kind"] == "Deployment")


def _mistakes(document: Document, seen: dict[Ref, Document]) -> list[FileError]:
    found = [_at(document, problem) for problem in problems(document.value)]
    if found:
        return found
    ref = ref_of(document.value)
    if ref in seen:
        file, line = seen[ref].file, seen[ref].place()[0]
        return [_at(document, Problem(("metadata", "name"), f"is given already at {file}:{line}"))]
    seen[ref] = document
    return []


def _at(document: Document, problem: Problem) -> FileError:
    line, col = document.place(problem.path)
    return FileError(f"{title(document.value)}: {problem}", file=document.file, line=line, col=col)


def _raise(wrong: Sequence[FileError]) -> None:
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise UserError("\n".join(str(error) for error in wrong))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix in SUFFIXES and p.is_file())
            for file in inside:
                hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
                if not hidden and not file.name.endswith(".chaos.yaml") and file.name != "meshchaos.yaml":
                    yield file
        elif path.exists():
            yield path
        else:
            raise UserError(f"{path}: no such file or folder (manifests of the local mesh)")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"not UTF-8 (byte {error.start})", file=str(file)) from error
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", file=str(file)) from error


__all__ = ["SUFFIXES", "Document", "complete", "load", "read"]
