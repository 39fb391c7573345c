//! The asker: as Prometheus asks, on connections that stay open, for an answer that may be compressed.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::programs::probe_path;

/// What an answer came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// From before the request to the end of the answer.
    pub(crate) took: Duration,
    /// As it was sent.
    pub(crate) sent_bytes: usize,
    /// Uncompressed.
    pub(crate) text: String,
}

/// Asks one program that probes.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    client: reqwest::Client,
    address: SocketAddr,
}

impl Asker {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, address }
    }

    /// Asks for a probe of a target.
    pub(crate) async fn probe(&self, target: &str, more: &[(&str, &str)]) -> Answer {
        self.get(&probe_path(target, more)).await
    }

    async fn get(&self, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.address);
        let request = self
            .client
            .get(&url)
            .header("accept", "text/plain;version=0.0.4;q=1,*/*;q=0.1")
            .header("accept-encoding", "gzip")
            .header("x-prometheus-scrape-timeout-seconds", "10")
            .build()
            .unwrap();
        let begun = Instant::now();
        let response = self.client.execute(request).await.unwrap();
        let status = response.status().as_u16();
        let packed = response
            .headers()
            .get("content-encoding")
            .is_some_and(|encoding| encoding == "gzip");
        let body = response.bytes().await.unwrap();
        let took = begun.elapsed();
        let plain = if packed {
            let mut reader = flate2::write::GzDecoder::new(Vec::new());
            reader.write_all(&body).unwrap();
            reader.finish().unwrap()
        } else {
            body.to_vec()
        };
        let text = String::from_utf8(plain).unwrap();
        Answer {
            status,
            took,
            sent_bytes: body.len(),
            text,
        }
    }
}

impl Answer {
    /// The value of the sample that is this name and these labels, character by character.
    pub(crate) fn value(&self, sample: &str) -> Option<f64> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
            .find_map(|value| value.parse().ok())
    }

    /// What is wrong with it, if it is to be a probe that succeeded and found so many goroutines.
    pub(crate) fn fault(&self, goroutines: impl Fn(f64) -> bool) -> Option<String> {
        if self.value("goroutine_probe_success") != Some(1.0) {
            return Some(format!("{}, no success:\n{}", self.status, self.text));
        }
        let found = self.value("goroutine_goroutines");
        (!found.is_some_and(goroutines)).then(|| format!("{found:?} goroutines"))
    }
}
