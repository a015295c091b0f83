"""The files with which a team gets a cluster: right by their schemas, and closed to strangers.

``schemas/README.md`` says where the schemas come from. No cluster, network or container is needed.
"""

from __future__ import annotations

import copy
import ipaddress
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from packaging.specifiers import SpecifierSet

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLUSTER = ROOT / "conf/cluster"
DEFINITIONS = {
    "RayCluster": "RayCluster",
    "RayJob": "RayJob",
    "NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
}
FREE_NAMES = {"labels", "matchLabels", "clusterSelector", "rayStartParams", "requests", "limits"}
SECRET = re.compile("TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL")
MANIFESTS: dict[str, Any] = {
    f"{manifest['kind']}/{manifest['metadata']['name']}": manifest
    for path in sorted((CLUSTER / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
}
RAY_CLUSTER = MANIFESTS["RayCluster/styleae"]["spec"]
RAY_JOB = MANIFESTS["RayJob/styleae-label"]["spec"]
HEAD, (WORKERS,) = RAY_CLUSTER["headGroupSpec"], RAY_CLUSTER["workerGroupSpecs"]
PODS = {
    "head": HEAD["template"]["spec"],
    "worker": WORKERS["template"]["spec"],
    "submitter": RAY_JOB["submitterPodTemplate"]["spec"],
}
CONTAINERS = {name: pod["containers"][0] for name, pod in PODS.items()} | {
    "autoscaler": RAY_CLUSTER["autoscalerOptions"]
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Draft202012Validator]:
    """Kind → validator."""
    definitions: dict[str, Any] = {}
    for name in ("kubernetes.json", "kuberay.yaml"):
        definitions |= yaml.safe_load((HERE / "schemas" / name).read_text())["$defs"]
    return {
        kind: Draft202012Validator({"$defs": definitions, "$ref": f"#/$defs/{name}"})
        for kind, name in DEFINITIONS.items()
    }


def mappings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Every mapping in a manifest, and how to get there."""
    children = enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield path, value
        children = value.items()
    for key, child in children:
        yield from mappings(child, (*path, key))


def size(quantity: str) -> int:
    """Bytes of a quantity such as ``4Gi``."""
    number, unit = re.fullmatch(r"(\d+)([KMGT]i)?", quantity).groups()
    return int(number) * 1024 ** ("KMGT".index(unit[0]) + 1 if unit else 0)


def locked(package: str) -> str:
    return re.search(rf"^{package}==(.+)$", (ROOT / "requirements/lock.txt").read_text(), re.MULTILINE)[1]


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and their arguments, in order."""
    lines = [line for line in (CLUSTER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def of(instruction: str) -> list[str]:
    return [argument for name, argument in dockerfile() if name == instruction]


def image_variables() -> dict[str, str]:
    return dict(part.split("=") for argument in of("ENV") for part in argument.split())


@pytest.fixture
def ray_up() -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "machines/ray-up.yaml").read_text())


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_manifest_follows_its_schema(schemas, name):
    schemas[MANIFESTS[name]["kind"]].validate(MANIFESTS[name])


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_misspelt_key_is_refused_wherever_it_stands(schemas, name):
    validator = schemas[MANIFESTS[name]["kind"]]
    fixed = [
        (path, key) for path, found in mappings(MANIFESTS[name]) for key in found if not FREE_NAMES & {*path}
    ]
    for path, key in fixed:
        changed = copy.deepcopy(MANIFESTS[name])
        place = changed
        for step in path:
            place = place[step]
        place[f"{key}s"] = place.pop(key)
        assert not validator.is_valid(changed), (*path, key)


@pytest.mark.parametrize(("key", "value"), [("minReplicas", "two"), ("rayStartParams", {"num-cpus": 0})])
def test_a_value_of_another_type_is_refused(schemas, key, value):
    changed = copy.deepcopy(MANIFESTS["RayCluster/styleae"])
    changed["spec"]["workerGroupSpecs"][0][key] = value
    with pytest.raises(ValidationError):
        schemas["RayCluster"].validate(changed)


def test_the_cluster_asks_for_a_token():
    assert RAY_CLUSTER["authOptions"] == {"mode": "token"}


def test_nothing_is_reachable_from_outside_the_cluster():
    assert {manifest["kind"] for manifest in MANIFESTS.values()} == {*DEFINITIONS}
    assert HEAD["serviceType"] == "ClusterIP"
    assert HEAD["enableIngress"] is False
    keys = {key for manifest in MANIFESTS.values() for _, found in mappings(manifest) for key in found}
    assert not keys & {"hostPort", "hostNetwork", "hostPID", "hostIPC", "hostPath", "nodePort", "privileged"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_container_has_more_rights_than_it_needs(name):
    context = CONTAINERS[name]["securityContext"]
    assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("name", PODS)
def test_every_pod_runs_as_the_user_of_the_image(name):
    context = PODS[name]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == of("USER")[-1]
    assert len(PODS[name]["containers"]) == 1 and "initContainers" not in PODS[name]


@pytest.mark.parametrize("name", ["worker", "submitter"])
def test_a_pod_that_does_not_talk_to_kubernetes_has_no_token_for_it(name):
    assert PODS[name]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_has_requests_and_limits(name):
    resources = CONTAINERS[name]["resources"]
    for kind in ("requests", "limits"):
        assert {"cpu", "memory"} <= resources[kind].keys()
    assert size(resources["requests"]["memory"]) <= size(resources["limits"]["memory"])


def test_each_worker_has_one_gpu_and_the_head_has_none_and_takes_no_work():
    assert CONTAINERS["worker"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in CONTAINERS["head"]["resources"]["limits"]
    assert HEAD["rayStartParams"]["num-cpus"] == "0"


def test_the_number_of_workers_stays_within_its_bounds_and_never_falls_to_none():
    assert RAY_CLUSTER["enableInTreeAutoscaling"] is True
    assert 1 <= WORKERS["minReplicas"] <= WORKERS["replicas"] <= WORKERS["maxReplicas"]


@pytest.mark.parametrize(("name", "group"), [("head", HEAD), ("worker", WORKERS)])
def test_objects_of_ray_fit_into_shared_memory_and_that_into_the_container(name, group):
    volumes = {volume["name"]: volume["emptyDir"] for volume in PODS[name]["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in CONTAINERS[name]["volumeMounts"]}
    assert mounted["/dev/shm"]["medium"] == "Memory"
    shared = size(mounted["/dev/shm"]["sizeLimit"])
    assert size(group["rayStartParams"]["object-store-memory"]) < shared
    assert shared < size(CONTAINERS[name]["resources"]["limits"]["memory"])
    assert "medium" not in mounted["/tmp"] and size(mounted["/tmp"]["sizeLimit"])


def test_secrets_are_named_and_never_written_down():
    for name in ("head", "worker"):
        assert CONTAINERS[name]["envFrom"] == [{"secretRef": {"name": "styleae-storage"}}]
    for container in CONTAINERS.values():
        assert all("value" not in variable for variable in container.get("env", []))
    assert "env_vars" not in yaml.safe_load(RAY_JOB["runtimeEnvYAML"])
    assert not [name for name in image_variables() if SECRET.search(name)]
    assert "RAY_AUTH_TOKEN" not in (CLUSTER / "machines/ray-up.yaml").read_text()


def test_image_and_manifests_are_of_the_ray_in_the_lock():
    version = locked("ray")
    assert RAY_CLUSTER["rayVersion"] == version
    tags = {pod["containers"][0]["image"] for pod in PODS.values()}
    assert tags == {f"styleae:{version.rpartition('.')[0]}"}
    assert f"-t {tags.pop()} " in (CLUSTER / "Dockerfile").read_text()


def test_only_the_cluster_the_operator_and_submitters_reach_the_nodes():
    nodes, jobs = (MANIFESTS[f"NetworkPolicy/styleae-{name}"]["spec"] for name in ("nodes", "jobs"))
    cluster = {"ray.io/cluster": "styleae"}
    assert nodes["podSelector"] == {"matchLabels": cluster}
    assert nodes["policyTypes"] == jobs["policyTypes"] == ["Ingress"]
    assert nodes["ingress"] == [{"from": [{"podSelector": {"matchLabels": cluster}}]}]
    assert jobs["podSelector"] == {"matchLabels": cluster | {"ray.io/node-type": "head"}}
    (rule,) = jobs["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8265}]
    operator, submitter = rule["from"]
    assert operator["namespaceSelector"]["matchLabels"] and operator["podSelector"]["matchLabels"]
    assert submitter == {
        "podSelector": {"matchLabels": RAY_JOB["submitterPodTemplate"]["metadata"]["labels"]}
    }


def test_the_job_runs_a_stage_on_the_cluster_that_is_there():
    assert RAY_JOB["clusterSelector"] == {"ray.io/cluster": "styleae"}
    shell, flag, script = shlex.split(RAY_JOB["entrypoint"])
    assert (shell, flag) == ("bash", "-c")
    *command, stage = script.split()
    assert command == "dvc config --local core.no_scm true && dvc repro".split()
    assert stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert yaml.safe_load(RAY_JOB["runtimeEnvYAML"])["working_dir"].endswith(".zip")


def test_the_image_has_a_pinned_python_that_the_project_supports():
    (base,) = of("FROM")
    version = re.fullmatch(r"python:(3\.\d+\.\d+)-slim-\w+", base)[1]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert version in SpecifierSet(wanted)


def test_the_image_holds_the_locks_and_nothing_else_of_the_project():
    (copied,) = of("COPY")
    *sources, folder = copied.split()
    assert sources == ["lock.txt", "lock-cluster.txt"]
    assert [run for run in of("RUN") if run.startswith("pip install")] == [
        f"pip install --no-cache-dir --disable-pip-version-check -r {folder}lock-cluster.txt"
    ]


def test_the_image_runs_as_no_root_and_opens_nothing():
    names = [name for name, _ in dockerfile()]
    assert not {"EXPOSE", "ADD", "ARG", "VOLUME"} & {*names}
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", of("USER")[-1])
    assert "RUN" not in names[names.index("USER") :]
    assert f"--uid {of('USER')[-1].partition(':')[0]} " in of("RUN")[-1]


def test_the_image_phones_home_no_more_than_make_does():
    switches = (ROOT / "Makefile").read_text().partition("# Nothing phones home.\n")[2].partition("# ")[0]
    exported = dict(re.findall(r"^export (\w+) := (\w+)$", switches, re.MULTILINE))
    assert exported.pop("PIP_DISABLE_PIP_VERSION_CHECK")
    assert len(exported) == 5 and exported.items() <= image_variables().items()


def test_ray_accepts_the_file_for_ray_up(ray_up):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(ray_up))
    with pytest.raises(ValidationError):
        validate_config(prepare_config(ray_up | {"worker_start_commands": []}))


def test_machines_ask_for_the_token_and_keep_the_dashboard_to_themselves(ray_up):
    heads, workers = (ray_up[f"{kind}_start_ray_commands"] for kind in ("head", "worker"))
    starts = [command for command in heads + workers if "ray start" in command]
    assert len(starts) == 2
    assert all(command.startswith("export RAY_AUTH_MODE=token ") for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0].split() and "--head" in starts[0].split()
    assert ray_up["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert ray_up["auth"]["ssh_user"] != "root"


def test_the_addresses_of_machines_are_nobodys(ray_up):
    addresses = [ray_up["provider"]["head_ip"], *ray_up["provider"]["worker_ips"]]
    documentation = ipaddress.ip_network("192.0.2.0/24")
    assert all(ipaddress.ip_address(address) in documentation for address in addresses)


def test_hydra_takes_none_of_these_files_for_an_option():
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        options = GlobalHydra.instance().config_loader().get_group_options("cluster")
    assert {"local", "auto"} <= {*options}
    assert not {*options} & {"kubernetes", "machines", "Dockerfile"}
