import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.plans import plan

from energybench.errors import UsageError
from energybench.runs.clusters.kubernetes import Pod, manifest, write_manifests
from energybench.runs.clusters.plan import RunFolder

POD = Pod("registry.example/energybench:0.1", "work", "/home/ada")


@pytest.mark.parametrize("pod", [POD, replace(POD, gpus=0)])
@pytest.mark.parametrize("kinds", [(), ("h100", "a100")])
def test_manifests_are_valid_by_the_published_schema(
    tmp_path: Path, pod: Pod, kinds: tuple[str, ...]
) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    folder, found = RunFolder(tmp_path), plan(kinds=kinds)
    folder.write(found)
    files = write_manifests(folder, found, found.tasks, pod)
    assert len(files) == len(found.tasks)
    for file in files:
        validator.validate(json.loads(file.read_text()), validator.latest_version(), strict=True)


def test_a_job_runs_its_block_alone_on_a_node_of_its_kind() -> None:
    found = plan(kinds=("h100",))
    made = manifest(RunFolder("/home/ada/run"), found, found.tasks[1], POD)
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][-3:] == ["run-block", "/home/ada/run", "1"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"energybench/kind": "h100"}
    rules = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rules[0]["topologyKey"] == "kubernetes.io/hostname"
    assert made["metadata"]["name"] == "energybench-0a1b2c3d-1"


def test_several_processes_are_refused(tmp_path: Path) -> None:
    found = plan(nodes=2)
    with pytest.raises(UsageError, match="leave out --nodes and --ranks"):
        write_manifests(RunFolder(tmp_path), found, found.tasks, POD)
