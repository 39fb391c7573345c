//! Configurations: read, written out, and read again.

use goroutine_exporter::config::Config;
use goroutine_exporter::secret::HIDDEN;

/// What is written out reads back as the same, and errors can be told.
pub(crate) fn any(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let config = match Config::from_yaml(&text) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let shown = config.render();
    let again = Config::from_yaml(&shown).unwrap_or_else(|error| panic!("{error}:\n{shown}"));
    assert_eq!(again.render(), shown);
    // A secret that is hidden is another one.
    if !shown.contains(HIDDEN) {
        assert_eq!(again, config, "{shown}");
    }
}
