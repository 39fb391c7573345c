//! stub
mod spec;
pub use spec::{Auth, FetchSpec, Identity, Pem, TlsSpec, TlsVersion};
