use super::handshakes::{Authority, trusting};
use super::servers::{ok, redirect};
use super::*;
use crate::failure::FailureReason;

#[tokio::test]
async fn a_client_certificate_is_shown_to_no_other_origin() {
    let (authority, clients) = (Authority::new("one"), Authority::new("two"));
    // Whoever shows none is turned away here.
    let other = authority
        .serve("127.0.0.1", &[], Some(&clients), |_| ok("seen"))
        .await;
    let away = format!("https://{}/", other.address);
    let first = authority
        .serve("127.0.0.1", &[], Some(&clients), move |head| {
            match head.split(' ').nth(1) {
                Some("/here/p?debug=1") => redirect("/there"),
                Some("/there") => ok("x"),
                _ => redirect(&away),
            }
        })
        .await;
    let fetcher = trusting(TlsSpec {
        ca: Some(authority.pem()),
        identity: Some(clients.identity()),
        ..TlsSpec::default()
    });
    let here = format!("https://{}/here", first.address);
    let (_, body) = fetch(&fetcher, &loopback(), &here).await.unwrap();
    assert_eq!(body, b"x");
    let gone = format!("https://{}/gone", first.address);
    let error = fetch(&fetcher, &loopback(), &gone).await.unwrap_err();
    assert_eq!(error.reason(), Some(FailureReason::Tls), "{error:?}");
    assert_eq!(other.heads().len(), 0);
    // The same address as the target itself gets it.
    let direct = format!("https://{}", other.address);
    let (_, body) = fetch(&fetcher, &loopback(), &direct).await.unwrap();
    assert_eq!(body, b"seen");
}
