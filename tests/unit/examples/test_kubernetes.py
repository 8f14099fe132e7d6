"""The manifests of examples/k8s, as far as that goes without a cluster."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pyspark
import pytest
import yaml

from tests.training import ROOT
from widedeep.common.command import load_config

sys.path.insert(0, str(ROOT / "scripts"))
from settings_page import SETTINGS

FOLDER = ROOT / "examples/k8s"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
MANIFESTS = [part for file in sorted(FOLDER.glob("*.yaml")) for part in yaml.safe_load_all(file.read_text())]
APPLICATIONS = [manifest for manifest in MANIFESTS if manifest["kind"] == "SparkApplication"]


def the(kind: str) -> dict[str, Any]:
    (found,) = [manifest for manifest in MANIFESTS if manifest["kind"] == kind]
    return found


def node() -> dict[str, Any]:
    """The specification of the pods that train."""
    (job,) = the("TrainingRuntime")["spec"]["template"]["spec"]["replicatedJobs"]
    assert job["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    return job["template"]["spec"]["template"]["spec"]


def pods() -> list[dict[str, Any]]:
    """The specifications of all pods, written as Kubernetes has them."""
    found = [node()]
    for application in (manifest["spec"] for manifest in APPLICATIONS):
        for part in ("driver", "executor"):
            container = {"name": part, "image": application["image"], "volumeMounts": application[part]["volumeMounts"]}
            found.append({"containers": [container], "volumes": application["volumes"]})
    return found


def settings(manifest: dict[str, Any]) -> Any:
    """What a manifest's arguments mean to the command that it starts; InputError if they mean nothing."""
    spec = manifest["spec"]
    if manifest["kind"] == "TrainJob":
        assert spec["trainer"]["command"] == ["widedeep", "train", "--"]
        return load_config(SETTINGS["train"], spec["trainer"]["args"], "train", default="best")
    file = spec["mainApplicationFile"].removeprefix("local:///opt/widedeep/")
    assert (ROOT / file).is_file()
    assert f"COPY {Path(file).parent} /opt/widedeep/{Path(file).parent}\n" in DOCKERFILE
    command = Path(file).stem.replace("_", "-")
    return load_config(SETTINGS[command], spec["arguments"], command)


def test_there_is_one_of_each_kind_and_two_spark_jobs():
    kinds = sorted((manifest["apiVersion"], manifest["kind"]) for manifest in MANIFESTS)
    assert kinds == [
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication"),
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication"),
        ("trainer.kubeflow.org/v1alpha1", "TrainJob"),
        ("trainer.kubeflow.org/v1alpha1", "TrainingRuntime"),
        ("v1", "PersistentVolumeClaim"),
    ]


def test_what_kubernetes_itself_knows_fits_its_schema():
    claim = the("PersistentVolumeClaim")
    kubernetes_validate.validate(claim, "1.31", strict=True)
    for pod in pods():
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}, "1.31", strict=True
        )
    resources = the("TrainJob")["spec"]["trainer"]["resourcesPerNode"]
    container = {"name": "node", "image": "image", "resources": resources}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"containers": [container]}}
    kubernetes_validate.validate(pod, "1.31", strict=True)


def test_each_stage_reads_what_the_one_before_has_written():
    prepare, score_all = (settings(manifest) for manifest in APPLICATIONS)
    train = settings(the("TrainJob"))
    assert prepare.output == str(train.data) == score_all.data
    assert str(train.run_dir) == score_all.run_dir
    job = the("TrainJob")["spec"]["trainer"]
    gpus = int(job["resourcesPerNode"]["limits"]["nvidia.com/gpu"])
    assert prepare.ranks == job["numNodes"] * gpus
    assert train.batch_size % prepare.ranks == 0


def test_all_paths_are_on_the_one_volume():
    claim = the("PersistentVolumeClaim")["metadata"]["name"]
    for pod in pods():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        (container,) = pod["containers"]
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert mounts["/data"]["persistentVolumeClaim"]["claimName"] == claim
    arguments = [*the("TrainJob")["spec"]["trainer"]["args"]]
    arguments += [argument for manifest in APPLICATIONS for argument in manifest["spec"]["arguments"]]
    paths = [argument.split("=")[1] for argument in arguments if "=/" in argument]
    assert len(paths) == 7
    assert all(path.startswith("/data/") for path in paths)


def test_the_job_finds_its_runtime_and_all_run_the_image_that_the_dockerfile_makes():
    runtime, job = the("TrainingRuntime"), the("TrainJob")
    assert job["spec"]["runtimeRef"] == {
        "apiGroup": runtime["apiVersion"].split("/")[0],
        "kind": runtime["kind"],
        "name": runtime["metadata"]["name"],
    }
    (container,) = node()["containers"]
    assert container["name"] == "node"  # by this name Kubeflow finds it
    images = {container["image"], *(manifest["spec"]["image"] for manifest in APPLICATIONS)}
    assert images == set(re.findall(r"docker build -t (registry\S+) -f examples/k8s/Dockerfile \.", DOCKERFILE))
    assert {manifest["spec"]["sparkVersion"] for manifest in APPLICATIONS} == {pyspark.__version__}


def test_the_dockerfile_copies_what_is_there_on_top_of_the_projects_image():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE):
        assert (ROOT / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in kept)
        assert target.startswith("/opt/widedeep/")  # where the project's image has its environment
    (base,) = re.findall(r"^FROM (\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"docker build -t {base} .\n" in DOCKERFILE


@pytest.mark.parametrize("argument", ["--ranks=0", "--rank=2"])
def test_a_wrong_argument_would_be_noticed(argument):
    wrong = {**APPLICATIONS[0], "spec": {**APPLICATIONS[0]["spec"], "arguments": [argument]}}
    with pytest.raises(ValueError, match="rank"):
        settings(wrong)
