//! What cannot be run here is parsed, and held to what the program needs: Kubernetes, Compose, Dockerfile, systemd.

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

use crate::files::{list, one_yaml, path, string, text, yaml};

fn kubernetes(kind: &str) -> Value {
    let all = yaml("kubernetes/bridge.yml");
    all.into_iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn every_kubernetes_document_has_a_kind_and_a_name() {
    for document in ["kubernetes/bridge.yml", "kubernetes/secrets.yml"].into_iter().flat_map(yaml) {
        assert!(!string(&document, "/apiVersion").is_empty() && !string(&document, "/kind").is_empty());
        assert_eq!(string(&document, "/metadata/name"), "biograph-bridge");
    }
}

#[test]
fn the_deployment_has_a_standby_probes_and_no_privileges() {
    let deployment = kubernetes("Deployment");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert!(pod["terminationGracePeriodSeconds"].as_u64() > Some(30), "the drain takes up to 30 s");
    let [bridge] = list(pod, "/containers") else { panic!("one container") };
    assert_eq!(bridge["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(bridge["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(bridge["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
    let probes =
        ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| string(&bridge[probe], "/httpGet/path"));
    assert_eq!(probes, ["/livez", "/livez", "/livez"]);
    let mounted: BTreeSet<_> = list(bridge, "/volumeMounts").iter().map(|mount| string(mount, "/name")).collect();
    assert_eq!(mounted, list(pod, "/volumes").iter().map(|volume| string(volume, "/name")).collect());
    assert_eq!(bridge["ports"][0]["containerPort"], 9464);
}

#[test]
fn everything_selects_the_pods_of_the_deployment() {
    let labels = &kubernetes("Deployment")["spec"]["template"]["metadata"]["labels"];
    for (kind, selector) in [
        ("Deployment", "/spec/selector/matchLabels"),
        ("Service", "/spec/selector"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
    ] {
        assert_eq!(kubernetes(kind).pointer(selector), Some(labels), "{kind}");
    }
}

#[test]
fn the_secrets_that_settings_name_are_there() {
    let secret = one_yaml("kubernetes/secrets.yml");
    let settings = kubernetes("ConfigMap");
    let settings = string(&settings, "/data/bridge.toml");
    let compose = one_yaml("compose.yml");
    let unit = text("systemd/biograph-bridge.service");
    for name in ["legacy", "renaissance", "token"] {
        assert!(secret["stringData"][name].is_string(), "{name}");
        assert!(settings.contains(&format!("/run/secrets/bridge/{name}")), "{name}");
        assert!(
            compose["secrets"][name].is_object() && list(&compose, "/services/bridge/secrets").contains(&json!(name))
        );
        assert!(unit.contains(&format!("LoadCredential={name}:")), "{name}");
        assert!(text("bridge.toml").contains(&format!("/run/credentials/biograph-bridge.service/{name}")), "{name}");
    }
}

#[test]
fn compose_runs_without_rights_and_shows_the_port_on_loopback_only() {
    let compose = one_yaml("compose.yml");
    let bridge = &compose["services"]["bridge"];
    assert_eq!((&bridge["read_only"], &bridge["cap_drop"]), (&json!(true), &json!(["ALL"])));
    assert_eq!(bridge["ports"], json!(["127.0.0.1:9464:9464"]));
    assert!(path("..").join(string(bridge, "/build/dockerfile")).exists());
}

#[test]
fn the_image_has_no_sandbox_and_does_not_run_as_root() {
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains("--locked --release --no-default-features"));
    let user = dockerfile.lines().filter_map(|line| line.strip_prefix("USER ")).next_back();
    assert_eq!(user, Some("65532:65532"));
    let copied =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"));
    for source in copied.flat_map(|line| line.split(' ').rev().skip(1)) {
        assert!(path("..").join(source).exists(), "COPY {source}");
    }
}

#[test]
fn systemd_accepts_the_unit() {
    let unit = text("systemd/biograph-bridge.service");
    for wanted in ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n"] {
        assert!(unit.contains(wanted), "{wanted}");
    }
    // it insists on a program that exists
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("biograph-bridge.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/biograph-bridge", "/bin/true")).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("biograph-bridge.service:"), "{said}");
        }
        Err(error) => eprintln!("not checked: systemd-analyze cannot be run ({error})"),
    }
}
