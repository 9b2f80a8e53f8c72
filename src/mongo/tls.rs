//! What a failed TLS handshake with MongoDB means, in words that name the setting to change.
//!
//! The driver passes on rustls' texts only, and for a server it could not select only a description of all servers: these are
//! searched for what is known. They hold hosts and names of certificates, so nothing of them is passed on.

use std::path::Path;

use x509_parser::pem::Pem;

use crate::error::{Error, Result};

/// What the driver writes before each server it describes.
const SERVER: &str = "Address: ";
/// What rustls says when it does not accept the server's certificate.
const UNACCEPTED: &str = "invalid peer certificate: ";
/// What rustls says when the server ends the handshake.
const ALERT: &str = "received fatal alert: ";

const CLIENT: &str = "give legacy_uri a valid client certificate from an authority that the server trusts: \
    tlsCertificateKeyFile=/path/to/bridge.pem";

/// The refusal in the driver's text about one connection, or about servers of which every one was refused: with one that
/// merely does not answer at the moment, such as in an election, another attempt may do.
pub(super) fn refusal(text: &str) -> Option<Error> {
    let refused = text.matches(UNACCEPTED).count() + text.matches(ALERT).count();
    let servers = text.matches(SERVER).count();
    if refused < servers.max(1) {
        return None;
    }
    let after = |start: &str| text.split_once(start).map(|(_, rest)| rest);
    let (what, fix) = after(UNACCEPTED).map_or_else(|| of_alert(after(ALERT).unwrap_or_default()), of_certificate);
    Some(Error::halt(what).with_hint(fix))
}

/// Client files that cannot be used.
pub(super) fn unusable_files() -> Error {
    Error::halt("the TLS files that legacy_uri names cannot be used").with_hint(
        "tlsCAFile and tlsCertificateKeyFile must be readable PEM files; the latter holds the certificate and its key, one after the other",
    )
}

/// Refuses a client certificate that no server will accept now: a server ends the handshake with one without a reason, which looks like
/// one that is not there.
pub(super) fn check_client(file: &Path) -> Result<()> {
    let text = std::fs::read(file).map_err(|error| unusable_files().with_source(error))?;
    let certificate = Pem::iter_from_buffer(&text).flatten().find(|pem| pem.label == "CERTIFICATE");
    let certificate = certificate.ok_or_else(unusable_files)?;
    let validity = certificate.parse_x509().map_err(|_| unusable_files())?.validity().clone();
    let (now, refused) = (x509_parser::time::ASN1Time::now(), |what| Err(Error::halt(what).with_hint(CLIENT)));
    if now > validity.not_after {
        refused("the client certificate that legacy_uri names has expired")
    } else if now < validity.not_before {
        refused(
            "the client certificate that legacy_uri names is not valid yet: see also whether this machine's clock is right",
        )
    } else {
        Ok(())
    }
}

fn of_certificate(reason: &str) -> (&'static str, &'static str) {
    let is = |known: &[&str]| known.iter().any(|start| reason.starts_with(start));
    if is(&["certificate not valid for name", "NotValidForName"]) {
        (
            "MongoDB's certificate is for another host",
            "name the server in legacy_uri as its certificate does, or give it a certificate with this host as subjectAltName",
        )
    } else if is(&["certificate expired", "Expired"]) {
        (
            "MongoDB's certificate has expired",
            "renew it on the server (net.tls.certificateKeyFile), and see whether this machine's clock is right",
        )
    } else if is(&["certificate not valid yet", "NotValidYet"]) {
        ("MongoDB's certificate is not valid yet", "see whether this machine's clock is right")
    } else if is(&["UnknownIssuer"]) {
        (
            "MongoDB's certificate is from an authority that is not trusted here",
            "name the file with the authority's certificate in legacy_uri: tlsCAFile=/path/to/ca.pem",
        )
    } else {
        (
            "MongoDB's certificate is not accepted",
            "give the server a certificate for this host, from the authority in tlsCAFile of legacy_uri",
        )
    }
}

fn of_alert(reason: &str) -> (&'static str, &'static str) {
    let is = |known: &[&str]| known.iter().any(|start| reason.starts_with(start));
    if is(&["CertificateExpired"]) {
        ("MongoDB says that the bridge's client certificate has expired", CLIENT)
    } else if is(&["UnknownCA"]) {
        ("MongoDB does not trust the authority of the bridge's client certificate", CLIENT)
    } else if is(&["CertificateRequired"]) {
        ("MongoDB asks for a client certificate", CLIENT)
    } else if is(&["BadCertificate", "UnsupportedCertificate", "CertificateRevoked", "CertificateUnknown"]) {
        ("MongoDB refuses the bridge's client certificate", CLIENT)
    } else {
        (
            "MongoDB ended the TLS handshake",
            "see the server's log for the reason; it must support TLS 1.2 or 1.3 with common ciphers",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Disposition;

    #[test]
    fn one_server_that_may_yet_answer_is_reason_enough_to_try_again() {
        let refused =
            "{ Address: a:1, Type: Unknown, Error: Kind: I/O error: invalid peer certificate: UnknownIssuer }";
        let silent = "{ Address: b:1, Type: Unknown, Error: Kind: I/O error: connection refused }";
        let error = refusal(&format!("Servers: [ {refused}, {refused} ]")).unwrap();
        assert_eq!(error.disposition(), Disposition::Halt);
        assert!(error.hint().unwrap().contains("tlsCAFile"));
        assert!(refusal(&format!("Servers: [ {refused}, {silent} ]")).is_none());
        assert!(refusal(&format!("Servers: [ {silent} ]")).is_none());
        assert!(refusal("connection reset").is_none());
    }

    #[test]
    fn no_host_or_name_of_a_certificate_is_passed_on() {
        let text = "invalid peer certificate: certificate not valid for name \"db.ada.example\"; certificate is only valid for x";
        let error = refusal(text).unwrap();
        assert!(!format!("{error} {error:?}").contains("ada"), "{error:?}");
        assert!(error.to_string().contains("another host"));
    }
}
