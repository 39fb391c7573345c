//! Where goroutines are, in words: function, the application's function behind it, code line.

use super::wrap::Segment;
use super::{BOLD, CODE_LINE, PLAIN, clean};

/// A place as tables show it.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Place {
    pub(in crate::commands) blocking_frame: String,
    pub(in crate::commands) app_frame: String,
    pub(in crate::commands) file: String,
    pub(in crate::commands) line: u32,
}

impl Place {
    /// One line; two where the application's function is another than the one blocked in. The function of the
    /// application stands out, and the code line is beside it.
    pub(super) fn lines(&self) -> Vec<Vec<Segment>> {
        let (blocking, app) = (clean(&self.blocking_frame), clean(&self.app_frame));
        let own = app == blocking;
        let mut lines = vec![vec![Segment::new(blocking, if own { BOLD } else { PLAIN })]];
        if !own && !app.is_empty() {
            lines.push(vec![Segment::new("for ", PLAIN), Segment::new(app, BOLD)]);
        }
        if let Some(last) = lines.last_mut().filter(|_| !self.file.is_empty()) {
            last.push(Segment::file(
                format!("  {}", location(&self.file, self.line)),
                CODE_LINE,
            ));
        }
        lines
    }
}

/// `main.go:12`; the file alone where the line is not known.
pub(in crate::commands) fn location(file: &str, line: u32) -> String {
    let file = clean(file);
    if line == 0 || file.is_empty() {
        file.into_owned()
    } else {
        format!("{file}:{line}")
    }
}
