"""validate.py VERSION,… CRDS FILE…: checks manifests against the schemas of these versions of Kubernetes, strictly: an unknown field is an error.

Resources that are no part of Kubernetes are checked against the definitions (CRDs) in the directory CRDS. What is wrong goes to standard error, and then the exit
status is 1. Prints all resources as JSON, for further checks.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def definitions(directory):
    """The schemas of the CRDs in a directory, by apiVersion and kind."""
    found = {}
    for file in sorted(pathlib.Path(directory).glob("*.yaml")):
        for crd in yaml.load_all(file.read_text(), LOADER):
            if crd and crd.get("kind") == "CustomResourceDefinition":
                for version in crd["spec"]["versions"]:
                    key = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                    found[key] = strict(version["schema"]["openAPIV3Schema"])
    return found


def strict(schema):
    """The same, without fields that are not named."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        # Of metadata a CRD says nothing.
        schema.setdefault("additionalProperties", schema["properties"] == {})
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    return schema


def main(versions, crds, *files):
    defined = definitions(crds)
    resources, wrong = [], []
    for file in files:
        for resource in yaml.load_all(pathlib.Path(file).read_text(), LOADER):
            if resource is None:
                continue
            resources.append(resource)
            kind = (resource.get("apiVersion"), resource.get("kind"))
            name = f"{file}: {kind[1]} {resource['metadata']['name']}"
            if kind in defined:
                rest = {key: value for key, value in resource.items() if key not in ("apiVersion", "kind", "metadata")}
                schema = {**defined[kind], "properties": {k: v for k, v in defined[kind]["properties"].items() if k in ("spec", "status")}}
                wrong += [f"{name}: {error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(rest)]
                continue
            for version in versions.split(","):
                try:
                    kubernetes_validate.validate(resource, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    path = ".".join(str(part) for part in error.path)
                    wrong.append(f"{name}: Kubernetes {version}: {path}: {error.message}")
                except Exception as error:  # no such schema, no such version
                    wrong.append(f"{name}: Kubernetes {version}: {error!r}")
    json.dump(resources, sys.stdout)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
