//! Authorities and certificates for tests of TLS.

use std::{
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use time::OffsetDateTime;

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) file: PathBuf,
}

/// A certificate with its key.
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) certificate: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
    /// Both.
    pub(crate) both: PathBuf,
}

/// A folder for certificates that servers can read, whoever runs them.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// A day from now, and an hour ago.
pub(crate) fn later_and_earlier() -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now + Duration::from_secs(86_400), now - Duration::from_secs(3600))
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A certificate for these host names and addresses, valid until `end`.
    pub(crate) fn certificate(&self, name: &str, hosts: &[&str], end: OffsetDateTime) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = OffsetDateTime::now_utc() - Duration::from_secs(7200);
        params.not_after = end;
        let pair = KeyPair::generate().unwrap();
        let (text, secret) = (params.signed_by(&pair, &self.issuer).unwrap().pem(), pair.serialize_pem());
        let file = |ending: &str, text: &str| {
            let file = self.file.with_file_name(format!("{name}.{ending}"));
            std::fs::write(&file, text).unwrap();
            file
        };
        let (certificate, key) = (file("crt", &text), file("key", &secret));
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        if nix::unistd::Uid::effective().is_root() {
            // as whom the sandbox runs Postgres
            chown(&key, Some(65534), Some(65534)).unwrap();
        }
        Identity { certificate, key, both: file("pem", &(text + &secret)) }
    }
}
