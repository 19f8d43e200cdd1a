//! The manifests in `conf/kubernetes`: valid, restricted, and true to the rest of `conf`.

use std::fs;
use std::path::Path;
use std::process::Command;

use satchel_tests::binaries;
use satchel_tests::kubernetes::{Kubernetes, manifests};
use satchel_tests::sidecar::KEY;
use serde_json::Value;

/// An overlay with another component in place of the Ingress.
fn with_gateway_api(overlay: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").args(["-r", "."]).arg(copy.path()).current_dir(manifests()).status();
    assert!(copied.unwrap().success());
    let file = copy.path().join("overlays").join(overlay).join("kustomization.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("components/ingress "));
    fs::write(file, text.replace("components/ingress ", "components/gateway-api ")).unwrap();
    copy
}

/// The pods of Deployments and StatefulSets, with the names of these.
fn pods(resources: &[Value]) -> Vec<(String, Value)> {
    let pods = resources.iter().filter(|resource| resource["spec"]["template"]["spec"].is_object());
    pods.map(|one| {
        (one["metadata"]["name"].as_str().unwrap().to_owned(), one["spec"]["template"]["spec"].clone())
    })
    .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    value[key].as_array().into_iter().flatten().collect()
}

fn containers(pod: &Value) -> Vec<&Value> {
    [list(pod, "initContainers"), list(pod, "containers")].concat()
}

/// What Kubernetes calls the Pod Security Standard "restricted".
fn is_restricted(name: &str, pod: &Value) {
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true, "{name}");
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{name}");
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[key].is_null(), "{name}: {key}");
    }
    for volume in list(pod, "volumes") {
        let kinds: Vec<_> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        assert!(
            kinds
                .iter()
                .all(|kind| matches!(kind.as_str(), "configMap" | "emptyDir" | "projected" | "secret")),
            "{volume}"
        );
    }
    for container in containers(pod) {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false, "{container}");
        assert_eq!(security["capabilities"], serde_json::json!({"drop": ["ALL"]}), "{container}");
        // Beyond the standard.
        assert_eq!(security["readOnlyRootFilesystem"], true, "{container}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
        for probe in ["readinessProbe", "livenessProbe"] {
            assert!(container[probe].is_object(), "{probe}: {container}");
        }
        let user = container["securityContext"]["runAsUser"]
            .as_u64()
            .or(pod["securityContext"]["runAsUser"].as_u64());
        assert!(user.is_some_and(|user| user > 10_000), "{container}");
    }
    assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
}

/// The seconds of a `preStop: { sleep }`.
fn pre_stop(container: &Value) -> u64 {
    container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0)
}

#[test]
fn the_manifests_are_valid_for_the_newest_versions_of_kubernetes() {
    let Some(kubernetes) = Kubernetes::find() else { return };
    let other = with_gateway_api("production");
    for overlay in [
        manifests().join("overlays/demo"),
        manifests().join("overlays/production"),
        other.path().join("overlays/production"),
    ] {
        let rendered = kubernetes.render(&overlay);
        let resources =
            kubernetes.check(&rendered).unwrap_or_else(|wrong| panic!("{}: {wrong}", overlay.display()));
        let pods = pods(&resources);
        assert_eq!(pods.len(), 3, "gateway, Tomcat, memcached");
        for (name, pod) in &pods {
            is_restricted(name, pod);
        }
        let names = |kind: &str| {
            resources
                .iter()
                .filter(|one| one["kind"] == kind)
                .map(|one| one["metadata"]["name"].clone())
                .collect::<Vec<_>>()
        };
        for kind in ["Service", "PodDisruptionBudget", "NetworkPolicy"] {
            assert_eq!(names(kind).len(), 3, "{kind}: {:?}", names(kind));
        }
        assert_eq!(names("HorizontalPodAutoscaler").len(), 2);
        let namespace = resources.iter().find(|one| one["kind"] == "Namespace").unwrap();
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");

        // The sidecar is one: it starts before Tomcat and ends after it.
        let tomcat = &pods.iter().find(|(name, _)| name == "tomcat").unwrap().1;
        let sidecar = list(tomcat, "initContainers")[0];
        assert_eq!(
            (sidecar["name"].as_str(), sidecar["restartPolicy"].as_str()),
            (Some("sidecar"), Some("Always"))
        );
        assert_eq!(
            sidecar["lifecycle"]["preStop"]["exec"]["command"],
            serde_json::json!(["sidecar", "--signal", "drain"])
        );
        let store = list(tomcat, "volumes").into_iter().find(|volume| volume["name"] == "store").unwrap();
        assert_eq!(store["emptyDir"]["medium"], "Memory");
        let mounts = |container: &Value| list(container, "volumeMounts").iter().any(|m| m["name"] == "store");
        assert!(containers(tomcat).into_iter().all(mounts));
        // The sidecar's stop_timeout is 25 s, and so is the gateway's; Tomcat's own end takes a few seconds.
        for (name, pod) in pods.iter().filter(|(name, _)| name != "memcached") {
            let before: u64 = list(pod, "containers").into_iter().map(pre_stop).sum();
            // A sidecar sends requests away 5 s after it was told.
            assert!(before > 5, "{name}");
            assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= before + 10 + 25 + 5, "{name}");
        }
    }
    // That it finds something is checked, too.
    let rendered = kubernetes.render(&manifests().join("overlays/production"));
    for (right, wrong, said) in [
        ("maxUnavailable: 1\n", "maxUnavailble: 1\n", "maxUnavailble"),
        ("restartPolicy: Always", "restartPolicy: 1", "restartPolicy"),
        ("kind: StatefulSet\n", "kind: Statefulset\n", "Statefulset"),
    ] {
        assert!(rendered.contains(right), "{right}");
        let broken = rendered.replace(right, wrong);
        let error = kubernetes.check(&broken).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
        for version in satchel_tests::kubernetes::VERSIONS {
            assert!(error.contains(&format!("Kubernetes {version}")), "{version}: {error}");
        }
    }
    let route = kubernetes.render(&other.path().join("overlays/production"));
    let error = kubernetes.check(&route.replace("hostnames:", "hosts:")).unwrap_err();
    assert!(error.contains("HTTPRoute") && error.contains("hosts"), "{error}");
}

/// A file below `conf`.
fn conf(name: &str) -> String {
    fs::read_to_string(manifests().join("..").join(name)).unwrap()
}

#[test]
fn what_the_manifests_say_is_what_the_rest_of_conf_says() {
    // Tomcat's XML is what users are told, with a <Host> that writes no file.
    let host = " autoDeploy=\"false\" createDirs=\"false\" unpackWARs=\"false\"";
    let without_comment = |text: &str| text.split_once("-->").unwrap().1.to_owned();
    let xml = conf("kubernetes/base/server.xml");
    assert_eq!(xml.matches(host).count(), 1);
    assert_eq!(without_comment(&xml.replace(host, "")), without_comment(&conf("tomcat-11.0.xml")));
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("webapp/ShowSession.jsp")).unwrap();
    assert_eq!(conf("kubernetes/overlays/demo/ShowSession.jsp"), page);

    // A node for each memcached.
    let sidecar = conf("kubernetes/base/sidecar.toml");
    let replicas: usize = conf("kubernetes/base/memcached.yaml")
        .lines()
        .find_map(|l| l.trim().strip_prefix("replicas: ")?.parse().ok())
        .unwrap();
    let nodes: Vec<String> =
        (0..replicas).map(|n| format!("n{}:memcached-{n}.memcached:11211", n + 1)).collect();
    assert!(sidecar.contains(&format!("nodes = \"{}\"\n", nodes.join(", "))), "{nodes:?}");
    let tomcat = conf("kubernetes/base/tomcat.yaml");
    assert!(
        xml.contains("directory=\"/dev/shm/satchel/ROOT\"")
            && sidecar.contains("directory = \"/dev/shm/satchel/ROOT\"")
    );
    assert!(tomcat.contains("mountPath: /dev/shm/satchel }"));

    // Both programs take what they are given, there and in compose.yaml.
    let directory = tempfile::tempdir().unwrap();
    for place in ["kubernetes/base", "compose"] {
        for program in ["gateway", "sidecar"] {
            let file = directory.path().join(format!("{program}.toml"));
            let mut text = conf(&format!("{place}/{program}.toml"));
            if program == "sidecar" {
                // As `sidecar --new-keys` prints them.
                text += &format!("keys = [\"{KEY}\"]\nindex_key = \"{KEY}\"\n");
            }
            fs::write(&file, text).unwrap();
            let output =
                Command::new(binaries::binary(program)).args(["--test", "-c"]).arg(&file).output().unwrap();
            assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
