"""Kubernetes: one Job manifest a block, for `kubectl apply`; nothing is sent from here."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energybench.errors import UsageError
from energybench.files import publish
from energybench.runs.clusters.plan import ArrayTask, Plan, RunFolder

LOCKS = "/run/lock/energybench"
"""The folder of the node that all blocks on it share for their locks."""
KIND_LABEL = "energybench/kind"
"""Label of a node that names its kind."""
_APP = "app.kubernetes.io/name"


@dataclass(frozen=True)
class Pod:
    """What a plan does not know of the pods that run it."""

    image: str
    """With energybench and the plan's Python."""
    claim: str
    """Name of the PersistentVolumeClaim that every pod sees."""
    mounted_at: str
    """Where it has the plan's working directory and the run's folder."""
    gpus: int = 1


def manifest(folder: RunFolder, plan: Plan, task: ArrayTask, pod: Pod) -> dict[str, Any]:
    """The Job of one block, as `batch/v1` has it.

    Pods of energybench keep away from nodes that have one. A pod that fails starts again on any
    node of its kind, where the block goes on.
    """
    labels = {_APP: "energybench", "energybench/run": plan.id}
    selector = {"labelSelector": {"matchLabels": {_APP: "energybench"}}}
    alone = [{**selector, "topologyKey": "kubernetes.io/hostname"}]
    container = {
        "name": "block",
        "image": pod.image,
        "workingDir": plan.directory,
        "command": [plan.python, "-m", "energybench", "run-block", str(folder), str(task.number)],
        "env": [
            _of_pod("ENERGYBENCH_NODE", "spec.nodeName"),
            _of_pod("ENERGYBENCH_JOB", "metadata.name"),
            {"name": "ENERGYBENCH_LOCKS", "value": LOCKS},
        ],
        **({"resources": {"limits": {"nvidia.com/gpu": str(pod.gpus)}}} if pod.gpus else {}),
        "volumeMounts": [
            {"name": "shared", "mountPath": pod.mounted_at},
            {"name": "locks", "mountPath": LOCKS},
        ],
    }
    spec = {
        "restartPolicy": "Never",
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": alone}},
        **({} if task.kind is None else {"nodeSelector": {KIND_LABEL: task.kind}}),
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": pod.claim}},
            {"name": "locks", "hostPath": {"path": LOCKS, "type": "DirectoryOrCreate"}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"energybench-{plan.id}-{task.number}", "labels": labels},
        "spec": {"backoffLimit": 6, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def write_manifests(
    folder: RunFolder, plan: Plan, tasks: Iterable[ArrayTask], pod: Pod
) -> list[Path]:
    """Write the manifest of each task into the run's folder; returns the files.

    Raises `UsageError` for cells on several processes, and where a file cannot be written.
    """
    if plan.nodes * plan.ranks > 1:
        raise UsageError("--engine=k8s runs a block on one process; leave out --nodes and --ranks")
    files = []
    place = folder.path / "k8s"
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {place} ({error.strerror}); free some space") from error
    for task in tasks:
        text = json.dumps(manifest(folder, plan, task, pod), indent=1) + "\n"
        file = place / f"{task.name}.json"
        publish(file, lambda path, text=text: path.write_text(text))  # type: ignore[misc]
        files.append(file)
    return files


def _of_pod(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
