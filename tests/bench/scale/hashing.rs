//! Which exporter a target is for: `hashmod` of Prometheus.

use md5::{Digest, Md5};

/// What `hashmod` takes the modulus of: the last eight bytes of MD5 over the values of the source labels, joined by the
/// separator, as a big-endian number (Prometheus, `model/relabel/relabel.go`).
pub(crate) fn hash(values: &[&str], separator: &str) -> u64 {
    let sum: [u8; 16] = Md5::digest(values.join(separator).as_bytes()).into();
    u128::from_be_bytes(sum) as u64
}

/// How many targets each replica has.
pub(crate) fn spread(hashes: &[u64], replicas: usize) -> Vec<usize> {
    let mut counts = vec![0; replicas];
    for hash in hashes {
        counts[(hash % replicas as u64) as usize] += 1;
    }
    counts
}

/// How many targets have another replica when there is one more.
pub(crate) fn moved(hashes: &[u64], replicas: usize) -> usize {
    let replicas = replicas as u64;
    let moves = |hash: &&u64| **hash % replicas != **hash % (replicas + 1);
    hashes.iter().filter(moves).count()
}
